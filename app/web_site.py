"""What the web application of this process serves: set once by `tomodx serve`."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from app.context import Settings, home_folder
from cohorts.store import Store, open_store


@dataclass(frozen=True)
class Site:
    """Settings of a running application.

    Attributes
    ----------
    settings
        Store, artifacts folder and device.
    data_root
        The one folder that new tomograms may come from.
    has_worker
        True where `serve` runs its own worker; otherwise pages say how to start one.
    """

    settings: Settings
    data_root: Path
    has_worker: bool = False


_current: list[Site] = []


def set_site(site: Site) -> None:
    """Choose what the pages of this process show."""
    _current[:] = [site]


def current_site() -> Site:
    """Return the site set, or the default store with `$TOMODX_HOME/data` as data root."""
    if not _current:
        return Site(Settings(), home_folder() / "data")
    return _current[0]


def current_store() -> Store:
    """Return the store of the current site; one connection pool a process."""
    return _open_once(current_site().settings.store_url)


@lru_cache(maxsize=4)
def _open_once(url: str) -> Store:
    return open_store(url)


@contextmanager
def site(chosen: Site) -> Iterator[None]:
    """Choose a site for a block (tests) and put the former one back."""
    before = list(_current)
    set_site(chosen)
    try:
        yield
    finally:
        _current[:] = before

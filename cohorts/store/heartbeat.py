"""Renewing a lease from a thread while the work goes on."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy.exc import OperationalError

from cohorts.store.ownership import HEARTBEAT_S

logger = logging.getLogger(__name__)


@contextmanager
def heartbeat(renew: Callable[[], bool], interval_s: float = HEARTBEAT_S) -> Iterator[None]:
    """Call `renew` every `interval_s` until the block ends or `renew` answers False.

    A store that is locked or unreachable for a moment is tried again at the next beat.
    """
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(interval_s):
            try:
                if not renew():
                    return
            except OperationalError as error:
                logger.warning("could not renew a lease: %s", error.orig)

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()

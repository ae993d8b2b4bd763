"""The store: one object with all operations on one database."""

from cohorts.store.analyses import Analyses
from cohorts.store.database import Database
from cohorts.store.donors import Donors
from cohorts.store.jobs import JobQueue
from cohorts.store.reports import Reports
from cohorts.store.steps import StepLedger


class Store(Donors, Analyses, StepLedger, Reports, JobQueue):
    """Donors, tomograms, steps, results, reports and jobs.

    Safe to share between threads; each process opens its own.
    """

    @property
    def url(self) -> str:
        """SQLAlchemy URL; a worker process opens the same store by it."""
        return self._database.url

    def close(self) -> None:
        """Close pooled connections; the store can still be used and opens new ones."""
        self._database.close()


def open_store(url: str) -> Store:
    """Open a store, made or migrated to this version where needed.

    Parameters
    ----------
    url
        SQLAlchemy URL, such as `sqlite:////folder/store.sqlite`.

    Raises
    ------
    BadInputError
        Not a URL, not a store, or one written by a newer TomoDx.
    OutputNotWritableError
        The folder of the file cannot be made or written.
    """
    return Store(Database(url))

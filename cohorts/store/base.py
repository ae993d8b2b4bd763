"""What the parts of the store share."""

from cohorts.store.database import Database


class StorePart:
    """One group of operations on an open database.

    Parameters
    ----------
    database
        Shared by all parts.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

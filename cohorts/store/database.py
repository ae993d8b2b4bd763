"""Opening a store: engine, pragmas, transactions, migrations to the newest revision."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DatabaseError, OperationalError
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from engine.errors import BadInputError, OutputNotWritableError

BUSY_TIMEOUT_MS = 30_000
"""How long a writer waits for another one; writes take milliseconds."""

_MIGRATION_LOCK = 7_236_401
"""Any number of our own, for PostgreSQL's advisory lock."""


class Database:
    """Connections to one store; safe to share between threads.

    Parameters
    ----------
    url
        SQLAlchemy URL.

    Raises
    ------
    BadInputError
        The URL cannot be understood, the file is not a store, or is newer than this software.
    OutputNotWritableError
        The folder of the file cannot be made or written.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        try:
            parsed = make_url(url)
            self.folder = _sqlite_folder(parsed.database, parsed.get_backend_name(), url)
            self.engine = _engine(url)
        except (ArgumentError, ImportError) as error:
            raise BadInputError(f"store: cannot use the URL {_safe(url)}: {error}") from error
        try:
            _migrate(self.engine)
        except (OperationalError, sqlite3.OperationalError) as error:
            raise OutputNotWritableError(
                f"store: cannot open {_safe(url)}: {_reason(error)}; check path and permissions"
            ) from error
        except (DatabaseError, sqlite3.DatabaseError) as error:
            raise BadInputError(f"store: {_safe(url)} is not a store: {_reason(error)}") from error

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open a session that sees one consistent state."""
        with Session(self.engine) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Open a session that holds the write lock from its start and commits at its end."""
        with (
            self.engine.connect().execution_options(tomodx_write=True) as connection,
            connection.begin(),
            Session(connection, expire_on_commit=False) as session,
        ):
            yield session
            session.flush()

    def portable(self, path: Path) -> str:
        """Relative to the store's folder where inside it, so that a store can be moved whole."""
        if self.folder is not None and path.is_relative_to(self.folder):
            return str(path.relative_to(self.folder))
        return str(path)

    def absolute(self, stored: str) -> str:
        """Undo `portable`."""
        return stored if self.folder is None else str(self.folder / stored)

    def close(self) -> None:
        """Close the pooled connections."""
        self.engine.dispose()


def now() -> datetime:
    """Return the present, UTC."""
    return datetime.now(UTC)


def aware(moment: datetime | None) -> datetime | None:
    """Give back the time zone that SQLite drops."""
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


def _reason(error: Exception) -> object:
    """Return the driver's own words."""
    return error.orig if isinstance(error, DatabaseError) else error


def _safe(url: str) -> str:
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return repr(url)


def _sqlite_folder(database: str | None, backend: str, url: str) -> Path | None:
    if backend != "sqlite":
        return None
    if not database or database == ":memory:":
        raise BadInputError(f"store: expected a file, found {url}")
    path = Path(database).absolute()
    if path.is_dir():
        raise BadInputError(f"store: expected a file, found the folder {path}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputNotWritableError(
            f"store: cannot make the folder {path.parent}: {error.strerror}"
        ) from error
    return path.parent


def _engine(url: str) -> Engine:
    engine = create_engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _set_pragmas)
        event.listen(engine, "begin", _begin)
    return engine


def _set_pragmas(connection: object, entry: ConnectionPoolEntry) -> None:
    """Per connection; the driver's own transaction handling is switched off (see `_begin`)."""
    connection.isolation_level = None  # type: ignore[attr-defined]
    cursor = connection.cursor()  # type: ignore[attr-defined]
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.close()


def _begin(connection: Connection) -> None:
    """Writers take the lock at once: a read that turns into a write could only fail, not wait."""
    immediate = connection.get_execution_options().get("tomodx_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _migrate(engine: Engine) -> None:
    """Bring the schema to the newest revision; processes that open at once take turns."""
    config = Config()
    config.set_main_option("script_location", "cohorts:store")
    script = ScriptDirectory.from_config(config)
    head = script.get_current_head()
    if engine.dialect.name == "sqlite":
        _switch_to_wal(engine)
    with engine.connect() as connection:
        if MigrationContext.configure(connection).get_current_revision() == head:
            return
    with engine.connect().execution_options(tomodx_write=True) as connection, connection.begin():
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
        found = MigrationContext.configure(connection).get_current_revision()
        if found != head:
            config.attributes["connection"] = connection
            _upgrade(config, found, head)


def _upgrade(config: Config, found: str | None, head: str | None) -> None:
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise BadInputError(
            f"store: expected revision {head} or older, found {found}; it was written by a newer "
            "TomoDx: update the software or name another store"
        ) from error


def _switch_to_wal(engine: Engine) -> None:
    """WAL lets readers go on while one process writes.

    The switch is stored in the file. SQLite answers `locked` at once, without waiting, when two
    processes switch at the same time, hence the retries.
    """
    for attempt in range(50):
        connection = engine.raw_connection()
        try:
            cursor = connection.cursor()
            cursor.execute("PRAGMA journal_mode = WAL")
            cursor.close()
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or attempt == 49:
                raise
        finally:
            connection.close()
        time.sleep(0.1)

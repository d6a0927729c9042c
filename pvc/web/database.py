"""The database of a web tool: a SQLite file or a PostgreSQL server, brought to the newest schema when it is opened."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.orm import Session, sessionmaker

from pvc.errors import ConfigError

_ALEMBIC = Path(__file__).parent / "alembic"


class Sessions(sessionmaker[Session]):
    """``with sessions() as s`` reads, ``with sessions.begin() as s`` writes and commits at the end of the block.

    When a block of the second kind has ended, what it wrote is on the disk: a crash or a cut of power leaves it there.
    What a reading session writes is refused by the database. Objects stay readable after their session.
    """

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine.execution_options(pvc_reads=True, postgresql_readonly=True), expire_on_commit=False)
        self.engine = engine

    def begin(self):
        return self(bind=self.engine)._maker_context_manager()


def open_database(url: str, migrations: Path) -> Sessions:
    """Open the database and bring it to the newest schema, all of it or nothing.

    Args:
        url: ``sqlite:///FILE``, or ``postgresql://USER:PASSWORD@HOST/NAME``.
        migrations: folder of Alembic version files; the folder around it names the tool, so that several tools can
            share a PostgreSQL server's database (as long as their tables have different names).

    Raises:
        ConfigError: another kind of database, no such server or folder, a file that is no database, or one that a
            newer pvc wrote.
    """
    engine, shown = _engine(url)
    try:
        with engine.begin() as connection:
            _upgrade(connection, migrations, shown)
    except DBAPIError as error:
        engine.dispose()
        reason = str(error.orig).strip().splitlines()[0]
        raise ConfigError(f"database {shown} cannot be used: {reason}; check the URL, or give an empty one") from None
    except BaseException:
        engine.dispose()
        raise
    return Sessions(engine)


def _engine(text: str) -> tuple[Engine, str]:
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):  # ValueError: a port that is no number
        raise ConfigError("the database's URL is none: give sqlite:///FILE or postgresql://USER@HOST/NAME") from None
    shown, kind = url.render_as_string(hide_password=True), url.get_backend_name()
    if kind == "sqlite" and url.database and url.database != ":memory:" and not url.query:
        return _sqlite(url), shown
    if kind in ("postgresql", "postgres"):
        try:
            return _postgresql(url), shown
        except ImportError:
            raise ConfigError("a PostgreSQL database needs psycopg: pip install 'pvc[postgres]'") from None
    raise ConfigError(f"database {shown} cannot be used: give sqlite:///FILE or postgresql://USER@HOST/NAME")


def _postgresql(url: URL) -> Engine:
    # pool_pre_ping: connections that a restart of the server cut are replaced, not handed out.
    return create_engine(
        url.set(drivername="postgresql+psycopg"),
        pool_size=16,
        max_overflow=32,
        pool_pre_ping=True,
        connect_args={"connect_timeout": 10},
    )


def _sqlite(url: URL) -> Engine:
    # Threads wait for a writer before them for as long as a slow disk may need, rather than fail.
    engine = create_engine(
        url.set(drivername="sqlite+pysqlite"), pool_size=16, max_overflow=32, connect_args={"timeout": 30}
    )

    @event.listens_for(engine, "connect")
    def prepare(connection, _record) -> None:
        connection.isolation_level = None  # the driver's own BEGIN comes too late to read and write in one transaction
        connection.execute("PRAGMA journal_mode=WAL")  # readers and the writer do not wait for each other
        connection.execute("PRAGMA synchronous=FULL")  # a commit returns when it is on the disk
        connection.execute("PRAGMA foreign_keys=ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        reads = bool(connection.get_execution_options().get("pvc_reads"))
        connection.exec_driver_sql(f"PRAGMA query_only={int(reads)}")
        # A transaction that read before it writes could not wait for another writer: the lock comes first.
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    return engine


def _upgrade(connection: Connection, migrations: Path, shown: str) -> None:
    config = Config()
    for option, folder in ("script_location", _ALEMBIC), ("version_locations", migrations):
        config.set_main_option(option, str(folder).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")  # a folder's name may hold spaces and colons
    table = f"{migrations.parent.name}_schema"
    scripts = ScriptDirectory.from_config(config)
    known = {script.revision for script in scripts.walk_revisions()}
    there = MigrationContext.configure(connection, opts={"version_table": table}).get_current_heads()
    if unknown := set(there) - known:
        raise ConfigError(f"database {shown} has schema {sorted(unknown)[0]}, which a newer pvc wrote; use that one")
    config.attributes.update(connection=connection, version_table=table)
    command.upgrade(config, "head")

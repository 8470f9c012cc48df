"""How Alembic changes a database that others are using.

DATABASE_URL names it: the server itself, not a pooler in transaction mode, where nothing set for a session lasts.
Each of SETTINGS holds unless the environment says otherwise (MIGRATION_LOCK_TIMEOUT=300ms), or the command line, which
is stronger (alembic -x lock_timeout=300ms upgrade head).
"""

import logging
import os
import random
import re
import time
from logging.config import fileConfig

from alembic import context
from alembic.util import CommandError
from sqlalchemy import URL, Connection, Engine, create_engine, make_url, pool, text
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError

# ── Your models: import here every module that defines tables ────────────────────────────────────────────────────────
from models import Base

target_metadata = Base.metadata
# ─────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

SETTINGS = {
    # Who waits for a lock stops all who come later, so it gives up, and tries again; but not before deadlock_timeout (1s),
    # after which an autovacuum makes way.
    "lock_timeout": "1500ms",
    "statement_timeout": "15min",  # nobody should find a forgotten UPDATE the next morning
    "lock_tries": "10",  # with growing pauses, about two minutes
    "runner_wait": "600",  # seconds that a second runner waits for the first
}
PASSING = {"55P03", "40P01"}  # lock_not_available and deadlock_detected heal by themselves; no other error does
RUNNER = int.from_bytes(b"alembic", "big")  # the advisory lock's number; any will do, if all runners use the same

log = logging.getLogger("alembic.env")
applied: list[str] = []


def setting(name: str) -> str:
    given = context.get_x_argument(as_dictionary=True)
    if unknown := sorted(given.keys() - SETTINGS):
        raise CommandError(f"There is no setting {', '.join(unknown)}; -x knows {', '.join(SETTINGS)}.")
    value = given.get(name) or os.environ.get(f"MIGRATION_{name.upper()}")
    value = value or SETTINGS[name]
    pattern, expected = {
        "lock_tries": (r"[1-9]\d*", "a number from 1"),
        "runner_wait": (r"\d+", "a number of seconds"),
    }.get(name, (r"0|\d+(ms|s|min|h)", "a time such as 300ms, 2s or 15min, or 0 for no end"))
    if not re.fullmatch(pattern, value):
        raise CommandError(f"{name} is {value!r}; expected is {expected}.")
    return value


def database_url() -> URL:
    try:
        url = make_url(os.environ["DATABASE_URL"])
    except KeyError:
        raise CommandError("DATABASE_URL is not set; expected is one such as postgresql://me@host/database.") from None
    except ArgumentError:
        raise CommandError("DATABASE_URL is no URL; expected is one such as postgresql://me@host/database.") from None
    if url.get_backend_name() not in ("postgresql", "postgres"):
        raise CommandError(f"DATABASE_URL is one of {url.get_backend_name()}; these migrations are for PostgreSQL.")
    return url.set(drivername="postgresql+psycopg")  # whichever driver the application uses with this URL


def include_object(thing, name, kind, reflected, compare_to) -> bool:
    """Leave alone a table that no model describes: it may be another program's. So a drop_table is written by hand."""
    return not (kind == "table" and reflected and compare_to is None)


def configure(**options) -> None:
    context.configure(
        target_metadata=target_metadata,
        include_object=include_object,
        compare_type=True,
        compare_server_default=True,
        transaction_per_migration=True,  # or every lock is held until the last of all pending revisions has ended
        process_revision_directives=id_is_good,
        on_version_apply=after_each,
        **options,
    )


def id_is_good(ctx, parents, directives) -> None:
    """A revision's file is named by its id, so one that is taken would overwrite its file."""
    taken = {script.revision for script in context.script.walk_revisions()}
    for new in directives:
        if new.rev_id in taken:
            raise CommandError(f"There is a revision {new.rev_id} already. Choose another --rev-id.")
        if not re.fullmatch(r"\w{1,32}", new.rev_id):
            raise CommandError(f"{new.rev_id!r} is no good --rev-id: letters, digits and _, 32 of them at the most.")


def timeouts() -> list[str]:
    return [f"SET {name} = '{setting(name)}'" for name in ("lock_timeout", "statement_timeout")]


def after_each(ctx, step, **_) -> None:
    """The next revision begins with the usual timeouts, whatever this one has set."""
    applied.append(step.up_revision_id)
    for statement in timeouts():
        ctx.execute(statement)


def offline() -> None:
    """Write the SQL instead of running it (`--sql`); this needs no database."""
    configure(dialect_name="postgresql", literal_binds=True, dialect_opts={"paramstyle": "named"})
    with context.begin_transaction():
        for statement in timeouts():
            context.execute(statement)
        context.run_migrations()


def online() -> None:
    """Run the migrations; where a lock is not to be had, let everybody else go on, and try again a little later."""
    engine = create_engine(database_url(), poolclass=pool.NullPool, connect_args={"application_name": "alembic"})
    tries = int(setting("lock_tries"))
    for attempt in range(1, tries + 1):
        try:
            with connected(engine) as connection:
                migrate(connection)
            return
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) not in PASSING:
                raise
            said = str(error.orig).splitlines()[0]
            statement = f" in: {' '.join(error.statement.split())[:200]}" if error.statement else ""
            if attempt == tries:
                raise CommandError(
                    f"Gave up after {tries} tries: {said}{statement}. What was committed before stays. Look in "
                    "pg_stat_activity for a transaction that has been open for long, then run this again."
                ) from error
            if applied and steps_are_counted():
                raise CommandError(
                    f"Stopped: {said}{statement}. {', '.join(applied)} is done, and another try would count its steps "
                    "from there. Name the revision to go to, and run this again."
                ) from error
            pause = min(30, 2 ** (attempt - 2)) * random.uniform(0.5, 1.5)  # so that two runners don't meet again
            log.warning("%s%s. Try %d of %d, the next in %.1f s.", said, statement, attempt, tries, pause)
            time.sleep(pause)


def connected(engine: Engine) -> Connection:
    try:
        return engine.connect()
    except OperationalError as error:
        raise CommandError(f"No session at {engine.url!r}: {str(error.orig).strip()}") from None


def steps_are_counted() -> bool:
    """Is the revision to go to one such as +2 or -1?"""
    return bool(re.search(r"(^|@)[+-]\d", str(getattr(context.config.cmd_opts, "revision", None))))


def migrate(connection: Connection) -> None:
    for statement in timeouts():
        connection.exec_driver_sql(statement)
    connection.commit()  # or Alembic finds a transaction not its own, commits nothing, and says that all is well
    if not only_looks():
        wait_for_turn(connection)
    configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()


def only_looks() -> bool:
    command = getattr(context.config.cmd_opts, "cmd", None)
    return bool(command) and command[0].__name__ in ("check", "current", "history", "revision")


def wait_for_turn(connection: Connection) -> None:
    """Let one runner at a time migrate a database; its lock ends with its session.

    The lock is asked for again and again, with no transaction open between: CREATE INDEX CONCURRENTLY waits for every
    older snapshot, and a runner that waited inside pg_advisory_lock() would have one, so that each would wait for the other.
    """
    wait, told = int(setting("runner_wait")), False
    until = time.monotonic() + wait
    while not connection.scalar(text("SELECT pg_try_advisory_lock(:runner)"), {"runner": RUNNER}):
        connection.commit()
        if time.monotonic() > until:
            raise CommandError(
                f"Another runner has been migrating this database for {wait} s. Nothing was done here; "
                "it is the one in pg_stat_activity whose pid has an advisory lock in pg_locks."
            )
        if not told:
            log.warning("Another runner is migrating this database; waiting for it, up to %d s.", wait)
            told = True
        time.sleep(random.uniform(0.2, 0.6))
    connection.commit()


if context.config.config_file_name:
    fileConfig(context.config.config_file_name, disable_existing_loggers=False)
offline() if context.is_offline_mode() else online()

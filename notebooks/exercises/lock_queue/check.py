"""env.py gets a migration through a lock queue: readers hardly wait, it is applied in the end, and real errors come out."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psycopg

from migration_lab.grading import AlembicError, Graded, NotYet, Trace, snapshot

REPORT_STAYS = 3.0  # seconds after the migration has begun to wait for it
THE_NEXT_STAYS = (2.0, 2.6)
READER_MAY_WAIT = 1.2
GAVE_UP = "55P03"
WORK = 1.5  # seconds
ERRORS = {  # what cannot succeed: the psycopg classes of the two have different parents
    "adds a column twice": ("DuplicateColumn", "ALTER TABLE users ADD COLUMN nickname text"),
    "asks a sequence too early": (
        "ObjectNotInPrerequisiteState",
        "SELECT currval(pg_get_serial_sequence('users', 'id'))",
    ),
}
BROKEN = '''"""Cannot work"""

from alembic import op

revision = "0005_broken"
down_revision = "0004_nickname"


def upgrade() -> None:
    op.execute("{}")


def downgrade() -> None:
    pass
'''
LONG = f'''"""Works for longer than a reader may wait, and keeps nobody waiting"""

from alembic import op

revision = "0005_long"
down_revision = "0004_nickname"


def upgrade() -> None:
    op.execute("SELECT pg_sleep({WORK})")


def downgrade() -> None:
    pass
'''


def check(db: Graded) -> None:
    if "nickname" not in db.schema.tables["users"].columns:
        raise NotYet(
            "on a quiet server `upgrade head` ran, and users has no nickname after it. "
            "Did env.py commit? A SET begins a transaction, and Alembic leaves one that it finds to whoever began it."
        )
    behind_a_report(db)
    behind_one_that_comes_later(db)
    gives_up_with_a_status(db)
    real_errors_come_out(db)
    long_work_is_done(db)


def behind_a_report(db: Graded) -> None:
    """A report reads users before the migration comes, and until the migration has waited for it for some time."""

    def upgrade() -> None:
        with db.long_transaction("SELECT count(*) FROM users", REPORT_STAYS):
            db.alembic("upgrade", "head")

    came = f"a report had read users, and stayed for {REPORT_STAYS:.1f} s"
    gets_through(db, came, REPORT_STAYS, upgrade, "for as long as the report did not let go of users")


def behind_one_that_comes_later(db: Graded) -> None:
    """A report comes between the last look that a migration may take around and the statement that needs the lock."""
    stays = random.uniform(*THE_NEXT_STAYS)

    def upgrade() -> None:
        db.alembic("upgrade", "head", hindrance=db.latecomer("users", stays))

    came = f"a report read users right before your migration asked for its lock, and stayed for {stays:.1f} s"
    gets_through(
        db, came, stays, upgrade, "until that report was over: no look beforehand, and no pause, shows who comes next"
    )


def gets_through(db: Graded, scene: str, stays: float, upgrade: Callable[[], None], so_long: str) -> None:
    db.alembic("downgrade", db.start_revision)
    longest_wait, failure = beside_a_reader(db, upgrade)
    if longest_wait > stays * 0.9:
        raise NotYet(
            f"{scene}. A reader waited {longest_wait:.1f} s behind your migration, {so_long}. The migration had no lock yet; it "
            "only stood in front."
        )
    if longest_wait > READER_MAY_WAIT:
        raise NotYet(
            f"{scene}. A reader waited {longest_wait:.1f} s behind your migration before it gave up. The shop's pages take a "
            "second at most. Ask for the lock in shorter turns."
        )
    if failure and failure.sqlstate not in (GAVE_UP, None):
        raise failure
    if failure:
        raise NotYet(
            f"{scene}. The migration gave up and was not tried again until the report was gone: "
            f"{failure.sentence.rstrip('.')}. That is safe, but never applied."
        )
    says_so_if_not_applied(db, scene)


def gives_up_with_a_status(db: Graded) -> None:
    """No try gets the lock."""
    db.alembic("downgrade", db.start_revision)
    try:
        db.alembic("upgrade", "head", hindrance=db.always_locked("users"))
    except AlembicError:
        db.alembic("upgrade", "head")
    else:
        says_so_if_not_applied(db, "whenever your migration asked for its lock, a report read users")


def says_so_if_not_applied(db: Graded, scene: str) -> None:
    if "nickname" not in snapshot(db.session).tables["users"].columns:
        raise NotYet(
            f"{scene}. `alembic upgrade head` ended with exit status 0, and users has no nickname: after the last try the error "
            "was swallowed. Raise it, or a deployment goes on without its column."
        )


def beside_a_reader(db: Graded, upgrade: Callable[[], None]) -> tuple[float, AlembicError | None]:
    """(the longest that a reader waited in seconds, how the upgrade failed if it did)."""
    waits, done = [0.0], threading.Event()

    def read() -> None:
        with suppress(psycopg.Error), db.connect() as reader:  # one that is refused does not wait
            while not done.wait(0.03):
                began = time.monotonic()
                reader.execute("SELECT name FROM users WHERE id = 1")
                waits.append(time.monotonic() - began)

    reader, failure = threading.Thread(target=read), None
    reader.start()
    try:
        upgrade()
    except AlembicError as error:
        failure = error
    finally:
        done.set()
        reader.join()
    return max(waits), failure


def real_errors_come_out(db: Graded) -> None:
    for what, (name, statement) in ERRORS.items():
        try:
            with one_more(db, "0005_broken", BROKEN.format(statement)):
                db.alembic("upgrade", "head")
        except AlembicError as error:
            tries = sum(statement.error is not None for statement in error.trace.statements)
            if tries > 1:
                raise NotYet(
                    f"a migration that {what} was tried {tries} times. {name} will not heal by itself: "
                    "try again only after 55P03 (lock_not_available) or 40P01 (deadlock_detected)."
                ) from None
        else:
            raise NotYet(
                f"a migration that {what} ended with exit status 0: env.py keeps its error to itself. "
                "Let every error out that you don't try again."
            )


def long_work_is_done(db: Graded) -> None:
    """A revision after the one that takes the lock: it takes its time, and nobody may wait for it."""
    db.alembic("downgrade", db.start_revision)
    with one_more(db, "0005_long", LONG):
        waited, failure = beside_a_reader(db, lambda: db.alembic("upgrade", "head"))
        if failure and failure.sqlstate != "57014":
            raise failure
        if failure:
            raise NotYet(
                f"a migration that works for {WORK} s, and waits for nobody, was ended: {failure.sentence}. statement_timeout counts "
                "the work too; lock_timeout counts only the waiting for a lock."
            )
        if waited > READER_MAY_WAIT:
            raise NotYet(
                f"the revision after yours worked for {WORK} s without a lock, and a reader of users waited {waited:.1f} s: the two "
                "share a transaction, which keeps the first one's lock to its end. Give each revision a transaction of its own."
            )
        db.alembic("downgrade", "-1")


@contextmanager
def one_more(db: Graded, name: str, content: str) -> Iterator[None]:
    """One more revision file in the project, for as long as the block."""
    file = db.project / "migrations" / "versions" / f"{name}.py"
    file.write_text(content, encoding="utf-8")
    try:
        yield
    finally:
        file.unlink()


PASSED = (
    "readers hardly noticed, the migration came through when the report was gone, and a real error comes out at once."
)

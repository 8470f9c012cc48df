"""An item may have a sku: checked, one live item's own, and added while items are read and written and a report runs."""

import threading
from contextlib import suppress
from itertools import takewhile

import psycopg

from migration_lab.grading import AlembicError, Graded, NotYet, SECONDS, Trace, snapshot, ways_in

GIVEN = "002_items"
TABLE = "public.example_items"
CHECK = "ck_example_items_sku_1_to_20_characters"
INDEX = "uq_example_items_sku_live"
BUILD_WAITS = 2.5  # seconds, longer than env.py's lock_timeout
USER = "(SELECT max(id) FROM users)"
ITEM = f"INSERT INTO example_items (user_id, name, sku) VALUES ({USER}, 'a pen', {{0}}), ({USER}, 'a cup', {{1}})"
CODE = "'S1'"
# It keeps its snapshot, for which a concurrent build waits.
LONG_REPORT = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM users"
MAY_WAIT = 2_500  # ms: env.py's lock_timeout, on a busy machine
GAVE_UP = ("55P03", "57014", "42P07")  # lock_not_available, query_canceled, and what a second try meets of the first
REPORT_STAYS = 3.0  # seconds, longer than that
BUILDING = "SELECT 1 FROM pg_stat_progress_create_index WHERE datname = current_database()"
BUILT = "FROM pg_stat_progress_create_index WHERE datname = current_database() AND index_relid <> 0"
STRONGEST, VALIDATING = "AccessExclusiveLock", "ShareUpdateExclusiveLock"


def check(db: Graded) -> None:
    column_is_there(db)
    nobody_made_skus_up(db)
    check_is_there(db)
    live_items_have_their_own(db)
    models_agree(db)
    way_back_leaves_nothing(db)
    nobody_waits_for_a_scan(beside_a_report(db))
    gives_way_to_who_reads_items(db)
    finds_what_a_failed_try_left(db)
    each_step_back_is_one(db)


def column_is_there(db: Graded) -> None:
    if "sku" not in db.schema.tables["example_items"].columns:
        raise NotYet("example_items has no column sku after the upgrade.")
    if refused := db.refusal(f"INSERT INTO example_items (user_id, name) VALUES ({USER}, 'a pen')"):
        raise NotYet(
            f"code that knows no sku can't add an item any more: {refused.diag.message_primary}. "
            "It runs until the new code is everywhere; so a sku may be NULL."
        )


def nobody_made_skus_up(db: Graded) -> None:
    if made := db.value("SELECT count(sku) FROM example_items"):
        raise NotYet(
            f"{made:,} items have a sku after the upgrade, and nobody has given them one. The models let it be NULL; and to "
            "write every row beside a change of the schema is to hold its lock for as long."
        )


def check_is_there(db: Graded) -> None:
    checks = db.schema.tables["example_items"].constraints
    found = next((name for name in checks if "sku" in name and checks[name].kind == "check"), None)
    if found is None:
        raise NotYet("there is no check on sku: autogenerate does not see those, and models.py has one.")
    if found != CHECK:
        raise NotYet(
            f"the check is named {found}, and by the project's rule it is {CHECK}. The models' naming convention puts "
            'the prefix before it: say "sku_1_to_20_characters".'
        )
    if not checks[found].validated:
        raise NotYet(
            f"nobody has validated {CHECK} (pg_constraint.convalidated is false): it holds new rows to the rule and "
            "proves nothing of those that were there."
        )
    for sku, says in [("''", "an empty sku"), ("repeat('x', 21)", "a sku of 21 characters")]:
        if db.refusal(ITEM.format(sku, "NULL")) is None:
            raise NotYet(f"{says} was taken. The check in models.py says what a sku is.")
    for sku, says in [("repeat('ä', 20)", "a sku of 20 characters, 'ä' each time,"), ("'x'", "a sku of one character")]:
        if refused := db.refusal(ITEM.format(sku, "NULL")):
            raise NotYet(f"{says} was refused: {refused.diag.message_primary}.")
    user = db.before["users"][-1]["id"]
    for sku in ("", "x" * 21):
        if ways := ways_in(db, "example_items", {"sku": sku}, {"user_id": user, "name": "a pen", "sku": "S1"}):
            raise NotYet(f"a sku of {len(sku)} characters gets in by {ways}. The check in models.py holds every item.")


def live_items_have_their_own(db: Graded) -> None:
    index = db.schema.tables["example_items"].indexes.get(INDEX)
    if index is None:
        raise NotYet(f"example_items has no index {INDEX} after the upgrade.")
    if not index.valid:
        raise NotYet(f"{INDEX} is INVALID: its build failed and what it left was kept.")
    if db.refusal(ITEM.format(CODE, CODE)) is None:
        raise NotYet(f"two live items got the same sku. {INDEX} is: {index.definition}.")
    deleted = f"INSERT INTO example_items (user_id, name, sku, deleted_at) VALUES ({USER}, 'a pen', {CODE}, now())"
    if refused := db.refusal(f"{deleted}; {ITEM.format('NULL', CODE)}"):
        raise NotYet(
            f"a deleted item keeps its sku for ever: {refused.diag.message_primary}. The rule is about live items, "
            "those WHERE deleted_at IS NULL."
        )


def models_agree(db: Graded) -> None:
    try:
        db.alembic("check")
    except AlembicError as error:
        raise NotYet(f"`alembic check` finds that the database is not what models.py says. {error.sentence}") from None


def way_back_leaves_nothing(db: Graded) -> None:
    try:
        db.alembic("downgrade", GIVEN)
    except AlembicError as error:
        more = ' With type_="check", drop_constraint puts the prefix before the name: say it without.' * (
            "ck_example_items_ck_" in error.sentence
        )
        raise NotYet(f"there is no way back to {GIVEN}: {error.sentence}.{more}") from None
    if left := with_sku(db):
        raise NotYet(f"the database is back at {GIVEN}, and example_items still has {', '.join(sorted(left))}.")


def beside_a_report(db: Graded) -> Trace:
    """Once more, while somebody reads another table in one long transaction, which a concurrent build waits for."""
    with db.connect() as report:
        report.execute(f"BEGIN; {LONG_REPORT}")
        done = threading.Event()
        end = threading.Thread(target=end_after_a_build_has_waited, args=(db, report, done))
        end.start()
        try:
            trace, failure = db.alembic("-x", "statement_timeout=2s", "upgrade", "head"), None
        except AlembicError as error:
            if error.sqlstate not in GAVE_UP:
                raise
            trace, failure = error.trace, error.sentence
        finally:
            done.set()
            end.join()
    invalid = db.value("SELECT NOT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", INDEX)
    said = "a report had a transaction open for some seconds, and the build of the index waited for it"
    timeout = "Nobody waits for a build that waits: take both timeouts away from it."
    if failure and invalid:
        raise NotYet(
            f"{said} no longer than lock_timeout. It left {INDEX} INVALID, and the next try met it: {failure}. {timeout}"
        )
    if failure:
        raise NotYet(f"{said}; then the upgrade failed: {failure}. {timeout}")
    if invalid:
        raise NotYet(
            f"{said} no longer than lock_timeout. It left {INDEX} INVALID, the next try passed over it, and Alembic says "
            f"that all is well. {timeout}"
        )
    if any(one.error and "CREATE" in one.sql.upper() for one in trace.statements):
        raise NotYet(
            f"{said} no longer than a timeout; then it began anew, and beside a longer report it gives up. {timeout}"
        )
    return trace


def end_after_a_build_has_waited(db: Graded, report: psycopg.Connection, done: threading.Event) -> None:
    with db.connect() as look:
        while not done.wait(0.05) and look.execute(BUILDING).fetchone() is None:
            pass
        done.wait(BUILD_WAITS)
        report.execute("COMMIT")


def gives_way_to_who_reads_items(db: Graded) -> None:
    """A report on the items themselves: who waits for it with a strong lock keeps everybody else out meanwhile."""
    db.alembic("downgrade", GIVEN)
    with db.blocker("SELECT count(*) FROM example_items", REPORT_STAYS):
        trace = db.alembic("upgrade", "head")
    for one in trace.statements:
        strong = any(lock.relation == TABLE and lock.mode == STRONGEST for lock in one.locks)
        if strong and one.lock_wait_ms > MAY_WAIT:
            raise NotYet(
                f"while a report read example_items, `{one.sql[:60]}` waited {one.lock_wait_ms:,.0f} ms for its lock, and all "
                "who came to the items waited behind it. Take lock_timeout away for the build alone: nobody waits for that."
            )


def finds_what_a_failed_try_left(db: Graded) -> None:
    """Somebody cancels the build; the next `upgrade head` has to find its way from there."""
    db.alembic("downgrade", GIVEN)
    done = threading.Event()
    with db.open_transaction(LONG_REPORT, SECONDS):
        cancel = threading.Thread(target=cancel_the_build, args=(db, done))
        cancel.start()
        try:
            with suppress(AlembicError):
                db.alembic("upgrade", "head")
        finally:
            done.set()
            cancel.join()
    left = db.value("SELECT NOT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", INDEX)
    said = f"the build of {INDEX} was cancelled, and left it INVALID. Run again, the upgrade"
    try:
        db.alembic("upgrade", "head")
    except AlembicError as error:
        if not left:
            raise
        raise NotYet(f"{said} met it: {error.sentence}. What a failed try left has to go first.") from None
    if db.value("SELECT NOT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)", INDEX):
        raise NotYet(f"{said} passed over it by its name, and Alembic says that all is well.")


def cancel_the_build(db: Graded, done: threading.Event) -> None:
    with db.connect() as look:
        while not done.wait(0.02) and look.execute(f"SELECT pg_cancel_backend(pid) {BUILT}").fetchone() is None:
            pass


def each_step_back_is_one(db: Graded) -> None:
    """What each revision made, its own downgrade takes away: not a later one, together with the column."""
    made = takewhile(lambda revision: revision != GIVEN, (one.revision for one in db.revisions()))
    for revision in list(made)[1:]:
        db.alembic("downgrade", revision)
        found = with_sku(db)
        db.alembic("downgrade", GIVEN)
        db.alembic("upgrade", revision)
        if left := found - with_sku(db):
            raise NotYet(
                f"downgrade() ran, and example_items, back at {revision}, still has {', '.join(sorted(left))}."
            )
        db.alembic("upgrade", "head")


def with_sku(db: Graded) -> set[str]:
    items = snapshot(db.session).tables["example_items"]
    return {name for things in (items.columns, items.constraints, items.indexes) for name in things if "sku" in name}


def nobody_waits_for_a_scan(trace: Trace) -> None:
    """That nothing is done row by row under a lock on the items that stops writes."""
    for statement in trace.statements:
        if (
            statement.built and statement.unseen and "CONCURRENTLY" not in statement.sql.upper()
        ):  # over too soon to be seen
            raise NotYet(
                f"x-ray saw a statement without CONCURRENTLY, which blocks writes while the index is built: "
                f"`{' '.join(statement.sql.split())}`. LOCKS.md has the row; CHECKLIST.md has the form for a table in use."
            )
    for moment in trace.under(on=TABLE):
        if moment.did == "built":
            raise NotYet(
                f"x-ray saw a lock on example_items, which blocks writes while the index is built: {moment}. "
                "LOCKS.md has the row; CHECKLIST.md has the form for a table in use."
            )
        if moment.did == "scanned" and VALIDATING in {lock.mode for lock in moment.statement.locks}:
            raise NotYet(
                f"x-ray saw every item read under {moment.mode}, which an earlier statement of the same transaction "
                f"had taken: {moment}. A lock is held until the commit: validate in the next revision."
            )
        if moment.did == "scanned":
            raise NotYet(
                f"x-ray saw every item read under {moment.mode}, for a check that was not NOT VALID: all who come "
                f"meanwhile wait: {moment}. LOCKS.md has the two rows that are gentler."
            )
        if moment.did == "rewrote":
            raise NotYet(f"the server wrote every item anew, under a lock that stops all who come meanwhile: {moment}.")
        raise NotYet(f"all who come meanwhile wait while the server works on rows: {moment}.")


PASSED = "checked, proved, unique among live items; nobody waited for it, and the long report was no harm."

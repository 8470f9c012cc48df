"""users.age is NOT NULL, and no row was read under a lock that stops readers."""

import re

from migration_lab.grading import Graded, Moment, NotYet, Trace, several

UNPROVED = "SELECT conname FROM pg_constraint WHERE conrelid = 'users'::regclass AND NOT convalidated"
CHECKS = "SELECT conname FROM pg_constraint WHERE conrelid = 'users'::regclass AND contype = 'c'"
MORE = "INSERT INTO users (name, email, age) SELECT 'Guest', 'guest', '30' FROM generate_series(1, 200000)"


def check(db: Graded) -> None:
    nobody_waited_for_a_scan(trace_of(db))
    unproved = db.value(UNPROVED)
    if unproved:
        raise NotYet(
            f"nobody has validated {unproved}: pg_constraint.convalidated is false. "
            "It holds new rows to the rule and proves nothing of the old ones."
        )
    if db.schema.tables["users"].columns["age"].nullable:
        raise NotYet(
            "users.age still allows NULL (pg_attribute.attnotnull is false): the column itself should be NOT NULL."
        )
    left = db.value(CHECKS)
    if left:
        raise NotYet(f"{left} has done its work and is still there: every new row is tested twice. Drop it in the end.")
    if db.refusal("INSERT INTO users (name, email, age) VALUES ('Noor Khan', 'noor.khan@example.com', '30')"):
        raise NotYet("a user who gives an age can't sign up any more.")


def trace_of(db: Graded) -> Trace:
    """What x-ray saw; of a longer table where a scan outside of a transaction was too short to see its lock."""
    if not any(one.unseen and one.scanned for one in db.trace.statements):
        return db.trace
    db.downgrade(db.start_revision)
    with db.connect() as session:
        session.execute(MORE)
    trace = db.alembic("upgrade", "head")
    db.session.execute("DELETE FROM users WHERE name = 'Guest'")
    return trace


def nobody_waited_for_a_scan(trace: Trace) -> None:
    for moment in trace.under("reads", on="users"):
        if moment.taken_by is not moment.statement:
            raise NotYet(
                "x-ray saw users read under a lock that an earlier statement of the same transaction had taken, and "
                f"readers waited: {moment}. A lock is held until the commit: end the transaction before the scan."
            )
        if moment.did == "scanned":
            raise NotYet(
                f"the server verified users under {moment.mode}, and readers waited for it: {why(trace, moment)}."
            )
        raise NotYet(f"readers waited while the server worked on rows: {moment}.")


def why(trace: Trace, moment: Moment) -> str:
    sql = moment.statement.sql
    if more := several(sql):
        return more.rstrip(".")
    if re.search(r"\bADD\s+(CONSTRAINT|CHECK)\b", sql, re.IGNORECASE):
        return "without NOT VALID the check reads the table as it is added. Add it NOT VALID, and VALIDATE it in a later transaction"
    scans = [one for one in trace.statements if "public.users" in one.scanned]
    if scans[0] is moment.statement:
        return "there was no proof yet that no age is NULL. A valid CHECK is one"
    if re.search(r"\bDROP\s+CONSTRAINT\b", sql, re.IGNORECASE):
        return (
            "the proof went before it was used. In one command, DROP CONSTRAINT comes before SET NOT NULL; make it two"
        )
    return "what had been validated was no proof to the server. A valid CHECK (age IS NOT NULL) is one, and has to stand until then"


PASSED = "users.age is NOT NULL, and nobody who reads had to wait for a scan."

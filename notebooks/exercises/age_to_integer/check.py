"""users.age_int: the number where the text has one, kept in step; what can't be cast is reported, and nothing rewritten."""

import re

from migration_lab.grading import Graded, NotYet, WrongRows, ways_past

GIVEN = "0004_typed_by_people"
MOST = 100  # users that may be written while the change of the schema holds its lock


def ages(db: Graded) -> dict[int, str | None]:
    """What each user had typed, by the user's id."""
    return {user["id"]: user["age"] for user in db.before["users"]}


def number(age: str | None) -> int | None:
    """The whole number that a text is, blanks around it aside."""
    return int(age) if age and re.fullmatch(" *[0-9]{1,9} *", age) else None


def not_numbers(db: Graded) -> dict[int, str]:
    """The users who typed something that is no whole number; whoever typed nothing has a NULL there."""
    return {user: age for user, age in ages(db).items() if age is not None and number(age) is None}


def check(db: Graded) -> None:
    no_rewrite(db)
    columns = db.schema.tables["users"].columns
    if "age_int" not in columns:
        raise NotYet("users has no column age_int after the upgrade.")
    if columns["age_int"].type != "integer":
        raise NotYet(f"users.age_int is {columns['age_int'].type}; new code expects integer.")
    if "age" not in columns or columns["age"].type != "character varying(20)":
        raise NotYet(
            "users.age is not what it was, character varying(20). Old code still reads and writes it: leave it as it is."
        )
    if not columns["age_int"].nullable:
        raise NotYet("users.age_int is NOT NULL: a user who typed something else than a number has none.")
    what_was_typed(db)
    numbers(db)
    report(db)
    old_and_new_code(db)
    locks(db)


def no_rewrite(db: Graded) -> None:
    if any("public.users" in statement.rewrote for statement in db.trace.statements):
        raise NotYet(
            'the server wrote the whole table users anew (x-ray\'s "rewrote") under AccessExclusiveLock: nobody could read or write '
            "meanwhile. A nullable column beside the first needs none of that: a trigger and a backfill fill it."
        )


def what_was_typed(db: Graded) -> None:
    now = dict(db.rows("SELECT id, age FROM users"))
    changed = [user for user, age in ages(db).items() if now.get(user) != age]
    if changed:
        user = changed[0]
        raise WrongRows(
            f"user {user} had typed {ages(db)[user]!r}, and users.age says {now.get(user)!r} now: the migration took away what was "
            f"typed, of {len(changed)} users in all. Nobody can be asked again who is not known, and old code still reads it."
        )


def numbers(db: Graded) -> None:
    found = dict(db.rows("SELECT id, age_int FROM users"))
    wrong = {user: age for user, age in ages(db).items() if found.get(user) != number(age)}
    invented = [user for user, age in wrong.items() if number(age) is None]
    if invented:
        told = ", ".join(f"{wrong[user]!r} of user {user} became {found[user]}" for user in invented[:3])
        raise WrongRows(
            f"{told}: nobody typed these numbers. What is not a whole number stays NULL in age_int and is reported."
        )
    for user, age in wrong.items():
        if found.get(user) is not None:
            raise WrongRows(f"user {user} typed {age!r}, and age_int is {found[user]}: another number than their text.")
    if wrong:
        user = min(
            wrong, key=lambda user: (len(wrong[user]) != 2, user)
        )  # where even a plain age has no number, say that
        raise WrongRows(
            f"user {user} typed {wrong[user]!r}, and age_int is NULL. {why(wrong[user])} "
            f"{len(wrong)} users who typed a whole number have none."
        )


def why(age: str) -> str:
    if age != age.strip():
        return "There are blanks around it. A cast takes them; your guard leaves such a text out."
    if len(age) != 2:
        return "A whole number may have one digit, or three."
    return "The backfill did not reach them."


def report(db: Graded) -> None:
    expected = not_numbers(db)
    if db.value("SELECT to_regclass('age_not_a_number')") is None:
        raise NotYet(
            f"there is no view or table age_not_a_number: the migration does not report the {len(expected)} users whose age "
            "can't be cast. Who is to ask them?"
        )
    if db.refusal("SELECT id, age FROM age_not_a_number"):
        raise NotYet("age_not_a_number has no columns id and age, by which the shop finds the user and what was typed.")
    told = dict(db.rows("SELECT id, age FROM age_not_a_number WHERE age IS NOT NULL"))
    for user, age in expected.items():
        if told.get(user) != age:
            raise WrongRows(
                f"user {user} typed {age!r}, which can't be cast, and age_not_a_number "
                + (f"says {told[user]!r}." if user in told else "leaves them out.")
            )
    for user in told.keys() - expected.keys():
        raise WrongRows(f"age_not_a_number holds user {user}, who typed {told[user]!r}: that can be cast.")


def old_and_new_code(db: Graded) -> None:
    """Old code goes on signing people up, and new code reads the number."""
    signs_up = "INSERT INTO users (name, email, age) VALUES ('Una', 'una@example.com', %s::varchar) RETURNING age_int"
    for age in ("12b", ""):
        refused = db.refusal(signs_up, age)
        if refused:
            raise NotYet(
                f"the database refuses a sign-up with the age {age!r}, which it took before: {refused.diag.message_primary}. "
                "Old code sends what people type; the trigger's cast wants a guard too."
            )
    if db.value(signs_up, "33") != 33:
        raise NotYet(
            "a user whom old code signed up after the upgrade, aged '33', has no number yet: new code would not see it. "
            "What is written between the backfill and the last server's release needs a trigger."
        )
    for age in ("7", "103"):
        if db.value(signs_up, age) != int(age):
            raise NotYet(
                f"a user whom old code signed up, aged {age!r}, has no number: a whole number may have one digit, or three."
            )
    user = max(ages(db))
    if db.value("UPDATE users SET age = '34'::varchar WHERE id = %s RETURNING age_int", user) != 34:
        raise NotYet(
            "when old code changes an age that is there to '34', age_int keeps the old number: the trigger is for INSERT only."
        )
    if db.value("UPDATE users SET age = 'unknown'::varchar WHERE id = %s RETURNING age_int", user) is not None:
        raise NotYet(
            "when old code changes an age to 'unknown', age_int keeps the number that was there: it is no longer true."
        )
    una = {"name": "Una", "email": "una@example.com", "age": "20"}
    for age, rule in (("33", "age_int = 33"), ("unknown", "age_int IS NULL")):
        if ways := ways_past(db, "users", {"age": age}, una, rule):
            raise NotYet(f"age_int does not follow an age of {age!r} that old code writes by {ways}.")
    for age in (" 34 ", "12A", "", "034"):
        if ways := ways_past(db, "users", {"age": age}, una, f"age = '{age}'"):
            raise NotYet(
                f"old code writes the age {age!r} by {ways}, and users.age does not say so afterwards: it stays as it was typed."
            )


def locks(db: Graded) -> None:
    if db.filled_before_trigger("users", "age_int"):
        raise NotYet(
            "the numbers were filled in before the trigger was there: an age that old code wrote in between has none, and nobody "
            "fills it in again. First the trigger, then the backfill."
        )
    under = [one for one in db.trace.under(on="users") if one.did == "wrote" and one.statement.revision != GIVEN]
    if sum(moment.rows for moment in under) > MOST:
        raise NotYet(
            f"the backfill ran in one transaction with the change of the schema: {under[0]}. The lock is held until the "
            "commit. Let that transaction end first: an autocommit_block, or a revision of its own."
        )


def explain(error) -> str | None:
    if error.sqlstate == "22003":
        return (
            "This one has digits alone, and more of them than an integer takes: let the guard limit their number too."
        )
    if error.sqlstate == "22P02":
        return "A cast ends at the first value that it can't take, and not all that people typed is a number: cast what matches a pattern."
    return None


PASSED = "every number is there, the texts that are none are reported and kept, and old code goes on as before."

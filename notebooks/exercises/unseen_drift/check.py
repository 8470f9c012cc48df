"""coupons does what models.py says: its default, its check and its partial unique index."""

import re
from collections.abc import Iterator

from migration_lab.grading import AlembicError, Graded, NotYet, ways_in

SAID = ('server_default="10"', "percent BETWEEN 1 AND 90", "used_at IS NULL")
LOOK = "Put `\\d coupons` and models.py side by side: `alembic check` compares no such thing."
COUPON = {"code": "SPRING", "percent": 10}
CHECK, INDEX = "ck_coupons_percent", "uq_coupons_code_unused"
UNUSED = "INSERT INTO coupons (code, percent) VALUES ('SPRING', 10)"
USED = "INSERT INTO coupons (code, percent, used_at) VALUES ('SPRING', 10, now())"


def check(db: Graded) -> None:
    models = re.sub(r"\s+", " ", (db.project / "models.py").read_text(encoding="utf-8"))
    if not all(words in models for words in SAID):
        raise NotYet(
            "you have changed what models.py says. The application relies on it: it is the database that drifted."
        )
    if "coupons" not in db.schema.tables:
        raise NotYet(
            "there is no table coupons after the upgrade. 0004_coupons makes it; mend it there, with its rows."
        )
    found = [*default(db), *percent(db), *unused_codes(db)]
    if len(found) == 3:
        raise NotYet(f"nothing has changed: coupons still differs from models.py in three ways. {LOOK}")
    if found:
        raise NotYet(f"{found[0]} {LOOK}")
    under_their_names(db)
    try:
        db.alembic("check")
    except AlembicError as error:
        if "operations detected" not in error.sentence:
            raise
        raise NotYet(f"the three are mended, but now `alembic check` sees a difference: {error.sentence}") from None


def under_their_names(db: Graded) -> None:
    """The check and the index say themselves what models.py says of them: no second one mends what they leave open."""
    checks = [one.name for one in db.schema.tables["coupons"].constraints.values() if one.kind == "check"]
    if checks != [CHECK]:
        raise NotYet(f"coupons has the checks {', '.join(checks) or 'none'}, and models.py has {CHECK} alone. {LOOK}")
    uniques = [
        one.name for one in db.schema.tables["coupons"].indexes.values() if one.unique and one.constraint is None
    ]
    if uniques != [INDEX]:
        raise NotYet(
            f"coupons has the unique indexes {', '.join(uniques) or 'none'}, and models.py has {INDEX} alone. {LOOK}"
        )
    for percent in (0, 91):
        if ways := ways_in(db, "coupons", {"percent": percent}, COUPON):
            raise NotYet(f"a coupon of {percent} per cent gets in by {ways}; models.py says BETWEEN 1 AND 90.")


def default(db: Graded) -> Iterator[str]:
    column = db.schema.tables["coupons"].columns.get("percent")
    given = column.default if column else None
    if given != "10":
        yield f"a new coupon takes {given or 'NULL'} per cent off where nobody says how many; models.py says 10."


def percent(db: Graded) -> Iterator[str]:
    for number, allowed in {-5: False, 0: False, 91: False, 1: True, 90: True}.items():
        refusal = db.refusal("INSERT INTO coupons (code, percent) VALUES ('SPRING', %s)", number)
        if (refusal is None) != allowed:
            does = "takes" if refusal is None else "refuses"
            yield f"coupons {does} a coupon of {number} per cent; models.py says BETWEEN 1 AND 90."
            return


def unused_codes(db: Graded) -> Iterator[str]:
    if db.refusal(f"{UNUSED}; {UNUSED}") is None:
        yield "coupons takes two unused coupons of one code; by models.py, a code that is unused is unique."
    elif db.refusal(f"{USED}; {USED}"):
        yield "coupons refuses two used coupons of one code; by models.py, only unused codes are unique."
    elif db.refusal(f"{USED}; {UNUSED}"):
        yield "coupons refuses a code that has been used before; by models.py, only unused codes are unique."


def explain(error: AlembicError) -> str | None:
    if error.sqlstate == "23505":
        return "One of them has been used: by models.py, only unused codes are unique, and a coupon may come again."
    return None


PASSED = "the database does what models.py says, where `alembic check` looks and where it does not."

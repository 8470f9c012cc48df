"""users.city is there, as text that may be missing."""

from migration_lab.grading import Graded, NotYet, text_fault

USER = {"name": "Noor Khan", "email": "noor.khan@example.com"}


def check(db: Graded) -> None:
    columns = db.schema.tables["users"].columns
    if "city" not in columns:
        elsewhere = [table.name for table in db.schema.tables.values() if "city" in table.columns]
        added = sorted(set(columns) - set(db.start.tables["users"].columns))
        if elsewhere:
            raise NotYet(f"the column city stands in the table {elsewhere[0]}; the task asks for it in users.")
        if added:
            raise NotYet(f"users has a new column {added[0]}, but none called city. The application asks for city.")
        raise NotYet("users has no column city after the upgrade. `upgrade()` should add it.")
    city = columns["city"]
    if not city.nullable:
        raise NotYet("users.city is NOT NULL, so nobody can leave it out. It may be missing: nullable=True.")
    if fault := text_fault(db, "users", "city", 50, USER):
        raise NotYet(
            f"users.city is {city.type}, and {fault}; text of up to 50 characters is asked for: sa.String(length=50)."
        )


def explain(error) -> str | None:
    if error.sqlstate == "23502":
        return "The users who are there already have no city, so the column has to allow NULL: nullable=True."
    return None


PASSED = "users.city is there, and the way back works too. That is the whole craft in small."

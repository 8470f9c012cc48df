"""users.phone: required, '' for old users and for those of old code, and no row written for it."""

from migration_lab.grading import Graded, NotYet, WrongRows

OLD_CODE = "INSERT INTO users (name, email) VALUES ('Noor Khan', 'noor.khan@example.com') RETURNING phone"
NEW_CODE = "INSERT INTO users (name, email, phone) VALUES ('Noor Khan', 'noor.khan@example.com', '555 0100')"


def check(db: Graded) -> None:
    the_column_is_there(db)
    both_versions_sign_people_up(db)
    if db.schema.tables["users"].columns["phone"].nullable:
        raise NotYet(
            "users.phone allows NULL (pg_attribute.attnotnull is false). It should be required: "
            "as it is, a row without a phone could come in."
        )
    written = db.rows_written("users")
    if written:
        default = db.schema.tables["users"].columns["phone"].default or ""
        why = "The catalog can hold the default for all old rows: give it as the column is added."
        if "(" in default:
            why = f"The default {default} is computed for each row; a constant stays in the catalog, and holds for all old rows."
        raise NotYet(
            f"the database is right, but you rewrote {written} rows. On a large table writers wait for that. {why}"
        )


def the_column_is_there(db: Graded) -> None:
    column = db.schema.tables["users"].columns.get("phone")
    if column is None:
        raise NotYet("users has no column phone after the upgrade.")
    if column.type != "character varying(20)":
        raise NotYet(f"users.phone is {column.type}, not character varying(20).")
    empty = db.value("SELECT count(*) FROM users WHERE phone IS NULL")
    if empty:
        raise WrongRows(
            f"{empty} users that were there before have no phone (NULL), not ''. "
            "A default that comes after the column is for new rows only."
        )
    invented = db.rows("SELECT id, phone FROM users WHERE phone <> '' ORDER BY id")
    if invented:
        user, phone = invented[0]
        raise WrongRows(
            f"{len(invented)} users that were there before have a phone, and nobody has told us one: that of user {user} "
            f"is {phone!r}, and should be empty."
        )


def both_versions_sign_people_up(db: Graded) -> None:
    refused = db.refusal(OLD_CODE)
    if refused:
        raise NotYet(
            f"old code can't sign anybody up any more: {refused.diag.message_primary}. "
            "It runs until the last server has the release: keep the default."
        )
    given = db.value(OLD_CODE)
    if given != "":
        raise NotYet(f"a user of old code gets {given!r} for a phone, not '': look at the column's server_default.")
    refused = db.refusal(NEW_CODE)
    if refused:
        raise NotYet(f"new code, which gives a phone, can't sign anybody up: {refused.diag.message_primary}.")


def explain(error) -> str | None:
    if error.sqlstate == "23502":
        return (
            "The old rows would be NULL: the server knows no default to put into them. `default=` is SQLAlchemy's own, for rows "
            "that Python inserts; the server's is `server_default=`."
        )
    return None


PASSED = "everybody has a phone, old code and new code sign people up, and no row was written for it."

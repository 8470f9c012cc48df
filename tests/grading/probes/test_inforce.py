"""Whether what stands in a database is in force: a trigger that is disabled has its name, and a foreign key keeps its."""

from __future__ import annotations

import psycopg
import pytest

from migration_lab.grading.probes.inforce import not_in_force, standing


@pytest.fixture
def shop(database):
    database.execute(
        "CREATE TABLE users (id integer PRIMARY KEY, age integer);"
        "CREATE TABLE reviews (id integer PRIMARY KEY, user_id integer, stars integer);"
        "INSERT INTO users VALUES (1, 30), (2, NULL); INSERT INTO reviews VALUES (1, 1, 5), (2, 7, 9), (3, 8, 9);"
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$"
    )
    return database


# What only a superuser may do, as a learner is on the embedded server.
SUPER = ("UPDATE pg_", "EVENT TRIGGER", "session_replication_role", "TRIGGER ALL")


def run(session: psycopg.Connection, statements: str) -> None:
    """Run statements one by one; the test is skipped where the server does not let this role."""
    [(superuser,)] = session.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
    if superuser:
        session.execute("SET allow_system_table_mods = on")
    elif any(words in statements for words in SUPER):
        pytest.skip("needs a superuser")
    for statement in statements.split(";"):
        session.execute(statement)


KEY = "ALTER TABLE reviews ADD CONSTRAINT fk FOREIGN KEY (user_id) REFERENCES users NOT VALID;"
TRIGGER = "CREATE TRIGGER t BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION f();"


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        (KEY, "foreign key fk on reviews is NOT VALID"),
        ("ALTER TABLE reviews ADD CONSTRAINT ck CHECK (stars < 6) NOT VALID", "constraint ck on reviews is NOT VALID"),
        (TRIGGER + "ALTER TABLE users DISABLE TRIGGER t", "trigger t on users is disabled"),
        (TRIGGER + "ALTER TABLE users ENABLE REPLICA TRIGGER t", "trigger t on users is for replicas only"),
        (
            "CREATE RULE r AS ON DELETE TO users DO INSTEAD NOTHING; ALTER TABLE users DISABLE RULE r",
            "rule r on users is dis",
        ),
        ("CREATE POLICY p ON users USING (age > 18)", "policy p on users is not in force"),
        (
            "CREATE DOMAIN d AS integer; ALTER DOMAIN d ADD CONSTRAINT c CHECK (VALUE > 0) NOT VALID",
            "constraint c on the domain d",
        ),
        (
            "DELETE FROM reviews WHERE id > 1;"
            + KEY
            + "ALTER TABLE reviews VALIDATE CONSTRAINT fk, DISABLE TRIGGER ALL",
            "foreign key fk on reviews has triggers of its own that are disabled",
        ),
        (
            "DELETE FROM reviews WHERE id > 1;" + KEY + "ALTER TABLE reviews VALIDATE CONSTRAINT fk;"
            "ALTER TABLE users DISABLE TRIGGER ALL",
            "foreign key fk on reviews has triggers of its own that are disabled",
        ),
        (
            "CREATE EVENT TRIGGER e ON ddl_command_start EXECUTE FUNCTION g()",
            "event trigger e was made: it runs at each change of the schema",
        ),
        ("ALTER DATABASE {} SET session_replication_role = replica", "the setting session_replication_role was set"),
        (
            "ALTER TABLE reviews ADD CONSTRAINT ck CHECK (stars < 6) NOT VALID; UPDATE pg_class SET relchecks = 0"
            " WHERE relname = 'reviews'; UPDATE pg_constraint SET convalidated = true WHERE conname = 'ck'",
            "table reviews has checks, triggers, rules or indexes that the server passes over",
        ),
    ],
)
def test_what_holds_nobody_is_told(shop, statement, told):
    """Each of these stands there by its name, and passed for done."""
    before = standing(shop)
    shop.execute("CREATE FUNCTION g() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN END $$")
    run(shop, statement.format(shop.info.dbname))
    found = not_in_force(shop, before)
    assert found and found[0].startswith(told), found


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        (
            KEY + "UPDATE pg_constraint SET convalidated = true WHERE conname = 'fk'",
            "the rows are not so; rows that lead to no row: 2.",
        ),
        (
            "ALTER TABLE reviews ADD CONSTRAINT ck CHECK (stars < 6) NOT VALID;"
            "UPDATE pg_constraint SET convalidated = true WHERE conname = 'ck'",
            "constraint ck on reviews is marked as valid, and the rows are not so; rows that break it: 2.",
        ),
        (
            "UPDATE pg_attribute SET attnotnull = true WHERE attrelid = 'users'::regclass AND attname = 'age'",
            "users.age, which is NOT NULL, is marked as valid, and the rows are not so; rows without a value: 1.",
        ),
    ],
)
def test_a_catalog_that_was_edited_is_not_believed(shop, statement, told):
    """The server believes it: PostgreSQL 17 and later take age IS NULL for false then, without a look."""
    before = standing(shop)
    run(shop, statement)
    found = not_in_force(shop, before)
    assert found and found[0].endswith(told), found


def test_an_invalid_index_is_told_and_one_that_is_only_called_valid(shop):
    before = standing(shop)
    with pytest.raises(Exception, match="could not create unique index"):
        shop.execute("CREATE UNIQUE INDEX CONCURRENTLY uq ON reviews (stars)")
    assert [found[:27] for found in not_in_force(shop, before)] == ["index uq is INVALID (pg_ind"]
    run(shop, "UPDATE pg_index SET indisvalid = true, indisready = true WHERE indexrelid = 'uq'::regclass")
    assert "is marked as valid, and the server can't read it: could not read" in not_in_force(shop, before)[0]
    shop.execute("UPDATE pg_index SET indisvalid = false, indisready = false WHERE indexrelid = 'uq'::regclass")
    shop.execute("DROP INDEX uq; CREATE INDEX uq ON reviews (stars)")
    shop.execute("UPDATE pg_index SET indisunique = true WHERE indexrelid = 'uq'::regclass")
    [found] = not_in_force(shop, before)
    assert found.endswith(
        "unique index uq is marked as valid, and the rows are not so; keys that are there more than once: 1."
    )


def test_a_constraint_that_is_not_enforced_is_told(shop):
    if shop.info.server_version < 180000:
        pytest.skip("NOT ENFORCED came with PostgreSQL 18")
    before = standing(shop)
    shop.execute("ALTER TABLE reviews ADD CONSTRAINT ck CHECK (stars < 6) NOT ENFORCED")
    shop.execute("ALTER TABLE reviews ADD CONSTRAINT nn NOT NULL user_id NOT VALID")
    assert [found.split(" (")[0] for found in not_in_force(shop, before)] == [
        "NOT NULL constraint nn on reviews is NOT VALID",
        "constraint ck on reviews is NOT ENFORCED",
    ]


def test_what_was_so_before_or_is_declared_is_no_finding(shop):
    shop.execute("ALTER TABLE reviews ADD CONSTRAINT ck CHECK (stars < 6) NOT VALID")
    before = standing(shop)
    shop.execute(KEY)
    assert not_in_force(shop, before, frozenset({"foreign key fk on reviews"})) == []


def test_what_is_in_force_is_no_finding(shop):
    """Keys, checks, partial and expression indexes, partitions, a key to itself: the probe must read each of them."""
    before = standing(shop)
    shop.execute(
        "DELETE FROM reviews WHERE id > 1; DELETE FROM users WHERE age IS NULL;"
        + KEY
        + TRIGGER
        + "ALTER TABLE reviews VALIDATE CONSTRAINT fk; ALTER TABLE users ALTER age SET NOT NULL;"
        "ALTER TABLE reviews ADD CHECK (stars BETWEEN 1 AND 5 AND stars % 2 = 1), ADD UNIQUE (user_id, stars);"
        "CREATE UNIQUE INDEX ON reviews (lower(stars::text), (stars + 1)) WHERE stars > 2;"
        'CREATE SCHEMA "Odd one"; CREATE TABLE "Odd one"."T 1" ("A b" integer PRIMARY KEY, "%s" integer NOT NULL'
        ' REFERENCES "Odd one"."T 1" CHECK ("%s" > 0));'
        "CREATE TABLE parts (id integer NOT NULL, day date, PRIMARY KEY (id, day), CHECK (id > 0)) PARTITION BY RANGE (day);"
        "CREATE TABLE part_1 PARTITION OF parts FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');"
        "CREATE TABLE of_parts (id integer, day date, FOREIGN KEY (id, day) REFERENCES parts);"
        "CREATE VIEW v AS SELECT * FROM users; CREATE POLICY p ON users USING (age > 18);"
        "ALTER TABLE users ENABLE ROW LEVEL SECURITY"
    )
    assert not_in_force(shop, before) == []

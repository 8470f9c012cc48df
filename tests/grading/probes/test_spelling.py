"""A way back that makes a CHECK anew leads back, however PostgreSQL prints the rule then."""

from __future__ import annotations

import pytest

from migration_lab.grading.probes.spelling import diff
from migration_lab.pictures import snapshot

TABLE = "CREATE TABLE orders (id int, status varchar(20), CONSTRAINT ck CHECK ({}))"


@pytest.fixture
def differences(database):
    """What differs between tables with these two checks."""

    def differences(before: str, after: str) -> list[str]:
        schemas = []
        for rule in (before, after):
            database.execute("DROP TABLE IF EXISTS orders")
            database.execute(TABLE.format(rule))
            schemas.append(snapshot(database))
        return [str(change) for change in diff(*schemas)]

    return differences


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("status IN ('a', 'b')", "status = ANY (ARRAY['a', 'b']::text[])"),
        ("status <> 'a'", "status::text <> 'a'::text"),
    ],
)
def test_the_same_rule_in_another_spelling_is_no_difference(differences, before, after):
    assert differences(before, after) == []


@pytest.mark.parametrize(
    "after",
    [
        "status IN ('a', 'c')",
        "status IN ('a')",
        "status::varchar(1) IN ('a', 'b')",
        "status IN ('a', 'b') AND id > 0",
        "status NOT IN ('a', 'b')",
        "status = 'a' OR status = 'b'",  # the same, but built otherwise: it is told, since nobody proves that here
    ],
)
def test_another_rule_is_told(differences, after):
    [told] = differences("status IN ('a', 'b')", after)
    assert told.startswith("constraint ck on orders is CHECK")


def test_where_parentheses_decide_they_are_looked_at(differences):
    assert differences("status = 'a' AND (id > 0 OR id < 5)", "(status = 'a' AND id > 0) OR id < 5")

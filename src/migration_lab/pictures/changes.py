"""What differs between two snapshots of a database's schema, in sentences.

>>> before = snapshot(connection)
>>> connection.execute("ALTER TABLE users ADD COLUMN phone varchar(20)")
>>> [str(change) for change in diff(before, snapshot(connection))]
['column users.phone was added: character varying(20), nullable']
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from textwrap import shorten
from typing import Any

from .schema import Constraint, Index, Schema, Sequence, Table


@dataclass(frozen=True)
class Change:
    """One difference, whose ``str`` is a sentence.

    ``kind`` is 'added', 'removed' or 'changed'; ``object`` names the thing, 'column users.phone'; ``owner`` is the table
    that it is part of, or ''. What was added is ``after`` (a Column, say), what was removed is ``before``; in a 'changed'
    one they are the two values of ``attribute``, 'nullable'.
    """

    kind: str
    object: str
    owner: str = ""
    attribute: str | None = None
    before: Any = None
    after: Any = None

    def __str__(self) -> str:
        if self.attribute is None:
            return f"{self.object} was {self.kind}: {_description(self.after or self.before)}".removesuffix(": ")
        now, was = _say(self.attribute, self.after, self.before), _say(self.attribute, self.before, self.after)
        if sentence := SENTENCES.get(self.attribute):
            return f"{self.object} {sentence.format(now=now, was=was)}"
        has = f"no {self.attribute}" if now == "none" else f"{self.attribute} {now}"
        return f"{self.object} has {has}, had {was}"


IS = "is {now}, was {was}"
SENTENCES = {
    **dict.fromkeys(("type", "kind", "definition", "nullable", "validated", "valid", "enabled"), IS),
    "owned_by": "is owned by {now}, was owned by {was}",
    "constraint": "serves the constraint {now}, served {was}",
}
SAYINGS = {
    ("nullable", True): "nullable",
    ("nullable", False): "NOT NULL",
    ("validated", True): "validated",
    ("validated", False): "NOT VALID",
    ("valid", True): "valid",
    ("valid", False): "INVALID",
    ("owned_by", None): "no column",
}


def diff(before: Schema, after: Schema) -> list[Change]:
    """What differs, in the schema's order: [] exactly if ``before == after``.

    What comes and goes with another thing is not told apart: a table's pieces, a constraint's index, a column's sequence.
    """
    return [change for change in _differences(before, after) if not _implied(change, before, after)]


def _differences(before: Any, after: Any, label: str = "", owner: str = "", within: str = "") -> Iterator[Change]:
    """What differs between two things of one name, field by field; their parts are ``within`` them."""
    for part in fields(before):
        was, now = getattr(before, part.name), getattr(after, part.name)
        if part.metadata:
            for name in was | now:
                yield from _comings_and_goings(was.get(name), now.get(name), within)
        elif part.compare and was != now:
            yield Change("changed", label, owner, part.name, was, now)


def _comings_and_goings(was: Any, now: Any, owner: str) -> Iterator[Change]:
    thing = was or now
    label = thing.label.format(thing=thing, owner=owner)
    if was is None:
        yield Change("added", label, owner, after=now)
    elif now is None:
        yield Change("removed", label, owner, before=was)
    else:
        yield from _differences(was, now, label, owner, within=thing.name)


def _implied(change: Change, before: Schema, after: Schema) -> bool:
    """Does another change of the same diff say this one already?"""
    match change.after or change.before:
        case _ if change.kind == "changed":
            return False
        case Index(constraint=str()):
            return True
        case Sequence(owned_by=str(column)):
            return column in _column_names(before) ^ _column_names(after)
        case Constraint(kind="not null", columns=(column,)) if change.kind == "removed":
            now = after.tables[change.owner].columns.get(column)  # validated, it is the column's NOT NULL
            return now is not None and not now.nullable
    return False


def _column_names(schema: Schema) -> set[str]:
    return {f"{table.name}.{column}" for table in schema.tables.values() for column in table.columns}


def _description(thing: Any) -> str:
    """What there is to say of a thing that came or went: all that is not as usual."""
    if isinstance(thing, Table):
        return ", ".join(thing.columns)
    told = [
        _say(part.name, value) if SENTENCES.get(part.name) == IS else f"{part.name} {_say(part.name, value)}"
        for part in fields(thing)
        if part.compare and part.name not in ("name", "kind") and (value := getattr(thing, part.name)) != part.default
    ]
    return shorten(", ".join(told), 240, placeholder=" …")


def _say(attribute: str, value: Any, other: Any = None) -> str:
    """A value in words; of two long texts only the lines that differ."""
    if isinstance(value, tuple):
        return f"({', '.join(value)})" if value else "none"
    if not isinstance(value, str):
        return SAYINGS.get((attribute, value), "none")
    if attribute == "comment":
        return repr(value)
    lines, others = value.splitlines(), (other or "").splitlines()
    own = [line for line in lines if line not in others]
    if not own and set(others) - set(lines):
        return "without that"
    return " ".join(line.strip() for line in own or lines)

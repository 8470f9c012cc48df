"""What differs between two schemas, but for how PostgreSQL spells one and the same rule.

It writes a CHECK with the casts that its values needed: the words of ``status IN (…)`` come out as an array of varchar or of
text, by the form in which they were sent. To whoever writes a row the rule is the same.
"""

from __future__ import annotations

import re

from migration_lab.pictures import Change, Schema
from migration_lab.pictures import diff as literal

TEXT = re.compile(r"::(text|character varying)\b(?!\()(\[\])?")  # with a length, a cast cuts off
ALONE = re.compile(r"(?<!\w)\((\w+|ARRAY\[[^\[\]]*\])\)")  # parentheses around one name, or one array


def diff(before: Schema, after: Schema) -> list[Change]:
    """The changes that lead from one schema to the other, as ``pictures.diff`` gives them, without such spellings."""
    return [change for change in literal(before, after) if not _is_spelling(change)]


def _is_spelling(change: Change) -> bool:
    return (
        change.attribute == "definition"
        and change.object.startswith("constraint ")
        and _plain(change.before) == _plain(change.after)
    )


def _plain(definition: str) -> str:
    plain = TEXT.sub("", definition)
    while plain != (simpler := ALONE.sub(r"\1", plain)):
        plain = simpler
    return plain

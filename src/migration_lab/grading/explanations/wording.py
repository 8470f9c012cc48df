"""How messages quote, list and add."""

from __future__ import annotations

import re
from collections.abc import Iterable

from migration_xray.errors import AlembicError
from migration_xray.words import shortened

SHOWN = 100  # letters of a statement or a line in a message
QUOTED = re.compile(r"\$(\w*)\$.*?\$\1\$|'(?:[^']|'')*'|--[^\n]*", re.DOTALL)


def quoted(error: AlembicError) -> str:
    """An error as it was said, indented below a sentence about it."""
    return "\n".join(f"  {line}" for line in str(error).splitlines())


def listing(found: Iterable[object]) -> str:
    """What was found, one below the other, below a sentence about it."""
    return "".join(f"\n  - {one}" for one in found)


def below(sentence: str | None) -> str:
    """One more sentence below a message, or nothing."""
    return "".join(f"\n  {line}" for line in (sentence or "").splitlines())


def several(sql: str) -> str:
    """What it means that a string has several statements, in a sentence; "" where it has one.

    https://www.postgresql.org/docs/18/protocol-flow.html#PROTOCOL-FLOW-MULTI-STATEMENT
    """
    if not re.search(r";\s*\S", QUOTED.sub("", sql)):
        return ""
    return "Statements that are sent in one string are one transaction, in an autocommit_block too: give each an op.execute() of its own."


def short(sql: str) -> str:
    return shortened(sql, SHOWN)

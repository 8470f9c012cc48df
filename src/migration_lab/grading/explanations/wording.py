"""How messages quote, list and add."""

from __future__ import annotations

from collections.abc import Iterable

from migration_xray.errors import AlembicError

SHOWN = 100  # letters of a statement or a line in a message


def quoted(error: AlembicError) -> str:
    """An error as it was said, indented below a sentence about it."""
    return "\n".join(f"  {line}" for line in str(error).splitlines())


def listing(found: Iterable[object]) -> str:
    """What was found, one below the other, below a sentence about it."""
    return "".join(f"\n  - {one}" for one in found)


def below(sentence: str | None) -> str:
    """One more sentence below a message, or nothing."""
    return "".join(f"\n  {line}" for line in (sentence or "").splitlines())


def short(sql: str) -> str:
    line = " ".join(sql.split())
    return line if len(line) <= SHOWN else f"{line[:SHOWN]} …"

"""A file that Python can't read as text, or as Python."""

from __future__ import annotations

import ast
import codecs
import re
from pathlib import Path

from migration_xray.errors import AlembicError

from .scripts import LONGEST, VERSIONS
from .wording import SHOWN


def of_the_files(error: AlembicError, project: Path) -> str | None:
    """A file that Python can't read as text, or as Python."""
    if not re.match(r"(SyntaxError|IndentationError|TabError|UnicodeDecodeError|ValueError)\b", error.sentence):
        return None
    named = re.match(r"(.+), line \d+$", error.where or "")  # env.py, where Alembic met a file that it could not read
    files = [*([project / named[1]] if named else []), *sorted((project / VERSIONS).glob("*.py"))]
    for file in files:
        if file.is_file() and file.stat().st_size <= LONGEST and (why := _unreadable(file)):
            return why
    return None


def _unreadable(file: Path) -> str | None:
    content = file.read_bytes()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return f"{file.name} is saved as UTF-16. Python reads UTF-8: save the file in that encoding."
    if b"\0" in content:
        line = content[: content.index(b"\0")].count(b"\n") + 1
        return f"{file.name} has a null byte in line {line}. Write the line anew, and save the file as UTF-8."
    try:
        ast.parse(content)
    except SyntaxError as error:
        if "codec" in (error.msg or "") or "encoding" in (error.msg or ""):
            return _not_utf8(file.name, content)
        return _caret(content, error)
    return None


def _not_utf8(name: str, content: bytes) -> str | None:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        line, byte = content[: error.start].count(b"\n") + 1, content[error.start : error.start + 1]
        return (
            f"{name} is not saved as UTF-8: line {line} has the byte 0x{byte.hex()}, which would be {byte.decode('latin-1')!r} "
            "in latin-1. Save the file as UTF-8."
        )
    return None


def _caret(content: bytes, error: SyntaxError) -> str | None:
    """The line at which Python stopped, with a mark below the place."""
    if not error.lineno or not error.offset:
        return None
    lines = content.decode("utf-8-sig", errors="replace").splitlines()
    if error.lineno > len(lines) or len(line := lines[error.lineno - 1].expandtabs(1)) > SHOWN:
        return None
    why = ""
    if isinstance(error, TabError):
        why = "\nThe lines of this block begin with tabs here and with blanks there. Use four blanks everywhere."
    elif isinstance(error, IndentationError):
        why = "\nPython tells blocks by how far their lines are indented. Use four blanks for each level."
    return f"Python stopped here, in line {error.lineno}:\n  {line}\n  {' ' * (error.offset - 1)}^{why}"

"""The names that a lesson's cells set. Where one is gone after a restart, which earlier cell sets it."""

from __future__ import annotations

import ast
import builtins
import re
import sys
from collections.abc import Iterator
from functools import cache

from IPython.core.inputtransformer2 import TransformerManager
from IPython.core.interactiveshell import ExecutionInfo, InteractiveShell

from migration_lab.course import Cell, Lesson, code_cells, find_cell

MAGIC_LINE = re.compile(r"^\s*(?:[\w, ]+=\s*)?[%!].*$", re.M)
IN_BRACES = re.compile(r"\{([A-Za-z_]\w*)\}")


def help_with_names(shell: InteractiveShell, lesson: Lesson, info: ExecutionInfo, error: BaseException | None) -> None:
    """Say which cell to run again, where a cell used a name that it did not find and that an earlier cell sets."""
    source, cells = info.raw_cell or "", code_cells(lesson)
    here = find_cell(lesson, info.cell_id, source)
    earlier = cells[: cells.index(here)] if here else cells
    for name in dict.fromkeys(_unknown(shell, source, error)):
        setting = next((cell for cell in reversed(earlier) if name in assigned(cell.source)), None)
        if setting:
            print(_sentence(name, setting), file=sys.stderr)


@cache
def assigned(source: str) -> frozenset[str]:
    """The names that a cell leaves in the notebook."""
    return frozenset(_stored(_tree(source)))


@cache
def imported(source: str) -> dict[str, tuple[str, str | None]]:
    """The names that a cell imports: for each the module, and what is taken of it, None for the module itself."""
    names: dict[str, tuple[str, str | None]] = {}
    for statement in _tree(source).body:
        if isinstance(statement, ast.ImportFrom) and statement.module:
            names |= {alias.asname or alias.name: (statement.module, alias.name) for alias in statement.names}
        elif isinstance(statement, ast.Import):
            names |= {alias.asname or alias.name: (alias.name, None) for alias in statement.names}
    return names


def _tree(source: str) -> ast.Module:
    """The Python of a cell; empty if it has none."""
    if source.startswith("%%traffic"):  # its body is Python that runs in the notebook
        source = source.partition("\n")[2]
    try:
        return ast.parse(TransformerManager().transform_cell(source))
    except SyntaxError:
        return ast.Module([], [])


def _stored(node: ast.AST) -> Iterator[str]:
    """The names that a piece of code sets at its own level, not inside functions."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield child.name
        elif isinstance(child, (ast.Import, ast.ImportFrom)):
            yield from ((alias.asname or alias.name).partition(".")[0] for alias in child.names)
        elif isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
            yield child.id
        elif not isinstance(child, (ast.Lambda, ast.comprehension)):
            yield from _stored(child)


def _unknown(shell: InteractiveShell, source: str, error: BaseException | None) -> Iterator[str]:
    """The names that a cell used and did not find."""
    if isinstance(error, NameError) and error.name:
        yield error.name
    # IPython leaves {name} in a magic's line as it is where there is no such name, and the server rejects the brace.
    for line in MAGIC_LINE.findall(source):
        for name in IN_BRACES.findall(line):
            if name not in shell.user_ns and not hasattr(builtins, name):
                yield name


def _sentence(name: str, cell: Cell) -> str:
    lines = cell.source.splitlines()
    first = lines[0].strip()
    setting = next((line.strip() for line in lines if re.match(rf"\s*.*\b{name}\b", line)), first)
    where = f"the cell that begins with `{first}`" + ("" if setting == first else f" and has the line `{setting}`")
    return f"`{name}` comes from an earlier cell, and this kernel does not know it. Run that one first: {where}."

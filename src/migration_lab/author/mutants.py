"""Mutants of a solution: the solution with one small mistake in it, which the exercise's check has to refuse.

What no mutant can fail is not being checked. Mistakes in Python are made here, those in SQL texts in ``sqlmutants.py``.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any

import sqlalchemy
from sqlalchemy.dialects import postgresql

from migration_lab.course import Exercise, solution_of, starting

from . import sqlmutants

VERSIONS = "migrations/versions/"
MODULES = {"sa": sqlalchemy, "postgresql": postgresql}
NEEDED = {"Column": 2, "create_table": 1}  # of their positional arguments; what follows are columns, keys and checks
# Another type in place of each.
TYPES = {"BigInteger": "Integer", "Integer": "BigInteger", "Text": "LargeBinary", "Numeric": "Float"}
VALUES = {"server_default", "comment", "postgresql_using", "ondelete", "onupdate"}  # arguments that are no names
OTHER_ACTION = {"CASCADE": "RESTRICT", "RESTRICT": "CASCADE"}
OTHER_COMPARISON: dict[type, type] = {ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is}


@dataclass(frozen=True)
class Mutant:
    """A solution's file with one mistake. ``name`` says where and which, and stays the same when something else changes."""

    name: str
    file: str
    source: str


@dataclass(frozen=True)
class _Mistake:
    """What is set in place of one field of the syntax tree."""

    what: str
    owner: ast.AST
    field: str
    value: object


def mutants(exercise: Exercise) -> list[Mutant]:
    """Every mutant of an exercise's solution, in the order of its files and lines."""
    files = {name: content.decode("utf-8") for name, content in solution_of(exercise).items() if content is not None}
    made = [mutant for name in sorted(files) if name.endswith(".py") for mutant in _of_file(name, files[name])]
    made += _renamed(exercise, {name: text for name, text in files.items() if name.endswith(".py")})
    known, seen = Counter(mutant.name for mutant in made), Counter[str]()
    numbered = []
    for mutant in made:
        seen[mutant.name] += 1
        which = f" ({seen[mutant.name]})" if known[mutant.name] > 1 else ""
        numbered.append(Mutant(mutant.name + which, mutant.file, mutant.source))
    return numbered


def _of_file(name: str, text: str) -> Iterator[Mutant]:
    tree, file = ast.parse(text), PurePosixPath(name).name
    original = ast.unparse(tree)
    for place, part in _parts(tree, name.startswith(VERSIONS)):
        for mistake in list(_mistakes(part)):
            was = getattr(mistake.owner, mistake.field)
            setattr(mistake.owner, mistake.field, mistake.value)
            source = ast.unparse(ast.fix_missing_locations(tree))
            setattr(mistake.owner, mistake.field, was)
            if source != original:
                yield Mutant(_one_line(f"{file} {place}: {mistake.what}"), name, source + "\n")


def _parts(tree: ast.Module, is_revision: bool) -> Iterator[tuple[str, ast.AST]]:
    """What can be wrong in a file, with names: its functions, its constants, and the body of an env.py."""
    if not is_revision:
        yield "module", tree
        return
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node.name, node
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if name not in ("revision", "branch_labels", "depends_on"):
                yield name, node


def _mistakes(part: ast.AST) -> Iterator[_Mistake]:
    """All mistakes that are made in a function, a constant or a module; docstrings and names of functions stay."""
    yield from _of_statements(part)
    keys, alternatives = _keys(part), list[ast.AST]()
    for calls, node in _with_calls(part, ()):
        where = f" in {_in_words(calls)}" if calls else ""
        if isinstance(node, ast.Call):
            yield from _of_call(node, _in_words((*calls, node)), keys)
        elif isinstance(node, ast.List | ast.Tuple) and isinstance(node.ctx, ast.Load):
            yield from _of_elements(node, where)
        elif isinstance(node, ast.Constant):
            if node not in alternatives:
                yield from _of_constant(node, where)
        elif isinstance(node, ast.BoolOp):
            alternatives += node.values
            for at, value in enumerate(node.values):
                rest = node.values[:at] + node.values[at + 1 :]
                yield _Mistake(f"without `{_short(value)}` in `{_short(node)}`", node, "values", rest)
        elif isinstance(node, ast.Compare) and (other := OTHER_COMPARISON.get(type(node.ops[0]))):
            yield _Mistake(f"the contrary of `{_short(node)}`", node, "ops", [other()])


def _of_statements(part: ast.AST) -> Iterator[_Mistake]:
    """Each statement left out, each two neighbours swapped, and what is in a `with` block put outside of it."""
    for node in ast.walk(part):
        for field in ("body", "orelse"):
            body = getattr(node, field, None)
            if not isinstance(body, list):
                continue
            for at, statement in enumerate(body):
                if _is_idle(statement) or (_bound(statement) & _used(*body[at + 1 :])):
                    continue  # without it, the next line fails by its name
                rest = body[:at] + body[at + 1 :]
                yield _Mistake(f"without {_short(statement)}", node, field, rest or [ast.Pass()])
            for at, (first, second) in enumerate(pairwise(body)):
                if _is_idle(first) or _is_idle(second) or _bound(first) & _used(second) or _apart(first, second):
                    continue
                swapped = [*body[:at], second, first, *body[at + 2 :]]
                yield _Mistake(f"{_short(second)} before {_short(first)}", node, field, swapped)
            for at, statement in enumerate(body):
                if isinstance(statement, ast.With) and not statement.items[0].optional_vars:
                    block = _short(statement.items[0].context_expr)
                    inside = _short(statement.body[0])
                    opened = [*body[:at], *statement.body, *body[at + 1 :]]
                    yield _Mistake(f"{inside} outside of `with {block}`", node, field, opened)


def _is_idle(statement: ast.stmt) -> bool:
    """Whether a statement does nothing when a migration runs, or is what all others stand on."""
    docstring = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return docstring or isinstance(statement, ast.Pass | ast.Import | ast.ImportFrom | ast.FunctionDef)


def _apart(first: ast.stmt, second: ast.stmt) -> bool:
    """Whether the order of two statements is no matter: two names are given, two indexes or two columns are changed."""
    if isinstance(first, ast.Assign) and isinstance(second, ast.Assign):
        return True
    calls = [statement.value for statement in (first, second) if isinstance(statement, ast.Expr)]
    operations = {_name(call) for call in calls if isinstance(call, ast.Call)}
    if len(calls) < 2 or len(operations) != 1 or not operations <= {"alter_column", "create_index", "drop_index"}:
        return False
    of_column = 2 if operations == {"alter_column"} else 1  # how many arguments name what is changed
    named = [[ast.dump(argument) for argument in call.args[:of_column]] for call in calls if isinstance(call, ast.Call)]
    return named[0] != named[1]


def _bound(statement: ast.stmt) -> set[str]:
    return {node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def _used(*statements: ast.stmt) -> set[str]:
    every = (node for statement in statements for node in ast.walk(statement))
    return {node.id for node in every if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}


def _with_calls(node: ast.AST, calls: tuple[ast.Call, ...]) -> Iterator[tuple[tuple[ast.Call, ...], ast.AST]]:
    """Each node below this one, with the calls that it is in; annotations and docstrings left out."""
    for field, value in ast.iter_fields(node):
        if isinstance(node, ast.FunctionDef) and field != "body":
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not (isinstance(child, ast.Expr) and _is_idle(child)):
                yield calls, child
                yield from _with_calls(child, (*calls, child) if isinstance(child, ast.Call) else calls)


def _in_words(calls: tuple[ast.Call, ...]) -> str:
    """A call's text; that of a type, as `sa.String(length=20)`, with the call that it is an argument of."""
    names = calls[-1].args and isinstance(calls[-1].args[0], ast.Constant) and isinstance(calls[-1].args[0].value, str)
    return _short(calls[-1]) if names or len(calls) == 1 else f"{_short(calls[-1])} of {_short(calls[-2])}"


def _keys(part: ast.AST) -> set[object]:
    """The columns of primary keys, which are NOT NULL without saying so."""
    calls = (node for node in ast.walk(part) if isinstance(node, ast.Call) and _name(node) == "PrimaryKeyConstraint")
    return {argument.value for call in calls for argument in call.args if isinstance(argument, ast.Constant)}


def _of_call(call: ast.Call, inside: str, keys: set[object]) -> Iterator[_Mistake]:
    """Each argument left out that the call can do without, and each flag and each value changed."""
    function, told = _name(call), _parameters(call)
    for at, argument in enumerate(call.args):
        name, kind = told[at] if at < len(told) else ("", None)
        if kind is inspect.Parameter.VAR_POSITIONAL:
            rest = call.args[:at] + call.args[at + 1 :]
            yield _Mistake(f"without {_short(argument)} in {inside}", call, "args", rest)
        elif kind is not None and at == len(call.args) - 1:
            yield _Mistake(f"without {name} in {inside}", call, "args", call.args[:at])
    for at, keyword in enumerate(call.keywords):
        others = call.keywords[:at] + call.keywords[at + 1 :]
        name, value = keyword.arg or "", keyword.value
        needless = _says_what_holds(call, keyword, keys)
        if name != "name" and (function, name) != ("drop_constraint", "type_") and not needless:
            yield _Mistake(f"without {_short(keyword)} in {inside}", call, "keywords", others)
        if not isinstance(value, ast.Constant):
            continue
        if isinstance(value.value, bool) and (function == "alter_column" or (needless and value.value)):
            yield _Mistake(f"{name}={not value.value} in {inside}", value, "value", not value.value)
        elif isinstance(value.value, str) and name in VALUES and not sqlmutants.is_sql(value.value):
            other = _other_text(value.value)
            yield _Mistake(f"{name}={other!r} in {inside}", value, "value", other)
    if isinstance(call.func, ast.Attribute) and (other_type := TYPES.get(function)):
        yield _Mistake(f"{other_type} in place of {inside}", call.func, "attr", other_type)


def _says_what_holds(call: ast.Call, keyword: ast.keyword, keys: set[object]) -> bool:
    """Whether a column's `nullable` says what holds without it."""
    if _name(call) != "Column" or keyword.arg != "nullable" or not isinstance(keyword.value, ast.Constant):
        return False
    is_key = isinstance(call.args[0], ast.Constant) and call.args[0].value in keys
    return keyword.value.value is not is_key


def _name(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _parameters(call: ast.Call) -> list[tuple[str, Any]]:
    """The name of each positional argument, and its kind; the kind is None where the call needs it or nothing is known."""
    function = call.func
    if not (isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name)):
        return []
    needed = NEEDED.get(function.attr)
    if needed is not None:
        return [("", None)] * needed + [("", inspect.Parameter.VAR_POSITIONAL)] * (len(call.args) - needed)
    try:
        signature = inspect.signature(getattr(MODULES[function.value.id], function.attr))
    except (KeyError, AttributeError, ValueError, TypeError):
        return []
    told: list[tuple[str, Any]] = []
    for parameter in signature.parameters.values():
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            told += [(parameter.name, parameter.kind)] * (len(call.args) - len(told))
        else:
            told.append((parameter.name, None if parameter.default is inspect.Parameter.empty else parameter.kind))
    return told


def _of_elements(node: ast.List | ast.Tuple, where: str) -> Iterator[_Mistake]:
    if len(node.elts) < 2:
        return
    for at, element in enumerate(node.elts):
        rest = node.elts[:at] + node.elts[at + 1 :]
        yield _Mistake(f"without {_short(element)} in {_short(node)}{where}", node, "elts", rest)
    for at, (first, second) in enumerate(pairwise(node.elts)):
        swapped = [*node.elts[:at], second, first, *node.elts[at + 2 :]]
        yield _Mistake(f"{_short(second)} before {_short(first)}{where}", node, "elts", swapped)


def _of_constant(node: ast.Constant, where: str) -> Iterator[_Mistake]:
    if isinstance(node.value, str) and sqlmutants.is_sql(node.value):
        for what, text in sqlmutants.mutated(node.value):
            yield _Mistake(what + where, node, "value", text)
    elif isinstance(node.value, int) and not isinstance(node.value, bool):
        for other in (node.value - 1, node.value + 1):
            yield _Mistake(f"{other} in place of {node.value}{where}", node, "value", other)


def _other_text(text: str) -> str:
    """A value that differs in one letter, or by one."""
    if text in OTHER_ACTION:
        return OTHER_ACTION[text]
    if text.isdigit():
        return str(int(text) + 1)
    return text[:-1] + ("y" if text.endswith("x") else "x") if text else "x"


def _renamed(exercise: Exercise, files: dict[str, str]) -> Iterator[Mutant]:
    """Each new name that the starter's file says too, so that it is fixed, changed wherever the solution's file has it."""
    for name, text in files.items():
        told, others = starting(exercise).get(name, b"").decode("utf-8", "replace"), set(files) - {name}
        for made in sorted(_new_names(ast.parse(text))):
            word = re.compile(rf"\b{re.escape(made)}\b")
            if not word.search(told) or any(word.search(files[other]) for other in others):
                continue
            tree = ast.parse(text)
            for node in ast.walk(tree):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    node.value = word.sub(f"{made}_x", node.value)
            yield Mutant(f"{PurePosixPath(name).name}: {made}_x in place of {made}", name, ast.unparse(tree) + "\n")


def _new_names(tree: ast.AST) -> set[str]:
    """The names of columns, tables, constraints and indexes that a file creates with Alembic's operations."""
    creating = {"create_table", "create_index", "create_check_constraint", "create_foreign_key", "Column"}
    creating |= {"create_unique_constraint", "PrimaryKeyConstraint"}
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _name(node) in creating:
            named = [keyword.value for keyword in node.keywords if keyword.arg == "name"] or node.args[:1]
            names |= {one.value for one in named if isinstance(one, ast.Constant) and isinstance(one.value, str)}
    return names - {"id"}


def _short(node: ast.AST) -> str:
    """A node's text; of a call with several arguments the first one only, so that a name outlives a change of the others."""
    if isinstance(node, ast.Expr):
        return _short(node.value)
    if isinstance(node, ast.With):
        return f"with {_short(node.items[0].context_expr)}: {_short(node.body[0])}"
    text = _one_line(ast.unparse(node))
    if isinstance(node, ast.Call) and len(node.args) + len(node.keywords) > 1 and len(text) > 40:
        first = ast.unparse((node.args or node.keywords)[0])
        text = f"{ast.unparse(node.func)}({_one_line(first)}, …)"
    return textwrap.shorten(text, 90, placeholder=" …")


def _one_line(text: str) -> str:
    """In one line, and with one kind of quotes: a name is a key in exercise.toml."""
    return " ".join(text.replace("\\n", " ").replace('"', "'").split())

"""Small mistakes in a text of SQL: a clause, a condition, a column or a statement of a trigger left out or changed.

It reads words, not grammar: a mistake that PostgreSQL refuses costs a grading and is refused there.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

STATEMENT = re.compile(r"\s*(ALTER|CREATE|DELETE|DO|DROP|INSERT|LOCK|REINDEX|SELECT|SET|TRUNCATE|UPDATE|WITH)\b")
CONDITION = re.compile(r"[<>=~]|\b(BETWEEN|IN|IS|NOT)\b|::")

# What a statement can be written without.
LEFT_OUT = re.compile(
    r"\b(?:CONCURRENTLY|NOT VALID|IF NOT EXISTS|IF EXISTS|CASCADE|RESTRICT|UNIQUE|DISTINCT(?! FROM)|OR REPLACE|LOCAL|STRICT"
    r"|ON (?:DELETE|UPDATE) (?:CASCADE|RESTRICT|SET NULL)|(?<!IS )NOT NULL|INSERT OR|OR UPDATE|OF \w+|USING INDEX \w+)\b"
    r"|(?<!IS )\bNOT (?=\w+\b(?! *VALID| *NULL| *EXISTS *'))|::\w+"
)
IN_PLACE = [
    (r"\bBEFORE\b", "AFTER"),
    (r"\bAFTER\b", "BEFORE"),
    (r"\bFOR EACH ROW\b", "FOR EACH STATEMENT"),
    (r"\bIS NOT NULL\b", "IS NULL"),
    (r"\bIS NULL\b", "IS NOT NULL"),
    (r"\bIS DISTINCT FROM\b", "<>"),
    (r"(?<![<>:!])>=", ">"),
    (r"(?<![<=])>(?!=)", ">="),
    (r"<=", "<"),
    (r"<(?![>=])", "<="),
    (r"<>", "="),
    (r"(?<![<>:!])=", "<>"),
    (r"\bOR\b(?! UPDATE| REPLACE| INSERT| DELETE)", "AND"),
    (r"\bcoalesce\((\S+?), [^)]*\)", r"\1"),
    (r"\b(?:lower|upper|trim|btrim)\(((?:[^()]|\([^()]*\))*)\)", r"\1"),
    (r"(?<=timeout = )'\w+'", "0"),
]
WHERE_ENDS = {"GROUP", "ORDER", "LIMIT", "RETURNING", "WINDOW", ";"}
TOKEN = re.compile(r"'(?:[^']|'')*'|\$\w*\$|\d[\d_]*(?:\.\d+)?|\w+|\S")


@dataclass(frozen=True)
class _Token:
    """A word, and in how many parentheses it is."""

    text: str
    start: int
    end: int
    depth: int


def is_sql(text: str) -> bool:
    """Whether a text is a statement or a condition, judged by its words."""
    return bool(STATEMENT.match(text) or CONDITION.search(text))


def mutated(text: str) -> Iterator[tuple[str, str]]:
    """What was changed, and the text that came of it; each text comes once."""
    seen = {" ".join(text.split())}
    for start, end, other in _changes(text):
        changed = text[:start] + other + text[end:]
        if " ".join(changed.split()) not in seen:
            seen.add(" ".join(changed.split()))
            was, now = _short(text[start:end]), _short(other)
            yield f"`{now}` in place of `{was}`" if now else f"without `{was}`", changed


def _changes(text: str) -> Iterator[tuple[int, int, str]]:
    """From where to where, and what stands there then."""
    tokens = list(_tokens(text))
    yield from _of_words(text)
    yield from _of_conditions(text, tokens)
    yield from _of_lists(text, tokens)
    yield from _of_bodies(text)
    for token in tokens:
        yield from _of_literal(text, token)


def _tokens(text: str) -> Iterator[_Token]:
    depth = 0
    for found in TOKEN.finditer(text):
        depth -= found[0] == ")"
        yield _Token(found[0], found.start(), found.end(), depth)
        depth += found[0] == "("


def _of_words(text: str) -> Iterator[tuple[int, int, str]]:
    hidden = [(found.start(), found.end()) for found in re.finditer(r"'(?:[^']|'')*'", text)]

    def in_literal(found: re.Match[str]) -> bool:
        return any(start < found.start() < end for start, end in hidden)

    for found in LEFT_OUT.finditer(text):
        if not in_literal(found):
            yield found.start(), found.end(), ""
    assigns = re.search(r"\bSET\b", text) is not None
    where = text.find("WHERE") if assigns else 0
    for pattern, other in IN_PLACE:
        for found in re.finditer(pattern, text):
            sets = other == "<>" and found[0] == "=" and (where < 0 or found.start() < where)
            if not in_literal(found) and not sets:
                yield found.start(), found.end(), found.expand(other)


def _of_conditions(text: str, tokens: list[_Token]) -> Iterator[tuple[int, int, str]]:
    """Each WHERE left out, and each of the conditions that AND links."""
    for at, token in enumerate(tokens):
        if token.text != "WHERE":
            continue
        inside = []
        for other in tokens[at + 1 :]:
            if other.depth < token.depth or (other.depth == token.depth and other.text in WHERE_ENDS):
                break
            inside.append(other)
        if inside:
            yield token.start, inside[-1].end, ""
            yield from _without_operand(inside)
    if not STATEMENT.match(text):
        yield from _without_operand(tokens)


def _without_operand(tokens: list[_Token]) -> Iterator[tuple[int, int, str]]:
    links, between = [], False
    for at, token in enumerate(tokens):
        if token.depth == tokens[0].depth and token.text == "AND" and not between:
            links.append(at)
        between = (between or token.text == "BETWEEN") and token.text != "AND"
    if not links:
        return
    for number, link in enumerate(links):
        following = links[number + 1] if number + 1 < len(links) else len(tokens)
        if number == 0:
            yield tokens[0].start, tokens[link].end, ""
        yield tokens[link].start, tokens[following - 1].end, ""


def _of_lists(text: str, tokens: list[_Token]) -> Iterator[tuple[int, int, str]]:
    """Each element of a list left out: in parentheses, between SELECT and FROM; two columns of an index swapped."""
    for at, token in enumerate(tokens):
        if token.text == "(" or (token.text == "SELECT" and at + 1 < len(tokens)):
            depth = token.depth + (token.text == "(")
            inside = []
            for other in tokens[at + 1 :]:
                if other.depth < depth or (token.text == "SELECT" and other.depth == depth and other.text == "FROM"):
                    break
                inside.append(other)
            commas = [number for number, other in enumerate(inside) if other.text == "," and other.depth == depth]
            if not commas:
                continue
            edges = [-1, *commas, len(inside)]
            parts = [(inside[first + 1].start, inside[last - 1].end) for first, last in pairwise(edges)]
            for number, (start, end) in enumerate(parts):
                if number:
                    yield parts[number - 1][1], end, ""
                else:
                    yield start, parts[1][0], ""
            is_set = at and tokens[at - 1].text == "IN"
            if not is_set:
                for (start, end), (begin, stop) in pairwise(parts):
                    yield start, stop, text[begin:stop] + text[end:begin] + text[start:end]


def _of_bodies(text: str) -> Iterator[tuple[int, int, str]]:
    """Each plain statement of a function's body replaced by one that does nothing; two neighbours swapped."""
    body = re.search(r"\bBEGIN\b(.*)\bEND\b", text, re.DOTALL)
    if not body:
        return
    offset = body.start(1)
    plain = [
        (found.start() + offset, found.end() + offset)
        for found in re.finditer(r"(?:\bNEW\.\w+ :=|(?<!')\b(?:UPDATE|INSERT|DELETE|PERFORM|RAISE)\b)[^;]*;", body[1])
    ]
    for start, end in plain:
        yield start, end, "NULL;"
    for (start, end), (begin, stop) in pairwise(plain):
        if not text[end:begin].strip():
            yield start, stop, text[begin:stop] + text[end:begin] + text[start:end]


def _of_literal(text: str, token: _Token) -> Iterator[tuple[int, int, str]]:
    """Each number a little larger or smaller; each text another one, and each part of a pattern left out."""
    if token.text[0].isdigit() and token.text.replace("_", "").isdigit():
        number = int(token.text)
        for other in (number - 1, number + 1):
            if other >= 0:
                yield token.start, token.end, str(other)
    elif token.text.startswith("'"):
        inside = token.text[1:-1]
        if re.search(r"~\*?\s*$", text[: token.start]):
            for found in re.finditer(r"\^|\$| \*|(?<=[{,])\d+(?=[,}])", inside):
                start = token.start + 1 + found.start()
                others = ["" if not found[0].isdigit() else str(int(found[0]) + step) for step in (-1, 1)]
                for changed in dict.fromkeys(others):
                    yield start, start + len(found[0]), changed
        elif not re.search(r"timeout = $", text[: token.start]):
            yield token.start, token.end, f"'{inside[:-1]}x'" if inside else "'x'"


def _short(text: str) -> str:
    return textwrap.shorten(text.strip(), 48, placeholder=" …")

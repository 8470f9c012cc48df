"""An answer and the solution as a diff, readable as text and as HTML. The signs + and - say whose a line is, not the colour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import unified_diff
from html import escape
from pathlib import PurePosixPath

LEGEND = (
    "Lines with - are in your answer only, lines with + in the solution only. … stands for lines that are the same."
)
# A tint of any colour leaves the text's contrast as it is on a light page and on a dark one.
EDGES = {"-": ("del", "#c24400", "rgba(194, 68, 0, 0.12)"), "+": ("ins", "#1a6fc4", "rgba(26, 111, 196, 0.12)")}
LINE = "display: block; text-decoration: none; padding-left: calc(0.6em + 2ch); text-indent: -2ch"


@dataclass(frozen=True)
class Difference:
    """How a file of the answer differs from the solution's; each of ``lines`` begins with its sign and a space."""

    title: str
    lines: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join([self.title, *(f"  {line}".rstrip() for line in self.lines)])

    def as_html(self) -> str:
        lines = "".join(map(_line, self.lines))
        style = "white-space: pre-wrap; overflow-wrap: anywhere; margin: 0.3em 0 1em 0"
        return f'<p style="margin: 0.5em 0 0 0"><b>{escape(self.title)}</b></p><pre style="{style}">{lines}</pre>'


def differences(mine: Mapping[str, str], solution: Mapping[str, str]) -> list[Difference]:
    """What differs between the files (path → text) of an answer and those of the solution.

    A learner may have given a file another name. Where one file of a folder is only here, and one only there, they are compared.
    """
    only_mine, only_there = mine.keys() - solution.keys(), solution.keys() - mine.keys()
    renamed = {name: partner for name in only_mine if (partner := _partner(name, only_mine, only_there))}
    pairs = [(name, renamed.get(name, name)) for name in mine]
    pairs += [(name, name) for name in only_there - set(renamed.values())]
    found = []
    for name, partner in sorted(pairs, key=lambda pair: pair[1]):
        lines = _lines(mine.get(name, ""), solution.get(partner, ""))
        if lines or name != partner:
            found.append(Difference(_title(name, partner, mine, solution), lines))
    return found


def _partner(name: str, only_mine: set[str], only_there: set[str]) -> str | None:
    def beside(names: set[str]) -> list[str]:
        return [one for one in names if PurePosixPath(one).parent == PurePosixPath(name).parent]

    partners = beside(only_there)
    return partners[0] if len(partners) == 1 and len(beside(only_mine)) == 1 else None


def _title(name: str, partner: str, mine: Mapping[str, str], solution: Mapping[str, str]) -> str:
    if name != partner:
        return f"{name}, in the solution {partner}"
    if name not in solution:
        return f"{name}, which the solution does not have"
    return name if name in mine else f"{name}, which your answer does not have"


def _lines(mine: str, solution: str) -> tuple[str, ...]:
    before, after = ([line.rstrip() for line in text.strip().splitlines()] for text in (mine, solution))
    lines = list(unified_diff(before, after, lineterm=""))[2:]  # without the lines that name the files
    if lines and lines[0].startswith(("@@ -1 ", "@@ -1,", "@@ -0,0 ")):
        del lines[0]  # nothing is left out before the first line
    return tuple("…" if line.startswith("@@") else f"{line[0]} {line[1:]}" for line in lines)


def _line(line: str) -> str:
    if line[:1] not in EDGES:
        return f'<span style="{LINE}">{escape(line)}</span>'
    tag, edge, tint = EDGES[line[0]]
    style = f"{LINE}; background: {tint}; border-left: 4px solid {edge}"
    return f'<{tag} style="{style}">{escape(line)}</{tag}>'

"""A measurement of the lab beside what it is built on, and the table of many."""

from __future__ import annotations

import os
import platform
import re
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from statistics import median

Timed = Callable[[], float]  # does the work once and returns its seconds


@dataclass(frozen=True)
class Measurement:
    """What is measured, beside what, and the goal.

    ``prepare`` is a context that gives one or two functions, each doing the work once and returning its seconds: the
    lab's, and the bare one's. The goal is a ratio of the two, after ``allowance`` seconds are taken off the lab's; or
    seconds, where there is one function. Without ``always`` it is only run when it is named.
    """

    ours: str
    bare: str | None
    goal: float | None
    prepare: Callable[[], AbstractContextManager[list[Timed]]]
    rounds: int
    allowance: float = 0.0
    always: bool = True

    def run(self, rounds: int, tell: Callable[[str], None]) -> dict:
        """Do it; the result is what ``--json`` writes of it, such as

        {"ours": {"what": "%alembic upgrade head", "seconds": [0.02, 0.03]},
         "bare": {"what": "alembic upgrade head", "seconds": [0.4, 0.5]}, "ratios": [0.05, 0.06],
         "goal": 0.2, "allowance_seconds": 0.0, "met": true}

        with null for the bare one, its ratios, the goal and whether it is met, where there is none.
        """
        tell("getting ready")
        taken = []
        with self.prepare() as functions:
            for number in range(1, rounds + 1):
                tell(f"round {number} of {rounds}")
                taken.append([round(function(), 4) for function in functions])
        result = {
            "ours": {"what": self.ours, "seconds": [seconds[0] for seconds in taken]},
            "bare": {"what": self.bare, "seconds": [seconds[1] for seconds in taken]} if self.bare else None,
            "ratios": [round(ours / bare, 3) for ours, bare in taken] if self.bare else None,
            "goal": self.goal,
            "allowance_seconds": self.allowance,
            "met": None,
        }
        if self.goal is not None:
            compared = [(ours - self.allowance) / (bare[0] if bare else 1) for ours, *bare in taken]
            result["met"] = median(compared) <= self.goal
        return result


def teller(name: str) -> Callable[[str], None]:
    """A function that tells how far a measurement is: in one line on a terminal, else every tenth round."""
    live = sys.stderr.isatty()

    def tell(words: str) -> None:
        under_way = words.startswith(("getting", "round"))
        if live:
            print(f"\r{name}: {words}".ljust(50), end="" if under_way else "\n", file=sys.stderr, flush=True)
        elif not re.match(r"round \d*[^1] ", words):
            print(f"{name}: {words}", file=sys.stderr, flush=True)

    return tell


def machine() -> dict:
    return {"system": platform.platform(), "cpus": os.cpu_count(), "python": platform.python_version()}


# The table


def table(results: dict[str, dict]) -> str:
    """The results, a line each, under headings."""
    lines = [("", "the lab", "bare", "ratio (from to)", "goal", ""), *(_line(*item) for item in results.items())]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    shown = ["  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    legend = [f"{name}: {result['ours']['what']}" + _beside(result) for name, result in results.items()]
    return "\n".join([*shown, "", *legend])


def _line(name: str, result: dict) -> tuple[str, ...]:
    ours, bare, ratios, goal = result["ours"]["seconds"], result["bare"], result["ratios"], result["goal"]
    allowance = f" + {_time(result['allowance_seconds'])}" if result["allowance_seconds"] else ""
    return (
        name,
        _time(median(ours)),
        _time(median(bare["seconds"])) if bare else "",
        f"{median(ratios):.2f} ({min(ratios):.2f} {max(ratios):.2f})" if ratios else "",
        "" if goal is None else f"at most {goal:g} × bare{allowance}" if bare else f"at most {_time(goal)}",
        {True: "met", False: "NOT MET", None: ""}[result["met"]],
    )


def _beside(result: dict) -> str:
    return f", beside {result['bare']['what']}" if result["bare"] else ""


def _time(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began

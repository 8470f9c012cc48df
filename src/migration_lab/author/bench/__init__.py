"""Measure the lab beside what it is built on, in one run: the same work bare, and as the lab does it.

Each round times both, one after the other, so that whatever else the machine does falls on both; what is told is the
median of the rounds' ratios. A measurement with nothing to compare with is told in seconds.
"""

from __future__ import annotations

import argparse
import json
import sys
from functools import partial
from pathlib import Path

from migration_lab.files import write_whole
from migration_lab.paths import clone
from migration_xray.errors import UserError

from . import grading, lessons, setup, start, tests, xray
from .measurement import Measurement, machine, table, teller


def main(arguments: list[str] | None = None) -> int:
    """Measure what is named, or all that is measured by default; print a table."""
    names = ", ".join(MEASUREMENTS)
    parser = argparse.ArgumentParser("bench.py", description=__doc__.split("\n")[0], epilog=f"NAME is one of {names}.")
    long = ", ".join(name for name, one in MEASUREMENTS.items() if not one.always)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"by default all but {long}: those take minutes")
    parser.add_argument("--all", action="store_true", help="those too")
    parser.add_argument("--rounds", type=int, metavar="N", help="by default as many as each needs to be steady")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.names if name not in MEASUREMENTS]:
        parser.error(f'there is no measurement "{unknown[0]}"; the names are {names}')
    if options.rounds is not None and options.rounds < 1:
        parser.error(f"--rounds {options.rounds} measures nothing; give 1 or more")
    try:
        clone()
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    chosen = options.names or [name for name, one in MEASUREMENTS.items() if one.always or options.all]
    results, failed = {}, False
    for name in chosen:
        one, tell = MEASUREMENTS[name], teller(name)
        try:
            results[name] = one.run(options.rounds or one.rounds, tell)
            tell("done")
        except (UserError, OSError) as error:
            tell(f"could not be measured: {error}")
            failed = True
        except KeyboardInterrupt:
            tell("stopped")
            return 130
    if results:
        print(table(results))
    if options.json:
        try:
            text = json.dumps({"machine": machine(), "measurements": results}, indent=1)
            write_whole(options.json.absolute(), text + "\n")
        except OSError as error:
            print(f"{options.json} could not be written: {error.strerror}.", file=sys.stderr)
            failed = True
    return int(failed)


def _part(what: str, *arguments: str, goal: float | None = None) -> Measurement:
    """The test command with these arguments, once: the tests take minutes."""
    return Measurement(what, None, goal, partial(tests.command, *arguments), rounds=1, always=False)


CLONE = "CREATE DATABASE … TEMPLATE"
MEASUREMENTS = {
    "setup": Measurement(
        "setting up a fresh clone",
        "pip install --require-hashes of the same lock",
        0.35,
        setup.setup,
        rounds=3,
        always=False,
    ),
    "start": Measurement(
        "a second scripts/lab.py until JupyterLab answers, its server stopped",
        "jupyter lab",
        1.3,
        start.start,
        rounds=5,
    ),
    "clone": Measurement(
        "the first start of a fresh clone until JupyterLab answers, with set-up",
        "venv, pip install of the same lock and jupyter lab",
        None,
        setup.clone,
        rounds=3,
        always=False,
    ),
    "first": Measurement("the embedded server's first start", None, None, start.first, rounds=5),
    "later": Measurement("the embedded server's later starts", None, None, start.later, rounds=9),
    "open": Measurement("opening lesson 00", CLONE, 1.3, lessons.opening, rounds=25, allowance=0.1),
    "reset": Measurement(
        "resetting lesson 00, a changed file saved", CLONE, 1.3, lessons.resetting, rounds=25, allowance=0.1
    ),
    "alembic": Measurement("%alembic upgrade head", "alembic upgrade head", 0.2, lessons.alembic, rounds=9),
    "xray": Measurement("%xray upgrade head of a second or more", "%alembic upgrade head", 1.1, xray.large, rounds=5),
    "xray_small": Measurement(
        "%xray upgrade head of 100 small statements", "%alembic upgrade head", 1, xray.small, rounds=9, allowance=3.0
    ),
    "traffic": Measurement(
        "reads of %%traffic with no migration running, 99th percentile",
        "one session's, paced alike",
        None,
        xray.traffic,
        rounds=5,
    ),
    "check": Measurement("an answer cell and %check, until the feedback", None, 0.3, grading.check, rounds=15),
    "check_cpu": Measurement(
        "processor time of %check first_step, Python's alone", None, 0.25, grading.check_cpu, rounds=15
    ),
    "answers": Measurement("lab check with 20 answers to small exercises", None, 15, grading.answers, rounds=3),
    "notebooks": Measurement(
        "test.py notebooks, as stored", "jupyter execute of the same ones", 0.5, tests.notebooks, rounds=3
    ),
    "tests_engine": _part("test.py without the answers and the notebooks", *tests.ENGINE),
    "tests_answers": _part("test.py with the answers to all exercises", *tests.ANSWERS),
    "tests_lessons": _part("test.py notebooks, as stored", *tests.AS_STORED),
    "tests": _part("test.py, which also runs each notebook a second time", goal=540),
}

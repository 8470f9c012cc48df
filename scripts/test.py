"""Set up once, then run every test. What follows test.py goes to pytest: python3 scripts/test.py -k lesson"""

import os
import sys

if sys.version_info < (3, 11):
    sys.exit(
        "This Python is {}.{}; Migration Lab needs 3.11 or newer. "
        "Start it with a newer one, for example: python3.12 scripts/test.py".format(*sys.version_info)
    )

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # not there by itself under PYTHONSAFEPATH

from environment import ROOT, run_inside  # noqa: E402

arguments = sys.argv[1:]
if not any(argument.startswith(("-n", "--numprocesses")) for argument in arguments):
    arguments = ["-n", "auto"] + arguments

run_inside("-m", "pytest", *arguments, folder=ROOT, tests=True)

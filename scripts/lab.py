"""Set up once, then start the lab. What follows lab.py goes to `lab start`: python3 scripts/lab.py --help"""

import os
import sys

if sys.version_info < (3, 11):
    sys.exit(
        "This Python is {}.{}; Migration Lab needs 3.11 or newer. "
        "Start it with a newer one, for example: python3.12 scripts/lab.py".format(*sys.version_info)
    )

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # not there by itself under PYTHONSAFEPATH

import argparse  # noqa: E402

from environment import run_inside  # noqa: E402

ours = argparse.ArgumentParser(add_help=False)
ours.add_argument("--postgres", metavar="embedded|docker|URL")
chosen, arguments = ours.parse_known_args()
if chosen.postgres:
    # A URL may have a password in it. `ps` shows the arguments of a process to every user of the machine, and its
    # environment to nobody else, so this one begins again without: the set-up takes a while.
    os.environ["LAB_POSTGRES"] = chosen.postgres
    if os.name != "nt":
        command = sys.orig_argv[1 : len(sys.orig_argv) - len(sys.argv) + 1]
        os.execv(sys.executable, [sys.executable, *command, *arguments])

run_inside("-m", "migration_lab", "start", *arguments)

"""For authors: set up once, then build both packages as wheels in dist/: python3 scripts/wheels.py --help"""

import os
import sys

if sys.version_info < (3, 11):
    sys.exit(
        "This Python is {}.{}; Migration Lab needs 3.11 or newer. "
        "Start it with a newer one, for example: python3.12 scripts/wheels.py".format(*sys.version_info)
    )

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # not there by itself under PYTHONSAFEPATH

from environment import run_inside  # noqa: E402

run_inside("-m", "migration_lab.author.wheels", *sys.argv[1:])

"""For developers: set up once, then draw docs/architecture.svg from the imports: python3 scripts/architecture.py"""

import os
import sys

if sys.version_info < (3, 11):
    sys.exit(
        "This Python is {}.{}; Migration Lab needs 3.11 or newer. "
        "Start it with a newer one, for example: python3.12 scripts/architecture.py".format(*sys.version_info)
    )

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # not there by itself under PYTHONSAFEPATH

from environment import run_inside  # noqa: E402

run_inside("-m", "migration_lab.author.architecture", *sys.argv[1:])

"""Run all linters of .venv: python3 scripts/lint.py. Or one of them: python3 scripts/lint.py ruff check --fix src

It uses the standard library only and sets nothing up: pre-commit starts it with whatever Python it has.
"""

import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # not there by itself under PYTHONSAFEPATH

from environment import PYTHON, ROOT  # noqa: E402

ALL = ("ruff check", "ruff format --check", "mypy", "lint-imports")


def main(arguments):
    """Run the linter that is named, or all of them; 0 if no linter found anything."""
    if arguments:
        return run(arguments)
    failed = [line for line in ALL if run(line.split()) != 0]
    print(f"Failed: {', '.join(failed)}" if failed else "No linter found anything.")
    return 1 if failed else 0


def run(command):
    """Run one linter with its arguments, in the root of the repository."""
    name, *arguments = command
    program = shutil.which(name, path=str(PYTHON.parent))  # which() knows that Windows says ruff.exe
    if program is None:
        print(
            f"{name} is not in .venv. Set it up with `python3 scripts/test.py --version`, then run this again.",
            file=sys.stderr,
        )
        return 2
    print("$", *command, flush=True)
    return subprocess.run([program, *arguments], cwd=ROOT).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

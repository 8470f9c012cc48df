"""Make .venv what requirements.lock says, once, and become its Python.

lab.py and test.py begin here, before anything is installed: this and the modules beside it need the standard library only.
"""

import contextlib
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import time

import faults
import installer
import room
from faults import Fault
from places import (
    LEARNERS_LOCK,
    LEARNERS_MB,
    PACKAGES,
    PYTHON,
    ROOT,
    SITE_PACKAGES,
    STAMP,
    TESTS_LOCK,
    TESTS_MB,
    VENV,
    base_python,
)
from settings import variables
from steps import Line, printed, run, say
from turns import alone


def run_inside(*arguments, folder=None, tests=False):
    """Set up whatever is not set up yet, then become .venv's Python with these arguments."""
    try:
        set_up(tests)
        hand_over(arguments, folder or os.getcwd())
    except Fault as fault:
        if fault.kind == "unknown":
            say("\n".join("  | " + line for line in printed().splitlines()[-8:]))
        sys.exit(str(fault))
    except OSError as error:
        known = faults.known(str(error))
        sys.exit(str(known or f"The set-up stopped: {error}. When that is mended, run this again."))
    except KeyboardInterrupt:
        print("\nStopped. The next start sets up what is missing.", file=sys.stderr)
        sys.exit(130)


def set_up(tests=False):
    """Make .venv, or what is missing in it, unless the last set-up finished with the same files.

    Without `tests`, what only tests need is not looked at: neither added nor removed.
    """
    if not missing(tests):
        return
    with alone():
        lacking = missing(tests)  # by now another set-up may have finished
        if not lacking:
            return
        began = time.monotonic()
        lock = TESTS_LOCK if tests else LEARNERS_LOCK
        if "learner" in lacking:
            say(f"Setting up Migration Lab in .venv: once, some twenty seconds and {size(tests)} MB.")
            make_venv(size(tests))
            installer.install(lock)
        elif "tests" in lacking:
            say(f"Adding to .venv what only the tests need: once, some seconds and {TESTS_MB} MB.")
            room.check(ROOT, TESTS_MB)
            installer.install(lock)
        if {"learner", "own"} & lacking:
            say("Installing Migration Lab itself")
            installer.install_own(PACKAGES)
        write_stamp(finished() | {part: wanted()[part] for part in lacking})
        say(f"Ready after {time.monotonic() - began:.0f} s.")


def size(tests):
    """How many MB .venv takes."""
    return LEARNERS_MB + TESTS_MB * tests


def missing(tests):
    """Which parts of .venv are not there, or not of these files."""
    there = finished()
    parts = {part for part, digest in wanted().items() if there.get(part) != digest}
    if "learner" in parts:  # then .venv is made anew, with nothing in it
        parts = set(wanted())
    return parts if tests else parts - {"tests"}


def wanted():
    """For each part of .venv a digest of all that decides what it holds."""
    decides = f"{sys.version.split()[0]} {sysconfig.get_platform()} {ROOT}"
    # What an editable install takes from the clone: all else it reads there.
    installed = [(ROOT / package / "pyproject.toml").read_bytes() for package in PACKAGES]
    installed.append((ROOT / "etc" / "ipython" / "ipython_config.py").read_bytes())
    return {
        "learner": digest(LEARNERS_LOCK.read_bytes(), os.fsencode(decides)),
        "tests": digest(TESTS_LOCK.read_bytes()),
        "own": digest(*installed),
    }


def digest(*contents):
    return hashlib.sha256(b"\0".join(contents)).hexdigest()


def finished():
    """The digest of each part when it was finished; nothing if .venv is not whole."""
    try:
        whole = PYTHON.exists() and (SITE_PACKAGES / "pip").is_dir()
        return dict(line.split() for line in STAMP.read_text().splitlines()) if whole else {}
    except (OSError, ValueError):
        return {}


def write_stamp(digests):
    """Say that .venv is finished, all at once: half a stamp must not exist."""
    draft = STAMP.with_name("finished.draft")
    draft.write_text("".join(f"{part} {digest}\n" for part, digest in digests.items()))
    os.replace(draft, STAMP)


def make_venv(needed):
    """An empty .venv in the place of whatever was there."""
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError as missing:
        raise Fault(
            "no venv",
            f"This Python ({sys.executable}) cannot make environments: it has no {missing.name}. On Debian and Ubuntu "
            f"`sudo apt install python3.{sys.version_info.minor}-venv` brings it; then run this again.",
        ) from None
    clear()
    room.check(ROOT, needed)
    say("Making .venv")
    VENV.mkdir()
    run([base_python(), "-I", "-m", "venv", str(VENV)], functools.partial(installer.constantly, "making .venv"))


def clear():
    """Remove .venv, first the stamp: what is left of an interrupted removal must not look finished."""
    if VENV.is_dir() and not VENV.is_symlink():
        STAMP.unlink(missing_ok=True)
        with Line() as line:
            for path in (*VENV.glob("lib/*/site-packages/*"), *VENV.glob("Lib/site-packages/*"), VENV):
                line.show("removing the old .venv")
                remove(path)
    else:
        remove(VENV)


def remove(path):
    """Remove a file, or a folder with all that is in it, or a link, but not what it points to."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def hand_over(arguments, folder):
    """Become .venv's Python; where a process cannot, wait for it and end as it ended."""
    command = [str(PYTHON), *arguments]
    os.chdir(folder)
    if os.name != "nt":
        os.execve(PYTHON, command, variables())
    process = subprocess.Popen(command, env=variables())
    while True:
        with contextlib.suppress(KeyboardInterrupt):  # it had its own, and answers it
            sys.exit(process.wait())

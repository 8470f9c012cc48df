"""Run the steps of a set-up, and show all the time what is being done."""

import subprocess
import sys
import time

import faults
import room
from places import LOG, ROOT
from settings import variables

SECONDS_BETWEEN_LINES = 5


def say(line):
    """A line of progress, at once."""
    print(line, flush=True)


class Line:
    """What is being done now, and for how long: one live line on a terminal, elsewhere a new line now and then."""

    def __init__(self):
        self.began = self.said = time.monotonic()
        self.live = sys.stdout.isatty()

    def __enter__(self):
        return self

    def show(self, words):
        now = time.monotonic()
        words = f"  {words} ({now - self.began:.0f} s)"
        if self.live:
            print("\r" + words[:72].ljust(72), end="", flush=True)
        elif now - self.said >= SECONDS_BETWEEN_LINES:
            self.said = now
            say(words)

    def __exit__(self, *_):
        if self.live:
            print("\r" + " " * 72 + "\r", end="", flush=True)


def run(command, doing, environment=None):
    """Run one step and return what it printed, which is in the log too. Raises a Fault if it fails.

    `doing` says in words what the step does at the moment, given what it has printed so far.
    """
    with LOG.open("wb") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=ROOT,
            env=environment or variables(),
            close_fds=False,  # it inherits the lock, see turns.py
        )
    try:
        with Line() as line:
            while not ended(process, 0.2):
                line.show(doing(printed()))
    except KeyboardInterrupt:
        # It had its own Ctrl-C: time to remove its temporary files, but not for ever.
        if not ended(process, 3):
            process.terminate()
            process.wait()
        raise
    said = printed()
    if process.returncode:
        # On a full disk the log may lack the reason, and a step that fails gives back some of what it took.
        full = faults.Fault("full", faults.THE_DISK_IS_FULL) if room.is_cramped() else None
        raise faults.known(said) or full or faults.unknown()
    return said


def printed():
    """What the step that was run last has printed so far."""
    return LOG.read_text("utf-8", "replace")


def ended(process, seconds):
    """Whether the process ended, within this many seconds."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True

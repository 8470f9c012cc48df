"""Take turns with other set-ups of this clone."""

import contextlib
import os
import time

from places import LEARNERS_LOCK
from steps import Line, say

if os.name == "nt":
    import msvcrt
else:
    import fcntl


@contextlib.contextmanager
def alone():
    """Wait until no other set-up is at work. The lock is on requirements.lock, which nothing else locks."""
    with LEARNERS_LOCK.open("r+b", buffering=0) as file:
        if not is_mine(file):
            say("Another set-up is at work in this folder; waiting for it to end.")
            with Line() as line:
                while not is_mine(file):
                    line.show("waiting")
                    time.sleep(0.2)
        # pip and uv inherit it: should this process be killed, the next one waits for the one it left behind.
        os.set_inheritable(file.fileno(), True)
        yield


def is_mine(file):
    """Whether the lock on this file could be had now."""
    try:
        if os.name == "nt":
            file.seek(1 << 30)  # past the end, because there a locked byte cannot be read
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        pass  # a file system without locks: no waiting there
    return True

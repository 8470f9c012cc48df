"""Whether the disks have the room that a set-up takes."""

import shutil

from faults import Fault
from places import LARGEST_PACKAGE_MB, ROOT


def check(folder, needed):
    """Raise a Fault unless the disk with this folder has this many MB free."""
    free = free_mb(folder)
    if free < needed:
        raise Fault(
            "full",
            f"The disk with {folder} has {free} MB free, and setting up takes {needed} MB there. "
            "Make room, then run this again.",
        )


def free_mb(folder):
    """How many MB are free on the disk with this folder."""
    return shutil.disk_usage(folder).free // 10**6


def is_cramped():
    """Whether the clone's disk has no room for another package."""
    return free_mb(ROOT) < LARGEST_PACKAGE_MB

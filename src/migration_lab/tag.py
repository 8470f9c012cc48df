"""The tag of a learner's folder: six letters in the names of its databases, on a server that others may use too.

A copied folder must not keep its tag: two learners would share databases, and the reset of one would drop the other's.
A folder that was moved must keep it: its databases would not be found. So the tag remembers the place that it was made
for, and a place is recognised by what a copy can't have in common with its original:

- Its path, on one machine. If nothing is left at the old path, the folder was moved; if the old folder is still there,
  or can't be looked at, this one is a copy.
- The machine, where the folder is on a disk of that machine: a golden image is copied whole, paths and all. The machine is
  its name with /etc/machine-id, since an image that was not prepared for copying has the same id everywhere. In a
  container it is the container's name, but only for a folder in the container's own layer, which ends with it.
- A folder on a volume or a network file system outlives containers and is used from many machines, so their names, which
  Docker makes up at each start, mean nothing. There it is the inode of ``.lab``, on file systems that keep inodes: a copied
  volume has new ones.
- JupyterHub's user, for hubs that give each user a copy of one prepared volume.

What is not known on both sides is not compared. macOS gives a laptop another name in each network: there the path decides.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import sys
from contextlib import suppress
from pathlib import Path

NETWORK = ("nfs", "cifs", "smb", "9p", "ceph", "lustre", "gluster", "beegfs", "gpfs", "afs", "fuse", "virtiofs")
KEEP_INODES = ("ext", "xfs", "btrfs", "zfs", "nfs", "ceph")
DIFFERENCES = {
    "machine": "it was made on the machine {}, and this one is {}",
    "inode": "it is not the folder that was made here first",
    "user": "it was made for {}, and you are {}",
}
CONTAINER = ("/.dockerenv", "/run/.containerenv")  # Docker makes the first, Podman the second


def new(state: Path) -> dict[str, str]:
    """A tag for the folder that this ``.lab`` is in, with what its place is known by."""
    return {"tag": secrets.token_hex(3)} | place(state)


def read(text: str) -> dict[str, str]:
    """What a tag's file says. Older labs wrote the tag alone."""
    with suppress(ValueError):
        if isinstance(known := json.loads(text), dict) and isinstance(known.get("tag"), str):
            return known
    return {"tag": text.strip()}


def place(state: Path) -> dict[str, str]:
    """What the place of this ``.lab`` is known by: its path, and as far as they mean something the rest."""
    state = state.resolve()
    kind, is_root = _file_system(state)
    contained = any(Path(mark).exists() for mark in CONTAINER) or "KUBERNETES_SERVICE_HOST" in os.environ
    lasting = kind.startswith(NETWORK) or (contained and not is_root)
    known = {
        "path": str(state.parent),
        "machine": "" if lasting else _machine(),
        "inode": str(state.stat().st_ino) if lasting and kind.startswith(KEEP_INODES) else "",
        "user": os.environ.get("JUPYTERHUB_USER", ""),
    }
    return {name: value for name, value in known.items() if value}


def why_a_copy(known: dict[str, str], here: dict[str, str]) -> str:
    """What shows that the folder here is another one than the tag was made for; empty where nothing does."""
    differs = [name for name in DIFFERENCES if name in known and name in here and known[name] != here[name]]
    if differs:
        return DIFFERENCES[differs[0]].format(known[differs[0]], here[differs[0]])
    if known["path"] == here["path"]:
        return ""
    old = Path(known["path"])
    try:
        theirs = read((old / ".lab" / "tag").read_text(encoding="utf-8"))["tag"]
        return f"{old} has the same tag" if theirs == known["tag"] and not os.path.samefile(old, here["path"]) else ""
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except (OSError, ValueError):
        return f"it was made in {old}, which can't be looked at"


def _machine() -> str:
    if sys.platform == "darwin":
        return ""
    identity = ""
    with suppress(OSError):
        identity = Path("/etc/machine-id").read_text(encoding="utf-8").strip()
    return f"{socket.gethostname()} {identity}".strip()


def _file_system(path: Path) -> tuple[str, bool]:
    """The kind of file system that a path is on ("ext4"), and whether that is the root's."""
    import psutil

    if sys.platform == "win32":  # a drive that is a share is resolved to \\\\server\\share
        return ("smb" if str(path).startswith("\\\\") else ""), False
    around = [part for part in psutil.disk_partitions(all=True) if path.is_relative_to(part.mountpoint)]
    if not around:
        return "", False
    nearest = max(enumerate(around), key=lambda one: (len(Path(one[1].mountpoint).parts), one[0]))[1]
    return nearest.fstype.lower(), Path(nearest.mountpoint) == Path("/")

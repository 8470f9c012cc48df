"""What can go wrong in a set-up: how it shows in the output of pip or uv, and the sentence for the person."""

import errno
import os
import re
import sys
import sysconfig

from places import DOWNLOADS_MB, LEARNERS_MB

THIS_PYTHON = f"this Python ({sys.version.split()[0]}, {sysconfig.get_platform()})"
THE_DISK_IS_FULL = (
    f"The disk is full: setting up takes about {LEARNERS_MB + DOWNLOADS_MB} MB. Make room, then run this again."
)


class Fault(Exception):
    """A sentence for the person at the keyboard: what was found, what was expected, what to do."""

    def __init__(self, kind, sentence):
        super().__init__(sentence)
        self.kind = kind


# Kind, pattern and sentence, the most certain first. Python writes [Errno 28], uv writes (os error 28).
FAULTS = (
    (
        "full",
        r"\[WinError 112\]|\(os error 112\)"
        if os.name == "nt"
        else rf"\[Errno ({errno.ENOSPC}|{errno.EDQUOT})\]|\(os error ({errno.ENOSPC}|{errno.EDQUOT})\)",
        THE_DISK_IS_FULL,
    ),
    (
        "in use",
        r"\[WinError (5|32)\]" + (r"|\(os error (5|32)\)" if os.name == "nt" else ""),
        "A file in .venv is in use, so it cannot be replaced. "
        "Close the lab and all that runs from .venv, then run this again.",
    ),
    (
        "denied",
        rf"\[Errno ({errno.EROFS}|{errno.EACCES}|{errno.EPERM})\] [^:\n]*: (?P<path>['\"].+)",
        "The set-up may not write to {path}, and it makes .venv in the clone. "
        "Get write permission there, or clone into a folder of your own, then run this again.",
    ),
    (
        "other contents",
        r"DO NOT MATCH THE HASHES(?s:.*?)\n +(?P<package>\S+)",
        "{package} came with other contents than requirements.lock names, so it was not installed. "
        "Run this again; if it stays so, do not install it by hand, but tell whoever runs your package index.",
    ),
    (
        "certificate",
        r"CERTIFICATE_VERIFY_FAILED",
        "The package index showed a certificate that this Python does not trust, as happens behind a company's proxy. "
        "Name your company's certificates, for example PIP_CERT=/path/to/ca.pem, then run this again.",
    ),
    (
        "network",
        r"Retrying \(|Connection\w*Error|Connection broken|ProxyError|timed out|incomplete-download",
        "The packages could not be fetched: the package index did not answer. "
        "Check the network (behind a proxy, set HTTPS_PROXY), then run this again; pip's words are in .venv/setup.log.",
    ),
    (
        "absent",
        r"No matching distribution found for (?P<package>\S+)",
        f"The package index gave no {{package}} for {THIS_PYTHON}. Check that the index can be reached, and start with "
        "a 64-bit Python from 3.11 to 3.14; pip's words are in .venv/setup.log.",
    ),
    (
        "not compiled",
        r"Collecting(?s:.*)(metadata-generation-failed|Failed building wheel)|Failed to build `(?!\S+ @ file:)",
        f"One of the packages is not ready-made for {THIS_PYTHON}, and it could not be compiled here. "
        "Start with a 64-bit Python from 3.11 to 3.14; the details are in .venv/setup.log.",
    ),
)


def known(text):
    """The first known fault in this text, or None."""
    for kind, pattern, sentence in FAULTS:
        found = re.search(pattern, text)
        if found:
            return Fault(kind, sentence.format(**found.groupdict()))
    return None


def unknown():
    """The fault of a step that failed in a way nobody foresaw."""
    return Fault(
        "unknown",
        "The set-up stopped there, in a way that it has no name for. Run this again; "
        "if it stops again, show .venv/setup.log to whoever gave you this course.",
    )

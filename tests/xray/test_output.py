"""What a program prints where nobody reads it any more, as each operating system reports that."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys

import pytest

from migration_xray import output


@pytest.mark.parametrize(("platform", "reported"), [("linux", errno.EPIPE), ("win32", errno.EINVAL)])
def test_a_closed_pipe_is_no_loss(tmp_path, monkeypatch, platform, reported):
    """Windows reports a pipe that nobody reads as an invalid argument, which was called a failure to write."""
    monkeypatch.setattr(output, "UNREAD", output.unread(platform))

    class Unread(io.StringIO):
        def write(self, text):
            raise OSError(reported, os.strerror(reported))

        def fileno(self):
            return aside.fileno()

    with open(tmp_path / "aside", "w") as aside:
        stream = output.Output(Unread())
        stream.write("a line")
    assert stream.lost is None


@pytest.mark.parametrize("program", ["migration_lab", "migration_xray"])
def test_both_programs_end_in_silence_where_a_pipe_is_closed(tmp_path, program):
    """On each operating system: a process of its own whose reader has gone before the first line."""
    reading, writing = os.pipe()
    os.close(reading)
    started = [sys.executable, "-m", program, "--help"]
    environment = os.environ | {"LAB_WORK": str(tmp_path)}
    done = subprocess.run(started, stdout=writing, stderr=subprocess.PIPE, env=environment, text=True)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")

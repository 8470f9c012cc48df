"""What a program prints, and a reader or a disk that takes no more of it."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import TextIO


def unread(platform: str) -> set[int]:
    """How a platform reports a pipe whose reader has ended, as `| head` does; Windows says EINVAL there.

    https://docs.python.org/3/library/signal.html#note-on-sigpipe
    """
    return {errno.EPIPE, errno.EINVAL} if platform == "win32" else {errno.EPIPE}


UNREAD = unread(sys.platform)


class Output(io.TextIOBase):
    """A standard stream that never raises: a migration must not end half-way because nobody reads what it prints.

    ``lost`` is the error from which on nothing was written, unless the reader had simply read enough.
    """

    encoding = "utf-8"

    def __init__(self, stream: TextIO | None):
        self.stream = stream or io.StringIO()  # Python has None where a stream was closed before it began
        self.lost: OSError | None = None
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="replace")

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self.stream.isatty()

    def fileno(self) -> int:
        return self.stream.fileno()

    def write(self, text: str) -> int:
        with self._to_its_end():
            self.stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._to_its_end():
            self.stream.flush()

    @contextmanager
    def _to_its_end(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in UNREAD:
                self.lost = error
            # What is still buffered, and all that follows, goes nowhere.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.stream.fileno())
            os.close(nowhere)


@contextmanager
def standard_streams() -> Iterator[Output]:
    """Standard output and standard error as Output, and flushed; gives the first of them."""
    output, errors = Output(sys.stdout), Output(sys.stderr)
    with redirect_stdout(output), redirect_stderr(errors):
        try:
            yield output
        finally:
            output.flush()
            errors.flush()


def printing(program: Callable[[], int]) -> int:
    """Run a program on streams that never raise. Returns its exit status, or 1 if a disk took no more of its output.

    A reader that stops reading, as `head` does, changes nothing: the program ends in silence, with its own status.
    """
    with standard_streams() as output:
        status = program()
        output.flush()
        if output.lost:
            print(f"The rest of the output could not be written: {output.lost.strerror}.", file=sys.stderr)
            return 1
    return status

"""The Tab key completes `lab`, in the shells themselves: a script that only looks right completes nothing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from migration_lab.cli import main
from migration_lab.course.manifest import exercises, lessons

PROGRAMS = Path(sys.executable).parent


@pytest.fixture
def complete(tmp_path):
    """``complete("bash", "lab hint ind")``: the words that this shell offers when Tab is pressed there."""

    def press(shell: str, line: str) -> list[str]:
        if os.name == "nt" or not shutil.which(shell):
            pytest.skip(f"needs {shell} as POSIX systems have it")
        environment = os.environ | {"PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}", "HOME": str(tmp_path)}
        if shell == "zsh":
            return [in_a_terminal(line, environment)]
        done = subprocess.run(
            [shell, *SCRIPTS[shell], line], env=environment, capture_output=True, text=True, timeout=60, check=True
        )
        return [word.split("\t")[0].strip() for word in done.stdout.splitlines()]

    return press


SCRIPTS = {
    "bash": (
        "--norc",
        "-c",
        'eval "$(lab completion bash)"; COMP_LINE=$0 COMP_POINT=${#0} COMP_TYPE=9; _python_argcomplete lab;'
        ' printf "%s\\n" "${COMPREPLY[@]}"',
    ),
    "fish": ("--no-config", "-c", 'lab completion fish | source; complete -C "$argv[1]"'),
}


def in_a_terminal(line: str, environment: dict[str, str]) -> str:
    """The word at the end of a line in zsh, which completes in a terminal only, after Tab."""
    import pty
    import select

    process, terminal = pty.fork()
    if not process:
        os.execvpe("zsh", ["zsh", "-f", "-i"], environment | {"TERM": "dumb", "PS1": "", "PROMPT": ""})

    def said_until(pattern: str) -> str:
        said, until = "", time.monotonic() + 60
        while not re.search(pattern, said):
            assert time.monotonic() < until, said
            if select.select([terminal], [], [], 0.1)[0]:
                said += os.read(terminal, 4096).decode(errors="replace")
        return said

    try:
        os.write(terminal, b'autoload -U compinit; compinit -u; eval "$(lab completion zsh)"; echo rea""dy\n')
        said_until("ready\r")
        os.write(terminal, f"{line}\t".encode())
        return said_until(rf"{re.escape(line)}\S+ ").split()[-1]
    finally:
        os.close(terminal)
        os.waitpid(process, 0)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("lab chec", "check"),
        ("lab open 1_", None),
        ("lab hint index_", "index_online"),
        ("lab check --ans", "--answer"),
        ("lab xray --traf", "--traffic"),
        ("lab completion zs", "zsh"),
        ("lab author check index_", "index_online"),
    ],
)
def test_one_word_fits_and_is_completed(complete, shell, line, word):
    """Nobody knows 37 ids by heart, and a wrong one is answered with an error."""
    if word is None:
        if shell != "zsh":  # it writes nothing that a test could wait for
            assert complete(shell, line) in ([], [""])
    else:
        assert complete(shell, line) == [word]


@pytest.mark.parametrize("shell", ["bash", "fish"])
def test_all_that_fits_is_offered(complete, shell):
    assert set(complete(shell, "lab check ")) == set(exercises())
    assert set(complete(shell, "lab reset ")) == {*lessons(), *exercises()}
    assert {"start", "open", "help"} <= set(complete(shell, "lab "))


def test_completing_waits_for_no_big_package():
    """The whole program starts at each press of Tab. Alembic and SQLAlchemy alone take a second on a busy machine."""
    code = (
        "import sys; from migration_lab import cli; import argcomplete; cli._parsers(); cli._exercises();"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    imported = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "argcomplete" in imported
    assert not {"IPython", "alembic", "jupyterlab", "matplotlib", "pandas", "psycopg", "sqlalchemy"} & set(imported)


def test_a_shell_that_is_not_known_is_told_which_are(capsys):
    assert main(["completion", "tcsh"]) == 1
    assert capsys.readouterr().err.startswith("For which shell? bash, zsh and fish are known.")

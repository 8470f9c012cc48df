"""The linters' one command: pre-commit, CI and people run them by it, with whatever Python they have."""

from __future__ import annotations

import subprocess
import sys

import pytest
import yaml

from migration_lab.paths import ROOT

LINT = ROOT / "scripts" / "lint.py"


def lint(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, LINT, *arguments], capture_output=True, text=True, encoding="utf-8")


def test_a_linter_gets_its_arguments_and_its_exit_status_is_told():
    """pytest is in every .venv: it stands for any program there."""
    assert "pytest" in lint("pytest", "--version").stdout
    assert lint("pytest", "--no-such-option").returncode == 4


def test_a_linter_that_is_not_there_is_told_in_a_sentence():
    """A clone that has been set up for learning only has no linters; a traceback would say nothing of this."""
    done = lint("no-such-linter")
    assert done.returncode == 2
    assert done.stderr.startswith("no-such-linter is not in .venv. Set it up with `python3 scripts/test.py --version`")


@pytest.mark.parametrize("linter", ["ruff check", "ruff format", "mypy", "lint-imports"])
def test_each_linter_runs_before_a_commit(linter):
    """What only CI finds costs a push and a wait."""
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert [hook["id"] for hook in local["hooks"] if f"python scripts/lint.py {linter}" in hook["entry"]]

"""scripts/bench.py: what it prints is believed, so it must judge by what it has measured, and lose nothing of it."""

from __future__ import annotations

import json
from contextlib import contextmanager

import pytest

from migration_lab.author import bench
from migration_xray.errors import UserError


def measurement(ours, bare=None, goal=None, allowance=0.0) -> bench.Measurement:
    """A measurement whose rounds take these seconds."""

    @contextmanager
    def prepare():
        yield [iter(seconds).__next__ for seconds in (ours, bare) if seconds]

    return bench.Measurement("ours", "bare" if bare else None, goal, prepare, len(ours), allowance)


@pytest.mark.parametrize(
    ("one", "met"),
    [
        (measurement([1.1, 9, 1.1], [1, 1, 1], goal=1.15), True),  # one bad round is the machine's
        (measurement([1.2, 0.5, 1.2], [1, 1, 1], goal=1.15), False),  # one good one too
        (measurement([2, 2, 20], [2, 2, 19], goal=1.15), True),  # a slow round is slow for both
        (measurement([0.22], [0.1], goal=1.3, allowance=0.1), True),
        (measurement([0.24], [0.1], goal=1.3, allowance=0.1), False),
        (measurement([0.9, 1.4, 0.8], goal=1), True),
        (measurement([0.9, 1.4, 1.3], goal=1), False),
        (measurement([0.9]), None),
    ],
)
def test_a_goal_is_judged_by_the_median_round(one, met):
    assert one.run(one.rounds, lambda words: None)["met"] is met


def test_a_run_ends_in_a_table_and_a_file(tmp_path, capsys):
    """Both kinds of measurement for real: one beside its bare form, and one with nothing to compare with."""
    file = tmp_path / "new" / "bench.json"
    assert bench.main(["later", "alembic", "--rounds", "1", "--json", str(file)]) == 0
    results = json.loads(file.read_text(encoding="utf-8"))
    assert set(results) == {"machine", "measurements"}
    later, alembic = results["measurements"].values()
    assert later["bare"] is later["ratios"] is later["goal"] is later["met"] is None
    (ours,), (bare,), (ratio,) = alembic["ours"]["seconds"], alembic["bare"]["seconds"], alembic["ratios"]
    assert ratio == pytest.approx(ours / bare, rel=0.05)
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert [line.split()[0] for line in lines[1:3]] == ["later", "alembic"]
    assert "alembic: %alembic upgrade head, beside alembic upgrade head" in lines
    assert "alembic: round 1 of 1" in printed.err.splitlines(), "minutes of silence look like a hang"


def test_what_was_measured_is_told_although_something_failed(monkeypatch, capsys):
    """Ten minutes of measuring were lost to the last measurement's fault."""

    @contextmanager
    def broken():
        raise UserError("JupyterLab did not answer.")
        yield

    ours = {"good": measurement([0.5]), "bad": bench.Measurement("ours", None, None, broken, 1)}
    monkeypatch.setattr(bench, "MEASUREMENTS", ours)
    assert bench.main([]) == 1
    printed = capsys.readouterr()
    assert "500 ms" in printed.out
    assert "bad: could not be measured: JupyterLab did not answer." in printed.err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["opening"], 'there is no measurement "opening"; the names are setup, start, '),
        (["open", "--rounds", "0"], "--rounds 0 measures nothing; give 1 or more"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_words(arguments, sentence, capsys):
    with pytest.raises(SystemExit) as end:
        bench.main(arguments)
    assert end.value.code == 2
    assert sentence in capsys.readouterr().err

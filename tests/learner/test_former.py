"""A reset throws nothing away: what it replaced is kept, comes back when it is asked for, and survives every accident."""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import closing, suppress
from dataclasses import replace

import nbformat
import psycopg
import pytest
from psycopg import sql
from tests.learner.reconnecting import reconnecting
from tests.waiting import wait_until

from migration_lab.author.refresh import execute
from migration_lab.cli import main
from migration_lab.course import find_exercise, find_lesson
from migration_lab.course import manifest as manifests
from migration_lab.errors import in_words
from migration_lab.learner import lesson, refresh_notebooks, write_answer
from migration_lab.learner.former import Exchange
from migration_lab.learner.lesson import Opened, go_back, open_place
from migration_lab.server import startstate
from migration_lab.server.postgres import Server
from migration_xray.errors import UserError

PLACE = find_lesson("00")
EXERCISE = find_exercise("first_step")
WAY_BACK = (
    "`%lesson 00 --back` brings back the database and the files from before the reset (in a terminal: `lab back 00`)."
)


@pytest.fixture
def opened(workspace) -> Opened:
    return open_place(PLACE)


def work(opened: Opened, words: str) -> None:
    """What a learner does: a table, and a file beside it."""
    with opened.server.connect(opened.database) as session:
        session.execute(sql.SQL("CREATE TABLE {} ()").format(sql.Identifier(words)))
    (opened.project / "migrations" / "versions" / f"{words}.py").write_text(f"# {words}", encoding="utf-8")


def database(opened: Opened, name: str | None = None) -> set[str]:
    """The learner's tables."""
    with opened.server.connect(name or opened.database) as session:
        rows = session.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
    return {name for (name,) in rows} - {"users", "products", "orders", "alembic_version"}


def files(opened: Opened) -> set[str]:
    """The learner's files."""
    found = {path.stem for path in (opened.project / "migrations" / "versions").glob("*.py")}
    assert {"0001_users", "0002_products", "0003_orders"} <= found
    return {name for name in found if not name.startswith("000")}


def here(opened: Opened) -> tuple[set[str], set[str]]:
    return database(opened), files(opened)


def ours(opened: Opened) -> set[str]:
    """The databases of this workspace, once those that are dropped are gone."""
    wait_until(lambda: not any(thread.name.startswith("drop ") for thread in threading.enumerate()))
    with opened.server.connect() as session:
        like = f"%_{opened.workspace.tag}"
        return {name for (name,) in session.execute("SELECT datname FROM pg_database WHERE datname LIKE %s", [like])}


def kept(words: str) -> tuple[set[str], set[str]]:
    return {words}, {words}


START = (set(), set())


# There and back


def test_a_reset_and_the_way_back(opened):
    """A learner presses Run All to see the lesson again, and half an hour of work was gone from the database."""
    work(opened, "mine")
    reset = open_place(PLACE, reset=True)
    assert here(reset) == START
    assert str(reset).splitlines()[-1] == WAY_BACK
    back = go_back(PLACE)
    assert here(back) == kept("mine")
    assert (
        str(back).splitlines()[-1].startswith("This is what was here before the reset. `%lesson 00 --back` exchanges")
    )


def test_back_twice_is_where_one_was(opened):
    """Both states are a learner's work; to look at one must not cost the other."""
    work(opened, "before")
    open_place(PLACE, reset=True)
    work(opened, "after")
    for words in ("before", "after", "before", "after"):
        assert here(go_back(PLACE)) == kept(words)
    assert ours(opened) == {opened.database, f"former_{opened.database}"}


def test_a_reset_keeps_what_the_one_before_has_not(opened):
    """Each place has one former state; a server would fill up with all of them. The files are in backups/ all the same."""
    for words in ("first", "second"):
        work(opened, words)
        open_place(PLACE, reset=True)
    assert here(go_back(PLACE)) == kept("second")
    assert ours(opened) == {opened.database, f"former_{opened.database}"}
    saved = opened.workspace.backups.glob("lesson_00-*/migrations/versions/*.py")
    assert {"first", "second"} <= {path.stem for path in saved}


def test_files_that_one_went_back_from_are_saved_too(opened):
    """The next reset replaces the former state, and with it what one had left by going back."""
    work(opened, "before")
    open_place(PLACE, reset=True)
    work(opened, "left")
    go_back(PLACE)
    open_place(PLACE, reset=True)
    saved = opened.workspace.backups.glob("lesson_00-*/migrations/versions/*.py")
    assert {"before", "left"} <= {path.stem for path in saved}


@pytest.mark.parametrize("place, said", [(PLACE, "lesson 00"), (EXERCISE, "the exercise first_step")], ids=["00", "ID"])
def test_where_nothing_was_replaced_there_is_no_way_back(workspace, place, said):
    open_place(place)
    with pytest.raises(UserError) as refusal:
        go_back(place)
    assert str(refusal.value) == f"There is nothing to go back to: no reset has changed {said} yet."
    assert len(str(open_place(place, reset=True)).splitlines()) == 3, "it promises a way back to nothing"


def test_an_exercise_that_was_never_opened_has_a_way_back(workspace):
    """Its answer cell writes files, and its check needs no database of its own."""
    write_answer(EXERCISE, "migrations/versions/0004_city.py", "# mine", workspace)
    answer = workspace.project(EXERCISE.place) / "migrations" / "versions" / "0004_city.py"
    open_place(EXERCISE, reset=True)
    assert "TODO" in answer.read_text(encoding="utf-8")
    assert go_back(EXERCISE).revision == "0003_orders"
    assert answer.read_text(encoding="utf-8") == "# mine\n"


def test_the_terminals_way_back(opened, capsys):
    work(opened, "mine")
    assert main(["reset", "00"]) == 0
    assert WAY_BACK in capsys.readouterr().out.splitlines()
    assert main(["back", "00"]) == 0
    assert here(opened) == kept("mine")
    assert main(["back", "first_step"]) == 1
    assert (
        capsys.readouterr().err == "There is nothing to go back to: no reset has changed the exercise first_step yet.\n"
    )


# "Run All" again


def test_a_second_reset_of_an_untouched_lesson_keeps_the_work_before(opened):
    """Who runs the first cell twice must not lose what the first time has replaced."""
    work(opened, "mine")
    open_place(PLACE, reset=True)
    with opened.server.connect(opened.database) as session:
        session.execute("SELECT count(*) FROM users")
    for _ in range(2):
        assert str(open_place(PLACE, reset=True)).splitlines()[-1] == WAY_BACK
    assert here(go_back(PLACE)) == kept("mine")


def writing(session: psycopg.Connection) -> None:
    session.execute("UPDATE users SET name = 'Zoë' WHERE id = 1")


def emptying(session: psycopg.Connection) -> None:
    session.execute("TRUNCATE orders")


def renaming(session: psycopg.Connection) -> None:
    session.execute("ALTER TABLE users RENAME TO people")


@pytest.mark.parametrize("change", [writing, emptying, renaming])
def test_a_database_that_was_just_written_to_is_not_untouched(opened, change):
    """Its session has not reported the change yet: a reset a moment later took the database for a fresh one."""
    open_place(PLACE, reset=True)
    with closing(opened.server.connect(opened.database)) as session:
        change(session)
        open_place(PLACE, reset=True)
    assert f"former_{opened.database}" in ours(opened)


@pytest.mark.parametrize("counts", ["reset", "lost"])
def test_without_counts_a_database_is_taken_for_touched(opened, counts):
    """After a crash PostgreSQL counts from zero, as if nothing had ever been written."""
    work(opened, "mine")
    (opened.project / "migrations" / "versions" / "mine.py").unlink()
    with opened.server.connect(opened.database) as session:
        session.execute("SELECT pg_stat_reset()")
    if counts == "lost":
        note = f"start-{opened.database}.json"
        opened.workspace.write_json(note, opened.workspace.read_json(note, {}) | {"counting_since": "another day"})
    open_place(PLACE, reset=True)
    assert database(go_back(PLACE)) == {"mine"}


def test_an_older_labs_lesson_has_a_way_back(opened):
    """It left no note about the database's start."""
    work(opened, "mine")
    (opened.workspace.state / f"start-{opened.database}.json").unlink()
    open_place(PLACE, reset=True)
    assert here(go_back(PLACE)) == kept("mine")


BESIDE = """
from pathlib import Path
%sql CREATE TABLE IF NOT EXISTS mine ()
Path("migrations/versions/mine.py").write_text("revision = 'mine'; down_revision = '0003_orders'")
%session other BEGIN; LOCK TABLE users
"""


def test_a_lesson_runs_again_and_again_though_one_has_worked_beside_it(workspace, running):
    """Extra cells, an extra table, a second head, and a session that holds a lock."""
    refresh_notebooks(workspace)
    place = find_lesson("02")
    notebook = nbformat.read(workspace.path / place.notebook, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(BESIDE.strip()))
    for _ in range(3):
        execute(notebook, workspace.path, {"LAB_WORK": str(workspace.path)})
    back = go_back(place)
    assert "mine" in database(back) and "mine" in files(back)


# Others who are there


def test_back_goes_through_though_sessions_are_open_and_reconnect(opened):
    """Each side of the exchange may be in use: a forgotten notebook, an application's pool."""
    work(opened, "before")
    open_place(PLACE, reset=True)
    work(opened, "after")
    with reconnecting(opened, 3):
        with closing(opened.server.connect(opened.database, autocommit=False)) as left_open:
            left_open.execute("LOCK TABLE users")
            assert here(go_back(PLACE)) == kept("before")
            with pytest.raises(psycopg.OperationalError):
                left_open.execute("SELECT 1")
        assert here(go_back(PLACE)) == kept("after")


def test_nobody_comes_into_the_former_database(opened):
    """A session in it would stop the way back."""
    work(opened, "mine")
    open_place(PLACE, reset=True)
    with pytest.raises(UserError, match="not currently accepting connections"):
        opened.server.connect(f"former_{opened.database}")


def test_two_kernels_that_reset_at_once_keep_the_work(opened):
    """The second one finds a lesson that is at its start already."""
    work(opened, "mine")
    reset = [sys.executable, "-m", "migration_lab", "reset", "00"]
    resets = [subprocess.Popen(reset, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = [process.communicate(timeout=120)[0] for process in resets]
    assert all(WAY_BACK in words for words in said)
    assert here(go_back(PLACE)) == kept("mine")


def test_a_notebook_goes_on_after_the_way_back(shell):
    shell("%lesson 00")
    shell("%sql CREATE TABLE mine ()")
    assert shell("%lesson 00 --reset").text.splitlines()[-1] == WAY_BACK
    assert "exchanges the two again" in shell("%lesson 00 --back").text
    assert shell("%sql SELECT count(*) FROM mine").value == [(0,)]
    assert "Choose one of them" in shell("%lesson 00 --back --reset").text
    assert "no reset has changed the exercise first_step" in shell("%exercise first_step --back").text


# A course that has changed meanwhile


def test_files_of_an_earlier_course_come_back_as_they_were(workspace, monkeypatch):
    """They are the learner's answer, whatever the starter is today."""
    lay_start = lesson.lay_start

    def lay_old_start(folder, place):
        lay_start(folder, place)
        (folder / "migrations" / "versions" / "0004_typo.py").write_text("# last month's starter")

    monkeypatch.setattr(lesson, "lay_start", lay_old_start)
    typo = open_place(EXERCISE).project / "migrations" / "versions" / "0004_typo.py"
    typo.write_text("# mine")
    monkeypatch.setattr(lesson, "lay_start", lay_start)
    open_place(EXERCISE, reset=True)
    assert not typo.exists()
    go_back(EXERCISE)
    assert typo.read_text() == "# mine"


# Accidents

CRASH = """
import os, sys
from pathlib import Path
from migration_lab.course import find_lesson
from migration_lab.learner import former
from migration_lab.learner.lesson import go_back, open_place
from migration_lab.server import startstate

def crash(*_, **__):
    os._exit(9)

def crash_after(function):
    def run(*arguments, **named):
        function(*arguments, **named)
        crash()
    return run

at, verb = sys.argv[1:]
if at == "prepared":
    former.Exchange._close = crash
elif at == "closed":
    former.Exchange._close = crash_after(former.Exchange._close)
elif at == "renamed":
    former.Exchange._rename = crash_after(former.Exchange._rename)
elif at == "half of the files":
    copy, copies = former.copy_all, []
    def copy_all(source, target):
        copies.append(source)
        if len(copies) == 3:
            (target / "half.py").write_text("half")
            crash()
        copy(source, target)
    former.copy_all = copy_all
elif at == "files":
    former.remove = crash
elif at == "kept":
    rename = Path.rename
    Path.rename = lambda path, target: rename(path, target) if path.name != "outgoing" else crash_after(rename)(path, target)
place = find_lesson("00")
go_back(place) if verb == "back" else open_place(place, reset=True)
"""
STEPS = ("prepared", "closed", "renamed", "half of the files", "files", "kept")


@pytest.mark.parametrize("verb", ["reset", "back"])
@pytest.mark.parametrize("at", STEPS)
def test_a_computer_may_be_switched_off_at_any_moment(opened, at, verb):
    """Database and files belong together: the next opening finishes the exchange, or it never happened."""
    work(opened, "first")
    open_place(PLACE, reset=True)
    work(opened, "second")
    before, other = kept("second"), kept("first")
    assert subprocess.run([sys.executable, "-c", CRASH, at, verb]).returncode == 9

    now = here(open_place(PLACE))
    if at in ("prepared", "closed"):
        assert now == before
        assert here(go_back(PLACE)) == other
    else:
        assert now == (START if verb == "reset" else other)
        assert here(go_back(PLACE)) == before
    open_place(PLACE, reset=True)
    assert ours(opened) == {opened.database, f"former_{opened.database}"}, "something was left on the server"
    assert not list((opened.workspace.state / "moving").iterdir())


def test_files_that_were_written_after_a_crash_are_saved(opened):
    """Between the crash and the next opening a learner goes on in an editor."""
    work(opened, "mine")
    subprocess.run([sys.executable, "-c", CRASH, "renamed", "reset"])
    path = opened.project / "migrations" / "versions" / "mine.py"
    path.write_text("# mine, and more", encoding="utf-8")
    assert files(open_place(PLACE)) == set()
    saved = opened.workspace.backups.glob("lesson_00-*/migrations/versions/mine.py")
    assert "# mine, and more" in {path.read_text(encoding="utf-8") for path in saved}


@pytest.fixture
def poor_role(running, workspace, monkeypatch):
    """A role that may make databases, until it may not any more: ``poor_role(False)``."""
    with running.connect() as session:
        if not session.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user").fetchone()[0]:
            pytest.skip("needs the right to make a role")
        session.execute("CREATE ROLE poor_learner LOGIN CREATEDB PASSWORD 'secret'")
        url = running.url.set(username="poor_learner", password="secret")
        monkeypatch.setenv("LAB_POSTGRES", url.render_as_string(hide_password=False))
        yield lambda may: session.execute(f"ALTER ROLE poor_learner {'' if may else 'NO'}CREATEDB")
        owned = "SELECT datname FROM pg_database WHERE datdba = 'poor_learner'::regrole"
        for (name,) in session.execute(owned).fetchall():
            startstate.drop_database(session, name)
        session.execute("DROP ROLE poor_learner")


def test_a_server_that_refuses_stops_a_reset_before_it_takes_anything_away(poor_role):
    """No right, no room: the database was dropped first, and then there was none."""
    opened = open_place(PLACE)
    work(opened, "first")
    open_place(PLACE, reset=True)
    work(opened, "second")
    poor_role(False)
    for way in (lambda: open_place(PLACE, reset=True), lambda: go_back(PLACE)):
        with pytest.raises(UserError, match="permission denied"), in_words():
            way()
        assert here(opened) == kept("second")
    poor_role(True)
    assert here(go_back(PLACE)) == kept("first"), "a role that may just create databases has no way back"


def test_a_full_disk_takes_nothing_away(small_disk, workspace, monkeypatch, capsys):
    monkeypatch.setenv("LAB_WORK", str(small_disk / "work"))
    opened = open_place(PLACE)
    work(opened, "first")
    open_place(PLACE, reset=True)
    work(opened, "second")
    with open(small_disk / "filler", "wb", buffering=0) as file, suppress(OSError):
        while file.write(b"\0" * 4096):
            pass
    for verb in ("reset", "back"):
        assert main([verb, "00"]) == 1
        assert capsys.readouterr().err.endswith("Make room on the disk, then try again.\n")
        assert here(opened) == kept("second")
    (small_disk / "filler").unlink()
    assert here(go_back(PLACE)) == kept("first")
    with opened.server.connect() as session:
        for name in ours(opened):
            startstate.drop_database(session, name)


# Names


def test_every_name_fits_into_postgresqls(workspace, running):
    """It cuts a longer one, and two learners' databases would have the same name."""
    longest = replace(EXERCISE, id="x" * manifests.LONGEST_ID).place
    exchange = Exchange(
        None, running, lesson.database_name(longest, running, workspace), workspace.project("x"), workspace
    )
    assert max(len(name) for name in (exchange.former, exchange.coming, exchange.going)) == 63


def test_an_exercise_with_a_longer_name_is_refused():
    with pytest.raises(UserError, match="has 41 letters. Shorten it to 40."):
        manifests.read_exercise("x" * 41, {"number": "00"})


def test_a_place_on_a_server_of_ones_own_has_no_tag_in_its_names(workspace, running):
    own = Server("embedded", running.url, running.version)
    exchange = Exchange(None, own, lesson.database_name("lesson_00", own, workspace), workspace.project("x"), workspace)
    assert exchange.former == "former_lesson_00"

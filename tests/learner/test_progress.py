"""What the lab remembers of a learner's work, and the page that says what was learned."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest

from migration_lab.cli import main
from migration_lab.course.manifest import find_exercise, find_lesson, lessons
from migration_lab.course.prediction import Prediction
from migration_lab.files import write_whole
from migration_lab.learner import progress as progresses
from migration_lab.learner import summary
from migration_lab.learner.grade import Grade, Outcome
from migration_lab.learner.progress import Progress, report
from migration_lab.learner.summary import keep, page
from migration_lab.workspace import Workspace

LESSON = find_lesson("03")
FIRST, SECOND = LESSON.exercises
START = datetime(2026, 3, 2, 12, tzinfo=UTC)
TODAY = datetime(2026, 3, 9)
# A file as labs wrote it that recorded no time.
OLDER = {
    "lessons": {"03": "2026-03-02T12:00:00+00:00"},
    "exercises": {FIRST.id: {"tries": ["0a1b2c3d4e5f"], "hints": 2, "passed": "2026-03-02T12:40:00+00:00"}},
}


class Clock:
    def __init__(self):
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def goes(self, **time: float) -> None:
        self.now += timedelta(**time)


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progresses, "_now", clock)
    return clock


@pytest.fixture(autouse=True)
def greenwich(monkeypatch):
    """Days on the page are those of the machine's clock."""
    if not hasattr(time, "tzset"):
        pytest.skip("Windows can't be told where it is")
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def progress(tmp_path, monkeypatch) -> Progress:
    monkeypatch.setenv("LAB_WORK", str(tmp_path / "Zoë's <work>"))
    return Progress(Workspace())


def check(progress: Progress, exercise, outcome: Outcome, answer: str = "") -> None:
    write_whole(progress.workspace.project(exercise.place) / "answer.py", answer)
    progress.graded(Grade(exercise, outcome, "…"))


def words(text: str) -> str:
    """What a person reads of a page."""

    class Reader(HTMLParser):
        said, reads = "", True

        def handle_starttag(self, tag, attrs):
            self.reads = tag != "style"

        def handle_data(self, data):
            self.said += data + " " if self.reads else ""

    reader = Reader()
    reader.feed(text)
    return " ".join(reader.said.split())


def shown(progress: Progress) -> str:
    return words(page(progress, TODAY))


def line(progress: Progress, exercise) -> str:
    """What the page says of an exercise."""
    said = re.search(rf"<li>(.*{re.escape(exercise.title)}.*)</li>", page(progress, TODAY))
    return words(said[1])


# Time


def test_time_counts_from_moment_to_moment(progress, clock):
    progress.opened(LESSON)
    for _ in range(3):
        clock.goes(minutes=10)
        progress.seen(LESSON)
    assert progress.seconds(LESSON) == 30 * 60


def test_every_way_to_work_counts(progress, clock):
    """Someone may read for long, and be seen only when asking for a hint or trying an answer."""
    progress.opened(LESSON)
    for work in (
        lambda: progress.next_hint(FIRST),
        lambda: check(progress, FIRST, Outcome.NOT_ATTEMPTED),
        lambda: check(progress, FIRST, Outcome.PASSED),
        lambda: progress.saw_solution(FIRST),
        lambda: progress.seen(SECOND),
    ):
        before = progress.seconds(LESSON)
        clock.goes(minutes=5)
        work()
        assert progress.seconds(LESSON) == before + 5 * 60


@pytest.mark.parametrize("gap", [{"minutes": 31}, {"hours": 9}, {"days": 400}, {"hours": -1}, {"days": -400}], ids=str)
def test_pauses_nights_and_clocks_that_jump_count_as_nothing(progress, clock, gap):
    progress.opened(LESSON)
    clock.goes(minutes=10)
    progress.seen(LESSON)
    clock.goes(**gap)
    progress.seen(LESSON)
    clock.goes(minutes=10)
    progress.seen(LESSON)
    assert progress.seconds(LESSON) == 20 * 60


def test_no_hour_is_counted_twice(progress, clock):
    """Two lessons side by side, in two tabs."""
    other = find_lesson("04")
    progress.opened(other)
    for _ in range(6):
        clock.goes(minutes=8)
        progress.seen(LESSON)
        clock.goes(minutes=2)
        progress.seen(other)
    assert (progress.seconds(LESSON), progress.seconds(other)) == (12 * 60, 48 * 60)


def test_cells_that_follow_one_another_do_not_write_the_file_each_time(progress, clock):
    progress.opened(LESSON)
    before = progress.path.read_bytes()
    clock.goes(seconds=30)
    progress.seen(LESSON)
    assert progress.path.read_bytes() == before


def test_a_disk_that_refuses_does_not_stop_the_work(progress, monkeypatch):
    def refuse(path, text):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(progresses, "write_whole", refuse)
    progress.seen(LESSON)
    with pytest.raises(OSError):
        progress.opened(LESSON)


def test_cells_in_a_notebook_are_work(shell, workspace, clock):
    shell("%lesson 00")
    clock.goes(minutes=20)
    shell("%sql SELECT 1")
    clock.goes(minutes=20)
    shell("%alembic current")
    assert Progress(workspace).seconds(find_lesson("00")) == 40 * 60


# What the file says


def test_a_file_of_an_older_lab_is_read(progress):
    progress.path.write_text(json.dumps(OLDER), encoding="utf-8")
    assert line(progress, FIRST).endswith("passed at try 2 on 2 March 2026, 2 hints")
    assert "03 · Soft delete and timestamps begun on 2 March 2026 ✔" in shown(progress)
    assert "Time at work not recorded" in shown(progress)
    progress.seen(LESSON)
    assert json.loads(progress.path.read_text(encoding="utf-8")).items() >= OLDER.items()
    assert not progress.workspace.backups.exists(), "it was taken for a damaged one"


@pytest.mark.parametrize(
    "change",
    [
        {"seconds": []},
        {"seconds": {"03": "a while"}},
        {"last": "yesterday"},
        {"last": {"lesson": ["03"], "at": "2026-03-02T12:00:00+00:00"}},
        {"exercises": {FIRST.id: {"solution": True}}},
        {"predictions": []},
        {"predictions": {"who_waits": "b"}},
        {"predictions": {"who_waits": {"guess": 2}}},
        {"predictions": {"who_waits": {"guess": "b", "right": "yes"}}},
    ],
    ids=str,
)
def test_what_is_damaged_is_set_aside(progress, change):
    progress.path.write_text(json.dumps(OLDER | change), encoding="utf-8")
    assert "0 of " in report(progress)
    assert len(list(progress.workspace.backups.iterdir())) == 1


@pytest.mark.parametrize("day", ["some day", "", "0001-01-01T00:00:00+14:00", "<b>2026</b>"])
def test_a_day_that_is_none_is_left_out(progress, day):
    """People edit the file; that they passed is still true."""
    state = {
        "lessons": {"03": day},
        "exercises": {FIRST.id: {"passed": day, "solution": day}},
        "last": {"lesson": "03", "at": day},
    }
    progress.path.write_text(json.dumps(state), encoding="utf-8")
    assert re.search(r"passed at the first try(?: on 1 January 1)?, ", line(progress, FIRST))
    progress.seen(LESSON)
    assert progress.seconds(LESSON) == 0


# Predictions

CHOICE = Prediction("who_waits", "03", "Who waits?", ("the readers", "the writers"), "b", "…")
WORDS = Prediction("what_error", "03", "What will it say?", (), "", "…")


def test_a_guess_and_what_became_of_it(progress, clock):
    progress.predicted(CHOICE, "a")
    clock.goes(minutes=1)
    progress.predicted(CHOICE, "b")
    clock.goes(minutes=1)
    progress.compared(CHOICE)
    clock.goes(minutes=1)
    progress.predicted(CHOICE, "a")
    progress.compared(CHOICE)
    kept = {"guess": "b", "at": "2026-03-02T12:01:00+00:00", "shown": "2026-03-02T12:02:00+00:00", "right": True}
    assert progress.prediction(CHOICE) == kept
    assert progress.seconds(LESSON) == 180, "whoever predicts is at work"


def test_predictions_are_counted_and_right_ones_where_that_is_known(progress):
    assert "rediction" not in report(progress) + shown(progress)
    progress.predicted(CHOICE, "b")
    assert "1 prediction made.\n" in report(progress), "before the answer is shown, this would give it away"
    assert "Predictions 1 made " in shown(progress)
    progress.predicted(WORDS, "no idea")
    progress.compared(CHOICE)
    progress.compared(WORDS)
    progress.compared(replace(CHOICE, id="skipped"))
    assert "2 predictions made. 1 of the 1 that can be judged was right.\n" in report(progress)
    assert "Predictions 2 made, 1 of 1 right " in shown(progress)


def test_a_file_without_predictions_takes_them(progress):
    progress.path.write_text(json.dumps(OLDER), encoding="utf-8")
    progress.predicted(CHOICE, "a")
    assert progress.prediction(CHOICE)["guess"] == "a"
    assert progress.passed(FIRST) and not progress.workspace.backups.exists()


# The page


def test_there_is_no_page_before_the_first_pass(progress):
    progress.opened(LESSON)
    check(progress, FIRST, Outcome.NOT_YET, "wrong")
    assert keep(progress) == "Your first pass begins a page to keep: progress.html."
    assert not (progress.workspace.path / summary.NAME).exists()


def test_the_verb_writes_the_page_and_says_where(progress, capsys):
    check(progress, FIRST, Outcome.PASSED)
    assert main(["progress"]) == 0
    path = progress.workspace.path / "progress.html"
    assert capsys.readouterr().out.splitlines()[-1] == f"Your page to keep, or to print: {path}"
    assert "Exercises passed 1 of" in words(path.read_text(encoding="utf-8"))


def test_a_lesson_that_is_done_says_what_was_learned(progress, clock):
    progress.opened(LESSON)
    assert LESSON.objectives[0] not in shown(progress), "it was only begun"
    clock.goes(minutes=25)
    check(progress, FIRST, Outcome.PASSED)
    assert LESSON.objectives[0] not in shown(progress), "one exercise is still to come"
    check(progress, SECOND, Outcome.PASSED)
    said = shown(progress)
    assert "03 · Soft delete and timestamps begun on 2 March 2026, 25 min at work" in said
    assert all(objective.split("`")[0] in said for objective in LESSON.objectives)
    assert f"Lessons done 1 of {len(lessons())}" in said
    assert "Patterns of the template 0 of 7" in said
    assert "Time at work 25 min" in said
    assert "Written on 9 March 2026." in said


def test_a_pattern_that_is_done_is_counted(progress):
    pattern = find_lesson("11")
    progress.opened(pattern)
    for exercise in pattern.exercises:
        check(progress, exercise, Outcome.PASSED)
    assert "Patterns of the template 1 of 7" in shown(progress)


def test_lessons_that_are_not_done_stand_where_they_belong(progress):
    progress.opened(LESSON)
    check(progress, find_exercise("two_queries"), Outcome.NOT_YET, "in a terminal, without opening its lesson")
    begun, ahead = shown(progress).split("Lessons begun")[1].split("Still to come")
    assert "03 · " in begun and "04 · " in begun
    assert "05 · " in ahead and "05 · " not in begun
    assert "03 · " not in ahead and "04 · " not in ahead


def test_the_whole_course_is_congratulated(progress, clock):
    for lesson in lessons().values():
        progress.opened(lesson)
        for exercise in lesson.exercises:
            check(progress, exercise, Outcome.PASSED)
        clock.goes(days=1)
    said = shown(progress)
    assert f"from 2 March 2026 to {(START + timedelta(len(lessons()) - 1)):%-d %B %Y}: congratulations." in said
    assert "Patterns of the template 7 of 7" in said
    assert "Lessons begun" not in said and "Still to come" not in said


def test_how_an_exercise_was_passed(progress, clock):
    check(progress, FIRST, Outcome.PASSED)
    assert line(progress, FIRST) == f"✔ {FIRST.title}: passed at the first try on 2 March 2026"
    clock.goes(days=1)
    progress.saw_solution(FIRST)
    check(progress, FIRST, Outcome.NOT_YET, "played on")
    check(progress, FIRST, Outcome.PASSED)
    assert line(progress, FIRST).endswith(
        "passed at the first try on 2 March 2026, compared with the solution afterwards"
    )


def test_help_is_told(progress, clock):
    for answer in ("one", "two", "two", "three"):
        check(progress, FIRST, Outcome.NOT_YET, answer)
    progress.next_hint(FIRST)
    assert line(progress, FIRST) == f"○ {FIRST.title}: 3 tries so far, 1 hint"
    progress.saw_solution(FIRST)
    clock.goes(minutes=1)
    check(progress, FIRST, Outcome.PASSED)
    assert line(progress, FIRST).endswith("passed at try 4 on 2 March 2026, 1 hint, with a look at the solution")


def test_looking_at_a_solution_is_noted(progress, capsys):
    for answer in ("one", "two", "three"):
        check(progress, FIRST, Outcome.NOT_YET, answer)
    assert main(["solution", FIRST.id]) == 0
    assert line(progress, FIRST).endswith("with a look at the solution")


@pytest.mark.parametrize(
    "seconds, said",
    [(0, "less than a minute"), (59, "less than a minute"), (61, "1 min"), (3599, "59 min"), (3660, "1 h 01 min")],
)
def test_time_as_people_say_it(progress, seconds, said):
    state = {"lessons": {"03": START.isoformat()}, "seconds": {"03": seconds}}
    progress.path.write_text(json.dumps(state), encoding="utf-8")
    assert f"Time at work {said} " in shown(progress)


def test_text_of_the_course_stays_text(progress, monkeypatch):
    nasty = '<script>alert("&")</script> `a < b`'
    exercise = replace(FIRST, title=nasty)
    lesson = replace(LESSON, title=nasty, objectives=(nasty,), exercises=(exercise,))
    monkeypatch.setattr(summary, "lessons", lambda: {"03": lesson})
    progress.opened(lesson)
    check(progress, exercise, Outcome.PASSED)
    text = page(progress, TODAY)
    assert "<script" not in text
    assert text.count("&lt;script&gt;alert(&quot;&amp;&quot;)&lt;/script&gt; <code>a &lt; b</code>") == 3


def test_the_page_stands_alone(progress):
    """It is mailed, printed, and opened years later: nothing may be fetched, and nothing run."""
    check(progress, FIRST, Outcome.PASSED)
    text = page(progress, TODAY)
    assert not re.search(r"https?:|//|src=|href=|url\(|@import|<script|<link", text)
    assert '<html lang="en">' in text and '<meta charset="utf-8">' in text
    assert "break-inside: avoid" in text and "@media print" in text


def test_its_elements_are_closed(progress):
    check(progress, FIRST, Outcome.PASSED)
    void, opened = {"meta"}, []

    class Elements(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag not in void:
                opened.append(tag)

        def handle_endtag(self, tag):
            assert opened.pop() == tag, "it closes another"

    Elements().feed(page(progress, TODAY))
    assert opened == []


def test_a_page_that_somebody_wrote_in_is_saved(progress):
    check(progress, FIRST, Outcome.PASSED)
    keep(progress)
    keep(progress)
    assert not progress.workspace.backups.exists(), "the lab's own page is written anew"
    path = progress.workspace.path / summary.NAME
    path.write_text("my name", encoding="utf-8")
    keep(progress)
    (saved,) = progress.workspace.backups.iterdir()
    assert saved.read_text(encoding="utf-8") == "my name"
    assert "what was learned" in path.read_text(encoding="utf-8")


def test_a_page_that_cannot_be_written_hides_no_progress(progress, capsys):
    check(progress, FIRST, Outcome.PASSED)
    (progress.workspace.path / summary.NAME / "a folder").mkdir(parents=True)
    assert main(["progress"]) == 1
    out, err = capsys.readouterr()
    assert f"✔ {FIRST.id}: passed" in out
    assert str(progress.workspace.path / summary.NAME) in err and "Traceback" not in err

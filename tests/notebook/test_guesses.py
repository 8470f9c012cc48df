"""``%predict`` as a learner meets it: a guess is noted, and the cell that answers it shows guess and outcome.

Most tests run cells in an IPython in this process, of a small course of their own: real files, a real progress.json. The
last ones run a real kernel on lesson 00.
"""

from __future__ import annotations

import json

import nbformat
import pytest
from tests.notebook.learner import Learner
from tests.notebook.test_kernel import GOES_ON, learner  # noqa: F401 - a fixture

from migration_lab.course import cells, prediction
from migration_lab.course.manifest import lessons
from migration_lab.learner import report
from migration_lab.learner.progress import Progress
from migration_lab.notebook.guesses import compared
from migration_xray.errors import UserError

COURSE = """
[who_waits]
lesson = "00"
question = "Who waits?"
choices = ["the readers", "the `writers`"]
answer = "b"
why = "A [lock](glossary.md#lock) does **that**."

[how_many]
lesson = "00"
question = "How many?"
answer = 10
why = "Ten."

[what_error]
lesson = "00"
question = "What will it say?"
why = "See above."
"""
NOTEBOOK = [
    ("opens", "%lesson 00 --reset"),
    ("asks-who", "%predict who_waits"),
    ("answers-who", "print('it waits')"),
    ("between", "print('between')"),
    ("asks-many", "%predict how_many"),
    ("asks-error", "%predict what_error"),
    ("answers-both", "1 / 0"),
    ("again", "print('again')"),
    ("again-2", "print('again')"),
]


@pytest.fixture
def learns(shell, tmp_path, monkeypatch):
    """``learns("asks-who", "b")``: runs a cell of that small course as JupyterLab does, with words written behind it."""
    folder = tmp_path / "course"
    folder.mkdir()
    (folder / "predictions.toml").write_text(COURSE, encoding="utf-8")
    made = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source, id=identifier) for identifier, source in NOTEBOOK]
    )
    made.cells[6].metadata["tags"] = ["raises-exception"]
    nbformat.write(made, folder / lessons()["00"].notebook)

    def forget() -> None:
        cells.code_cells.cache_clear()
        prediction.predictions.cache_clear()

    monkeypatch.setattr(cells, "NOTEBOOKS", folder)
    monkeypatch.setattr(prediction, "NOTEBOOKS", folder)
    forget()
    assert shell("%lesson 00").error is None

    def run(cell: str, words: str = "", ids: bool = True):
        source = dict(NOTEBOOK).get(cell, cell) + f" {words}" * bool(words)
        return shell(source, store_history=True, cell_id=(cell if cell in dict(NOTEBOOK) else "own") if ids else None)

    yield run
    forget()


def kept(workspace, name: str) -> dict:
    return json.loads((workspace.path / "progress.json").read_text("utf-8"))["predictions"].get(name, {})


def test_a_guess_stands_beside_the_outcome(learns, workspace):
    """The point of a prediction: one's own guess is still there when the server has answered."""
    assert learns("asks-who", "a").text == "Noted: a) the readers. Now run the next cell."
    assert learns("asks-who", "the writers, I think").text == "Noted: b) the `writers`. Now run the next cell."
    assert learns("asks-who").text == "Your guess is noted: b) the `writers`. Now run the next cell."
    answered = learns("answers-who")
    assert answered.shown["text/markdown"] == (
        "| You predicted | Outcome |\n|---|---|\n| b) the `writers` ✔ right | b) the `writers` |\n\n"
        "A [lock](glossary.md#lock) does **that**."
    )
    assert answered.text == (
        "it waits\nYou predicted: b) the `writers` ✔ right\nOutcome: b) the `writers`\n\nA lock does that."
    )
    assert kept(workspace, "who_waits")["right"] is True


def test_without_a_guess_nothing_blocks_and_the_explanation_comes(learns, workspace):
    assert learns("asks-who").text == (
        "To predict, write the letter of your choice after the name and run this cell again, for example "
        "`%predict who_waits a`. You may also simply go on."
    )
    assert learns("answers-who").text == "it waits\nOutcome: b) the `writers`\n\nA lock does that."
    assert "guess" not in kept(workspace, "who_waits")


def test_it_comes_without_the_predict_cell_too(learns):
    """Who scrolls past the cell would never read why."""
    assert learns("answers-who").text.endswith("A lock does that.")
    assert learns("answers-who", ids=False).text.endswith("A lock does that."), "a front end without ids"


def test_only_the_cell_that_answers_shows_it(learns):
    """A cell that a learner adds, or one that comes later, would give it away before anything has been seen."""
    learns("asks-who", "b")
    assert learns("print('mine')").text == "mine"
    assert learns("between").text == "between"
    assert learns("asks-many").text.startswith("To predict, write your guess")
    assert "A lock does that." in learns("answers-who").text


def test_where_no_ids_are_sent_the_next_cell_answers(learns):
    """VS Code sends ids of its own, and some programs send none; a cell whose text is the course's is still known."""
    learns("asks-who", "b", ids=False)
    assert learns("between", ids=False).text == "between"
    assert "A lock does that." in learns("print('it waits', 'long')", ids=False).text
    assert learns("print('mine')", ids=False).text == "mine", "and only that one"


def test_an_error_that_the_lesson_intends_is_an_answer_and_another_is_none(learns):
    learns("asks-many", "10 records")
    failed = learns("answers-both")
    assert isinstance(failed.error, ZeroDivisionError)
    assert "You predicted: 10 records ✔ right\nOutcome: 10\n\nTen." in failed.text
    learns("asks-who", "b")
    assert "A lock" not in learns("answers-who", "nonsense").text, "a slip of the keyboard has shown nothing"
    assert "A lock does that." in learns("answers-who").text


def test_one_cell_may_answer_two(learns):
    learns("asks-many", "eleven")
    learns("asks-error", "division | by <b>zero</b>")
    said = learns("answers-both").text
    assert "You predicted: eleven\nOutcome: 10\n\nTen." in said or "division" in said


def test_a_guess_stays_once_the_answer_was_shown(learns, workspace):
    """Otherwise everybody was right in the end, and the count says nothing."""
    learns("asks-who", "a")
    learns("answers-who")
    stays = "Your guess was: a) the readers. The answer was shown already, so your first guess stays."
    assert learns("asks-who", "b").text == stays
    assert learns("asks-who").text == "Your guess was: a) the readers. The answer was shown already."
    assert kept(workspace, "who_waits")["guess"] == "a" and kept(workspace, "who_waits")["right"] is False
    learns("answers-both")
    assert learns("asks-many", "10").text == "The answer was shown already, so a guess is no longer noted."
    assert learns("asks-many").text == "The answer was shown already."
    assert "guess" not in kept(workspace, "how_many")


def test_what_is_no_choice_is_a_sentence_and_is_not_noted(learns, workspace):
    refused = learns("asks-who", "z")
    assert isinstance(refused.error, UserError)
    assert refused.text.startswith('"z" is none of the choices, so it was not noted.')
    assert kept(workspace, "who_waits") == {}
    assert learns("%predict").text == "Which prediction? Write its name after %predict, as the lesson's cell has it."
    assert learns("%predict who_wait b").text == 'There is no prediction "who_wait". The nearest is who_waits.'


def test_progress_counts_guesses_and_gives_nothing_away(learns, workspace):
    """Before the answer is shown, "1 right" would be the answer."""
    assert "prediction" not in report(Progress(workspace))
    learns("asks-who", "b")
    assert "1 prediction made.\n" in report(Progress(workspace))
    learns("answers-who")
    learns("asks-many", "ten")
    learns("answers-both")
    assert "2 predictions made. 1 of the 1 that can be judged was right.\n" in report(Progress(workspace))


def test_a_learners_words_are_no_markdown():
    """A guess with a bar would break the table, and one with a tag would vanish."""
    question = prediction.Prediction("x", "00", "?", (), "`a|b`", "Why.")
    table = compared(question, "a | <b>*c*</b>")["text/markdown"].splitlines()[2]
    assert table == r"| a \| \<b\>\*c\*\<\/b\> | `a\|b` |"
    assert compared(question, "a | c")["text/plain"].startswith("You predicted: a | c\nOutcome: `a|b`\n")
    open_question = prediction.Prediction("x", "00", "?", (), "", "Why.")
    assert compared(open_question, "*this*")["text/markdown"] == "**You predicted:** \\*this\\*\n\nWhy."
    assert compared(open_question, None) == {"text/markdown": "Why.", "text/plain": "Why."}


# In a real kernel, on lesson 00


def test_a_prediction_is_kept_over_a_restart(learner, workspace):  # noqa: F811
    kernel: Learner = learner(lessons()["00"].notebook)
    lesson = cells.code_cells(lessons()["00"])
    asking = next(cell for cell in lesson if cell.source.startswith("%predict file_or_database"))
    answering = lesson[lesson.index(asking) + 1]
    kernel.run("%lesson 00 --reset")
    assert kernel.run(f"{asking.source} a", asking.id).printed.startswith("Noted: a) ")

    kernel.restart()
    answered = kernel.run(answering.source, answering.id)
    assert answered.printed.startswith(GOES_ON.format("0003_orders"))
    *_, shown = answered.displayed
    assert shown["text/markdown"].startswith("| You predicted | Outcome |\n|---|---|\n| a) yes, ")

    kernel.restart()
    assert "so your first guess stays." in kernel.run(f"{asking.source} b", asking.id).printed
    assert "1 prediction made. 0 of the 1 that can be judged were right." in kernel.run("%progress").printed

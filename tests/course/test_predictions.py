"""Predictions as data: what the file may say, what a guess means, and that the lessons ask what the file says.

(What a learner sees of them is in tests/notebook/test_guesses.py.)
"""

from __future__ import annotations

import re

import nbformat
import pytest
from tests.course.test_links import links, wrong

from migration_lab.course import prediction as room
from migration_lab.course.cells import answering_cell
from migration_lab.course.manifest import lessons
from migration_lab.course.prediction import Prediction, find_prediction, predictions
from migration_lab.paths import NOTEBOOKS
from migration_xray.errors import UserError

WAITS = Prediction(
    "who_waits", "10", "Who waits?", ("the readers", "the writers", "the readers and the writers", "nobody"), "b", "…"
)


def free(answer: str) -> Prediction:
    return Prediction("how_many", "05", "How many?", (), answer, "…")


# The lessons and the file


def asked_in(lesson) -> list[tuple[str, str]]:
    """For each `%predict` cell of a lesson: the id, and the text of the Markdown cell right before it."""
    cells = nbformat.read(NOTEBOOKS / lesson.notebook, as_version=4).cells
    found = []
    for before, cell in zip(cells, cells[1:], strict=False):
        if cell.cell_type == "code" and cell.source.startswith("%predict"):
            assert before.cell_type == "markdown", f"{cell.source}: the question stands right before it"
            found.append((cell.source.removeprefix("%predict "), before.source))
    return found


by_lesson = pytest.mark.parametrize("lesson", lessons().values(), ids=lambda lesson: lesson.notebook)


@by_lesson
def test_a_lesson_asks_what_the_file_says(lesson):
    """A learner would note a guess at one question, and be told the answer to another."""
    asked = asked_in(lesson)
    of_the_file = [one for one in predictions().values() if one.lesson == lesson.number]
    assert [key for key, _ in asked] == [one.id for one in of_the_file], "each once, in the order of the lesson"
    for key, text in asked:
        prediction = find_prediction(key)
        assert text == prediction.markdown or text.endswith(f"\n\n{prediction.markdown}"), (
            f"{key}: as markdown() has it"
        )
        assert "<details>" not in text, f"{key}: its explanation comes with the answer, and is not folded below it"
        assert answering_cell(lesson, key), f"{key}: no cell comes after it that could answer"


@pytest.mark.parametrize("prediction", predictions().values(), ids=lambda one: one.id)
def test_a_prediction_can_be_judged_and_explained(prediction):
    if prediction.choices:
        assert prediction.answer in prediction.lettered, "one of the choices is right"
        # What a learner may write instead of the letter.
        assert [prediction.read(words) for words in prediction.choices] == list(prediction.lettered)
    assert "glossary.md" not in prediction.question + "".join(prediction.choices), "think first, look it up later"
    assert not re.search(r"</?(details|summary)", prediction.why)
    page = NOTEBOOKS / lessons()[prediction.lesson].notebook
    assert [sentence for link in links(prediction.why) if (sentence := wrong(page, link))] == []


# What a guess means


@pytest.mark.parametrize(
    ("said", "letter"),
    [
        ("b", "b"), ("B", "b"), ("b)", "b"), ("(b)", "b"), ("b.", "b"), ("b, I think", "b"), ("b) the writers", "b"),
        ("the writers", "b"), ("Writers!", "b"), ("the writers, I think", "b"),
        ("the readers", "a"), ("the readers and the writers", "c"), ("readers and writers, of course", "c"),
        ("nobody", "d"),
    ],
)  # fmt: skip
def test_a_choice_is_meant_by_its_letter_or_its_words(said, letter):
    assert WAITS.read(said) == letter


@pytest.mark.parametrize("said", ["e", "e)", "z", "the vacuum", "a writer", "writers or nobody", "!", "aha"])
def test_what_is_no_choice_is_not_noted(said):
    with pytest.raises(UserError) as refused:
        WAITS.read(said)
    assert str(refused.value) == (
        f'"{said}" is none of the choices, so it was not noted. '
        "Write a letter from a to d, for example `%predict who_waits a`."
    )


@pytest.mark.parametrize(
    ("answer", "said", "right"),
    [
        ("10", "10", True), ("10", "10 records", True), ("10", "about 10.0", True), ("1200", "1,200", True),
        ("10", "11", False), ("10", "ten", None), ("10", "9 or 10", None), ("10", "x10", None),
        ("NULL", "null.", True), ("NULL", "nothing", None), ("a < b", "a > b", None),
        ("", "anything", None),
    ],
)  # fmt: skip
def test_a_free_guess_is_judged_only_where_it_can_be(answer, said, right):
    """ "Wrong" must be true: a person who wrote "ten" for 10 was not wrong."""
    prediction = free(answer)
    assert prediction.is_right(prediction.read(said)) is right


def test_a_choice_without_an_answer_is_for_people_to_compare():
    assert Prediction("x", "00", "?", ("yes", "no"), "", "…").is_right("a") is None


# What an author reads


WHOLE = 'lesson = "00"\nquestion = "Who?"\nwhy = "So."\n'


@pytest.fixture
def written(tmp_path, monkeypatch):
    """``written(text)``: what the file says, or how it is refused."""
    monkeypatch.setattr(room, "NOTEBOOKS", tmp_path)

    def read(text: str) -> dict[str, Prediction]:
        (tmp_path / "predictions.toml").write_text(text, encoding="utf-8")
        predictions.cache_clear()
        return predictions()

    yield read
    predictions.cache_clear()


def test_a_prediction_has_few_parts(written):
    assert written(f"[who_waits]\n{WHOLE}") == {"who_waits": Prediction("who_waits", "00", "Who?", (), "", "So.")}
    found = written(f'[who_waits]\n{WHOLE}choices = ["a reader", "a writer"]\nanswer = "b"')["who_waits"]
    assert found.markdown == "**Predict.** Who?\n\n- a) a reader\n- b) a writer"
    assert written(f"[how_many]\n{WHOLE}answer = 10")["how_many"].answer == "10"


def test_a_course_without_predictions_has_none(written, tmp_path):
    predictions.cache_clear()
    assert predictions() == {}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[who", "predictions.toml is not TOML"),
        (f"[Who-waits]\n{WHOLE}", "[Who-waits]: an id consists of small letters"),
        ("who_waits = 1", "[who_waits]: each prediction is a table"),
        (f"[who_waits]\n{WHOLE}anwser = 1", "[who_waits]: anwser is not known here. The keys are answer, choices,"),
        ('[who_waits]\nlesson = "00"\nwhy = "So."', "[who_waits]: question is missing"),
        ('[who_waits]\nlesson = "00"\nquestion = " "\nwhy = "So."', "[who_waits]: question is missing"),
        ('[who_waits]\nlesson = 7\nquestion = "?"\nwhy = "So."', "[who_waits]: lesson is missing, or is no text"),
        ('[who_waits]\nlesson = "7"\nquestion = "?"\nwhy = "So."', '[who_waits]: there is no lesson "7"'),
        (f'[who_waits]\n{WHOLE}choices = "yes"', "[who_waits]: choices is a list of texts"),
        (f'[who_waits]\n{WHOLE}choices = ["yes"]', "2 to 9 choices, and this one has 1"),
        (f"[who_waits]\n{WHOLE}choices = []", "2 to 9 choices, and this one has 0"),
        (f'[who_waits]\n{WHOLE}choices = ["the row", "Row."]', "[who_waits]: two choices are the same"),
        (
            f'[who_waits]\n{WHOLE}choices = ["yes", "no"]\nanswer = "c"',
            'answer is "c", and has to be a letter from a to b',
        ),
        (f'[who_waits]\n{WHOLE}choices = ["yes", "no"]\nanswer = ""', "has to be a letter from a to b"),
        (f"[who_waits]\n{WHOLE}answer = true", "answer is a letter, a short text or a number"),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_place(written, text, sentence):
    with pytest.raises(UserError) as refused:
        written(text)
    assert sentence in str(refused.value) and str(refused.value).startswith("predictions.toml")


def test_an_unknown_name_is_answered_with_the_nearest(written):
    written(f"[who_waits]\n{WHOLE}")
    with pytest.raises(UserError, match='There is no prediction "who_wait". The nearest is who_waits.'):
        find_prediction("who_wait")

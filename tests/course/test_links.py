"""Where links lead, in the course and in the project's own pages: to files and headings that are there, and to pages of
the documentation.

No test here asks the network. That a page of the documentation exists is for whoever writes the link to see.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest

from migration_lab.course.manifest import Lesson, lessons
from migration_lab.course.prediction import predictions
from migration_lab.learner import refresh_notebooks
from migration_lab.paths import NOTEBOOKS, ROOT
from migration_lab.workspace import Workspace

GLOSSARY = NOTEBOOKS / "glossary.md"
# Pages for people who use or change the project; GitHub shows them.
OF_THE_PROJECT = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / ".github").rglob("*.md")),
]
PAGES = [
    *OF_THE_PROJECT,
    *sorted(NOTEBOOKS.glob("*.ipynb")),
    *sorted(NOTEBOOKS.rglob("*.md")),
    *sorted((ROOT / "src/migration_lab/take_home").rglob("*.md")),
]
# What a link may lead to outside: the documentation, of the version that the course is about.
OUTSIDE = {
    "www.postgresql.org": r"/docs/18/[a-z0-9-]+\.html(#[A-Z0-9-]+)?",
    "alembic.sqlalchemy.org": r"/en/latest/[a-z/]+\.html(#[\w.-]+)?",
    "docs.sqlalchemy.org": r"/en/20/[a-z/]+\.html(#[\w.-]+)?",
}
# Where the project's own pages may lead besides.
OF_THE_TRADE = {
    "docs.astral.sh",
    "docs.github.com",
    "keepachangelog.com",
    "nbval.readthedocs.io",
    "pre-commit.com",
    "semver.org",
    "www.contributor-covenant.org",
}
# Words that neither PostgreSQL nor Alembic has a page about.
OF_THE_COURSE = {"x-ray", "old code and new code", "soft delete"}
FEW = range(3, 10)


def markdown(page: Path) -> str:
    if page.suffix != ".ipynb":
        return page.read_text(encoding="utf-8")
    return "\n\n".join(cell.source for cell in read(page).cells if cell.cell_type == "markdown")


@cache
def read(page: Path) -> nbformat.NotebookNode:
    return nbformat.read(page, as_version=4)


def without_code(text: str) -> str:
    text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    return re.sub(r"`[^`\n]+`", "`…`", text)


def links(text: str) -> list[str]:
    text = without_code(text)
    return re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r"(?:href|src)=\"([^\"]+)\"", text)


def headings(page: Path) -> list[str]:
    fenceless = re.sub(r"^```.*?^```", "", markdown(page), flags=re.M | re.S)
    said = re.findall(r"^#{1,6} +(.+?) *$", fenceless, re.M)
    return [re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in said]


def of_jupyterlab(heading: str) -> str:
    """The anchor that JupyterLab makes of a heading."""
    return heading.replace(" ", "-")


def of_github(heading: str) -> str:
    """The anchor that GitHub makes of it."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def wrong(page: Path, link: str) -> str | None:
    """What is wrong with a link of a page, in a sentence."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        path = parts.path + (f"#{parts.fragment}" if parts.fragment else "")
        if parts.scheme != "https":
            return f"{link} is not https"
        if page in OF_THE_PROJECT and parts.hostname in OF_THE_TRADE:
            return None
        if parts.hostname not in OUTSIDE:
            return f"{link} leads to {parts.hostname}, which is none of {', '.join(OUTSIDE)}"
        return None if re.fullmatch(OUTSIDE[parts.hostname], path) else f"{link} is no page of the documentation"
    target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if not target.exists():
        return f"{link} leads nowhere"
    if not parts.fragment:
        return None
    anchors = {of_github(heading) for heading in headings(target)}
    if page.is_relative_to(NOTEBOOKS):  # learners read it in JupyterLab
        anchors &= {of_jupyterlab(heading) for heading in headings(target)}
    return (
        None if parts.fragment in anchors else f"{link}: {target.name} has no such heading, in JupyterLab and on GitHub"
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page):
    assert [sentence for link in links(markdown(page)) if (sentence := wrong(page, link))] == []


@pytest.mark.parametrize(
    "link, said",
    [
        ("nowhere.md", "leads nowhere"),
        ("00_start_here.ipynb#no-such-heading", "has no such heading"),
        ("glossary.md#Row-lock", "has no such heading"),
        ("glossary.md#env.py", "has no such heading"),
        ("http://www.postgresql.org/docs/18/arrays.html", "is not https"),
        ("https://example.com/docs/18/arrays.html", "leads to example.com"),
        ("https://www.postgresql.org/docs/current/arrays.html", "is no page"),
        ("https://www.postgresql.org/docs/17/arrays.html", "is no page"),
        ("https://alembic.sqlalchemy.org/en/1.4/branches.html", "is no page"),
    ],
)
def test_a_link_that_is_wrong_is_seen(link, said):
    text = f"See [this](glossary.md#row-lock), ![that](images/the_lab.svg) and [the other]({link}). `[no](link.md)`"
    (sentence,) = [sentence for one in links(text) if (sentence := wrong(NOTEBOOKS / "page.md", one))]
    assert said in sentence


def test_a_lesson_leads_to_the_documentation_alone():
    """A learner's page with a link into the tools of the trade would lead away from the course."""
    link = "https://pre-commit.com/"
    assert wrong(ROOT / "CONTRIBUTING.md", link) is None
    assert "which is none of" in wrong(GLOSSARY, link)


def test_anchors_are_those_of_jupyterlab_and_github():
    """As both make them of a heading; seen in JupyterLab 4.6. They agree on plain lower case alone."""
    assert of_jupyterlab("What `stamp` does".replace("`", "")) == "What-stamp-does"
    assert of_github("What `stamp` does: nothing, env.py") == "what-stamp-does-nothing-envpy"
    assert of_github("lock_timeout") == of_jupyterlab("lock_timeout") == "lock_timeout"


def test_what_the_lessons_link_to_is_laid_with_them(tmp_path):
    """A learner reads copies, in a folder that has not all of the course."""
    work = Workspace(tmp_path / "work")
    refresh_notebooks(work)
    for page in (*NOTEBOOKS.glob("*.ipynb"), GLOSSARY):
        here = {urlsplit(link).path for link in links(markdown(page)) if not urlsplit(link).scheme}
        assert [path for path in here if path and not (work.path / path).exists()] == []


# The glossary


@cache
def entries() -> dict[str, str]:
    """Each term of the glossary with what is said of it."""
    _, *parts = re.split(r"^## (.+)\n", GLOSSARY.read_text(encoding="utf-8"), flags=re.M)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def linked_terms(text: str) -> list[str]:
    return re.findall(r"\]\(glossary\.md#([^)]+)\)", text)


def test_the_terms_stand_in_order_and_once():
    terms = re.findall(r"^## (.+)$", GLOSSARY.read_text(encoding="utf-8"), re.M)
    assert terms == sorted(set(terms))
    assert 50 <= len(terms) <= 90
    assert [term for term in terms if of_github(term) != of_jupyterlab(term)] == []


@pytest.mark.parametrize("term", entries())
def test_an_entry_says_what_it_is_and_where_it_is_shown(term):
    """Two or three sentences: what is longer is a lesson."""
    said, _, pointers = entries()[term].strip().rpartition("\n\n")
    assert "\n" not in said and 8 <= len(said.split()) <= 60
    number, notebook = re.match(r"\[Lesson (\d\d)\]\(([^)]+)\)", pointers).groups()
    assert lessons()[number].notebook == notebook
    pages = [link for link in links(pointers) if urlsplit(link).hostname in OUTSIDE]
    assert len(pages) == (term not in OF_THE_COURSE)


@cache
def course_in_one_word() -> str:
    """All that the lessons say and show, without what a lock mode's name has between its words."""
    pages = [json.dumps([cell for cell in read(page).cells], ensure_ascii=False) for page in NOTEBOOKS.glob("*.ipynb")]
    return squashed(re.sub(r"\]\(glossary\.md#[^)]+\)", "]", " ".join(pages)))


def squashed(text: str) -> str:
    return re.sub(r"[\W_]", "", text.lower())


@pytest.mark.parametrize("term", entries())
def test_a_term_is_one_of_the_course(term):
    """Linked from a lesson, or used in one: what neither is belongs in another book."""
    linked = {anchor for page in NOTEBOOKS.glob("*.ipynb") for anchor in linked_terms(markdown(page))}
    linked |= {anchor for one in predictions().values() for anchor in linked_terms(one.why)}
    assert of_github(term) in linked or squashed(term) in course_in_one_word()


by_lesson = pytest.mark.parametrize("lesson", lessons().values(), ids=lambda lesson: lesson.notebook)


@by_lesson
def test_a_lesson_links_its_words_with_measure(lesson: Lesson):
    """A few, each once, in the running text: not in the title, not in a heading, not where one is to think first."""
    cells = [cell.source for cell in read(NOTEBOOKS / lesson.notebook).cells if cell.cell_type == "markdown"]
    explained = [one.why for one in predictions().values() if one.lesson == lesson.number]
    terms = Counter(linked_terms("\n\n".join([*cells, *explained])))
    assert [term for term, times in terms.items() if times > 1] == []
    assert not linked_terms(cells[0])
    for line in "\n".join(cells).splitlines():
        assert not (line.startswith("#") or "<summary>" in line) or not linked_terms(line), line
    if lesson.template or lesson.number in ("00", "10"):  # the others teach no new word
        assert len(terms) in FEW


@by_lesson
def test_no_link_stands_in_code(lesson: Lesson):
    notebook = read(NOTEBOOKS / lesson.notebook)
    text = markdown(NOTEBOOKS / lesson.notebook)
    assert len(linked_terms(without_code(text))) == len(linked_terms(text))
    assert not any("glossary.md" in cell.source for cell in notebook.cells if cell.cell_type == "code")

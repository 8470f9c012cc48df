"""Each lesson's page with the outputs that are stored in git: all of it fits, and all of it can be read by ear.

In CI, where LAB_REQUIRE_BROWSER=1, these are all lessons; elsewhere a few, because each takes some ten seconds. What a cell
shows in a lesson that runs is tested in test_browser.py.
"""

from __future__ import annotations

import re

import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe
from conftest import drop_databases
from nbconvert import HTMLExporter
from nbformat.sign import NotebookNotary
from tests.browser import IN_CI, Notebook, started

from migration_lab.course.manifest import find_lesson, lessons
from migration_lab.jupyter.lab import STYLE
from migration_lab.paths import NOTEBOOKS
from migration_lab.workspace import Workspace

pytestmark = pytest.mark.browser
LESSONS = list(lessons()) if IN_CI else ["00", "05", "10"]
# At 150 % in a window of 1440 pixels, the page has as much room as in one of 960.
WIDTHS = {"1440 pixels": 1440, "1024 pixels": 1024, "150 %": 960}


@pytest.fixture(scope="module")
def site(running, browser, tmp_path_factory):
    """A lab whose folder has each lesson once more, with its outputs, which JupyterLab trusts as if they had run there."""
    work = tmp_path_factory.mktemp("pages") / "work"
    with started(work, LAB_POSTGRES=running.url.render_as_string(hide_password=False)) as site:
        notary = NotebookNotary(data_dir=str(work.with_name(f"{work.name} (JupyterLab)") / "data_dir"))
        for number in LESSONS:
            page = stored(number)
            notary.sign(page)
            nbformat.write(page, work / as_stored(number))
        notary.store.close()
        yield site
    drop_databases(running, Workspace(work))


def stored(number: str) -> nbformat.NotebookNode:
    return nbformat.read(NOTEBOOKS / find_lesson(number).notebook, as_version=4)


def as_stored(number: str) -> str:
    return f"stored_{number}.ipynb"


@pytest.fixture(scope="module", params=LESSONS)
def opened(request, browser, site):
    """A lesson's page in a JupyterLab with its side bar open."""
    with browser.new_page() as page:
        page.goto(site.at(as_stored(request.param), f"stored-{request.param}"))
        notebook = Notebook(page, as_stored(request.param))
        assert page.locator("#jp-left-stack").is_visible()
        yield notebook


def test_nothing_is_cut_off_at_any_usual_width(opened):
    """Of 351 code cells, 193 ran out of the page at 1024 pixels, and half of a table of the first lesson's picture."""
    cut = {}
    for name, width in WIDTHS.items():
        opened.page.set_viewport_size({"width": width, "height": 900})
        cut[name] = opened.cut()
    assert not any(cut.values()), cut


def test_what_is_cut_off_would_be_found(opened):
    """A browser does not lay out what is far below the window, unless it is asked for its size."""
    wide = "cells => { cells.at(-1).insertAdjacentHTML('beforeend', '<pre id=wide>' + 'x'.repeat(999) + '</pre>'); }"
    outputs = opened.panel.locator(".jp-OutputArea-output")
    outputs.evaluate_all(wide)
    try:
        opened.page.locator("#wide").evaluate("each => { each.style = 'white-space: pre; word-break: normal'; }")
        assert any("xxx" in one for one in opened.cut())
    finally:
        opened.page.locator("#wide").evaluate("each => each.remove()")


def test_each_picture_has_words_in_jupyterlab(opened):
    pictures = opened.pictures()
    assert len(pictures) >= sum("<img" in text for text in htmls(opened.file))
    assert all(len(words) > 30 for words in pictures), pictures


def htmls(file: str) -> list[str]:
    page = stored(re.sub(r"\D", "", file))
    outputs = [output for cell in page.cells for output in cell.get("outputs", [])]
    assert not any(kind.startswith("image/") for output in outputs for kind in output.get("data", {})), (
        "an image of its own MIME type is shown without its words, and an SVG at its own width"
    )
    return [output["data"]["text/html"] for output in outputs if "text/html" in output.get("data", {})]


@pytest.fixture(params=LESSONS)
def number(request):
    return request.param


# Not JupyterLab itself: in it, axe leaves out the rule on contrast.
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_the_outputs(number, theme, browser):
    """In the page that `jupyter nbconvert --to html` makes, which has JupyterLab's own style sheets."""
    html, _ = HTMLExporter(template_name="lab", theme=theme).from_notebook_node(stored(number))
    assert "No description has been provided for this image" not in html
    pale = '<div class="jp-OutputArea-output"><p style="color: #aaaaaa; background: #ffffff">pale</p></div>'
    with browser.new_page() as page:
        page.route("http*://**", lambda route: route.abort())  # MathJax and such, of which no output has need
        style = f"<style>{(STYLE / 'custom.css').read_text('utf-8')}</style>"  # which the lab's JupyterLab loads
        page.set_content(html.replace("</body>", f"{style}{pale}</body>"), wait_until="domcontentloaded")
        # The colours of highlighted code are JupyterLab's own.
        context = {"include": [[".jp-OutputArea-output"]], "exclude": [[".highlight"]]}
        violations = Axe().run(page, context).response["violations"]
    serious = [
        (one["id"], node["html"])
        for one in violations
        for node in one["nodes"]
        if one["impact"] in ("critical", "serious")
    ]
    assert ("color-contrast", '<p style="color: #aaaaaa; background: #ffffff">pale</p>') in serious, (
        "this proves nothing: a text that is too pale was not found"
    )
    assert [one for one in serious if "pale</p>" not in one[1]] == []

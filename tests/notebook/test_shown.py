"""What a cell shows: each thing by its text in git and on a forge, and by HTML that fits the page and can be heard."""

from __future__ import annotations

import re
from html import unescape

import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.text import SList


def shown(value: object) -> dict[str, str]:
    """What the cell whose last value this is would show, by MIME type."""
    formatter = InteractiveShell.instance().display_formatter
    assert formatter is not None
    return formatter.format(value)[0]


@pytest.fixture
def lesson(shell):
    assert shell("%lesson 00").error is None
    return shell


def test_null_is_null_and_not_a_name_of_pythons(lesson):
    """Lessons on NULL showed None, which nothing in PostgreSQL is called."""
    ran = lesson("%sql SELECT 1 AS id, NULL AS age, 'None' AS name, '<b>' AS \"<i>\"")
    assert ran.text == "Out[0]: [(1, NULL, 'None', '<b>')]"
    html = shown(ran.value)["text/html"]
    cells = [unescape(cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", html)]
    assert cells == ["1", "NULL", "None", "<b>"]
    assert "NULL" in str(ran.value) and "NULL" in lesson("print(_)").text
    assert ran.value[0][1] is None and ran.value.DataFrame()["age"].isna().all(), "in Python it is None"


def test_a_query_is_a_table_with_headings_and_text_to_the_left(lesson):
    html = shown(lesson("%sql SELECT 1 AS id, 'a' || chr(10) || lpad('b', 3) AS note").value)["text/html"]
    assert re.findall(r'<th scope="col"[^>]*>(.*?)</th>', html) == ["id", "note"]
    assert html.count("text-align: left") == 4 and "right" not in html
    assert "overflow-x: auto" in html, "a wide table scrolls in a box of its own"
    assert ">a\n  b</td>" in html and "white-space: pre-wrap" in html, "spaces are kept"


def test_a_wide_listing_of_psqls_keeps_its_lines(lesson):
    r"""``\d+`` was broken in the middle of words, row by row, and nobody could tell whose column is whose."""
    ran = lesson('!!psql -c "\\d+ users"')
    assert isinstance(ran.value, SList)
    plain, html = shown(ran.value)["text/plain"], shown(ran.value)["text/html"]
    assert plain == "\n".join(ran.value) and "| Collation |" in plain
    assert "overflow-x: auto" in html and "white-space: pre" in html
    assert unescape(re.sub("<.*?>", "", html)) == plain


def test_a_frame_of_pandas_scrolls_in_a_box_of_its_own(shell):
    frame = shell("import pandas; pandas.DataFrame({'a': [1]}, ['<x>'])").value
    html = shown(frame)["text/html"]
    assert html.startswith('<div style="overflow-x: auto" tabindex="0">') and html.count('class="dataframe"') == 1
    assert "&lt;x&gt;" in html
    shell("pandas.set_option('display.notebook_repr_html', False)")
    assert "text/html" not in shown(frame)
    shell("pandas.reset_option('display.notebook_repr_html')")


PLOT = """
import matplotlib
matplotlib.use("agg")
import matplotlib.pyplot as plt
figure, axes = plt.subplots()
"""


@pytest.mark.parametrize(
    "code, words",
    [
        (
            "bars = axes.barh(['small', 'large'], [1.25, 3]); _ = axes.set_title('Size', loc='left')",
            "Chart. Size. Bars: large 3, small 1.25.",
        ),
        (
            "bars = axes.bar(['a', 'b'], [2, 1], label='MB'); _ = axes.set(xlabel='index', ylabel='megabytes')",
            "Chart. Across: index. Upwards: megabytes. Bars “MB”: a 2, b 1.",
        ),
        (
            "_ = axes.plot([1, 2, 3], [4, 1, 9], label='rows'); _ = figure.suptitle('All of it')",
            "Chart. All of it. Line “rows”: 3 points, from 4 to 9, between 1 and 9.",
        ),
        ("_ = axes.scatter([1, 2], [3, 4])", "Chart. Points: 2."),
        ("_ = axes.pie([1, 3], labels=['x', 'y'])", "Chart. x, y."),
        (
            "import pandas; frame = pandas.DataFrame({'a': [1, 2], 'b': [3, 4]}, ['x', 'y']); _ = frame.plot.bar(ax=axes)",
            "Chart. Bars “a”: x 1, y 2. Bars “b”: x 3, y 4.",
        ),
    ],
)
def test_a_figure_says_what_it_shows(shell, code, words):
    """An author has to write no words for it; without any, a reader who can't see had nothing at all."""
    ran = shell(f"{PLOT}{code}\ndisplay(figure)\nplt.close('all')")
    assert ran.error is None
    assert ran.shown["text/plain"] == words
    assert re.match(
        rf'<img src="data:image/png;base64,[\w+/=]+" alt="{words}" style="max-width: 100%', ran.shown["text/html"]
    )
    assert set(ran.shown) == {"text/plain", "text/html"}, "the picture is stored once"


def test_an_empty_figure_shows_nothing(shell):
    ran = shell(f"{PLOT}display(plt.figure())\nplt.close('all')")
    assert ran.error is None and ran.shown == {}

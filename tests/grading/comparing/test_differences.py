"""A diff that people can read: in a terminal, in a notebook, and without seeing its colours."""

from __future__ import annotations

from migration_lab.grading.comparing.differences import LEGEND, differences


def test_a_diff_says_by_signs_whose_a_line_is():
    [found] = differences({"a.py": "import os\n\nx = 1\ny = 2\n"}, {"a.py": "import os\n\nx = 3\ny = 2\n"})
    assert str(found).splitlines() == ["a.py", "    import os", "", "  - x = 1", "  + x = 3", "    y = 2"]
    assert "Lines with - are in your answer only" in LEGEND


def test_the_diff_in_a_notebook_says_it_by_signs_too():
    """Red and green look alike to one man in twelve, and a colour is read aloud to nobody."""
    [found] = differences({"a.py": "x < 1"}, {"a.py": "x < 3"})
    page = found.as_html()
    assert ">- x &lt; 1</del>" in page and ">+ x &lt; 3</ins>" in page
    assert "pre-wrap" in page, "a long line would be cut on a small screen"


def test_equal_files_and_ends_of_lines_are_no_difference():
    assert differences({"a.py": "x = 1\r\ny = 2", "b": "same"}, {"a.py": "\nx = 1\ny = 2\n", "b": "same"}) == []


def test_a_revision_under_another_name_is_compared_with_the_solutions():
    """Who wrote the revision with `alembic revision` has a file of another name: all minus, then all plus, helps nobody."""
    mine = {"versions/0003.py": "given", "versions/ab12_city.py": "one\ntwo"}
    solution = {"versions/0003.py": "given", "versions/0004_city.py": "one\nthree"}
    [found] = differences(mine, solution)
    assert found.title == "versions/ab12_city.py, in the solution versions/0004_city.py"
    assert found.lines == ("  one", "- two", "+ three")


def test_a_file_that_only_one_of_them_has_is_shown_whole():
    found = differences({"a.py": "x", "b.py": "y\nz"}, {"a.py": "x", "sql/c.sql": "w"})
    assert [(one.title, one.lines) for one in found] == [
        ("b.py, which the solution does not have", ("- y", "- z")),
        ("sql/c.sql, which your answer does not have", ("+ w",)),
    ]


def test_lines_that_are_left_out_are_marked():
    text = "\n".join(f"line {n}" for n in range(30))
    [found] = differences({"a.py": text}, {"a.py": text.replace("line 20", "another")})
    assert found.lines[0] == "…" and len(found.lines) == 9

"""For authors: run the course's notebooks again and store what they print, so that the stored outputs are true.

Where a run differs from the stored one only in what ``tests/sanitize.cfg`` says that servers and clocks differ in, nothing
changes. Otherwise all its outputs are stored, so that the figures in a notebook are those of one run.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from configparser import ConfigParser
from contextlib import contextmanager
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

from migration_lab.course import find_lesson
from migration_lab.files import write_whole
from migration_lab.paths import NOTEBOOKS, clone
from migration_lab.server import Embedded, ensure_template, server, variables
from migration_lab.workspace import Workspace
from migration_xray.errors import UserError

METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
CELL_SECONDS = 300


def main(arguments: list[str] | None = None) -> int:
    """Refresh the notebooks that are named, or all."""
    parser = argparse.ArgumentParser(prog="refresh.py", description=__doc__.split("\n")[0])
    parser.add_argument("notebooks", nargs="*", type=Path, metavar="NOTEBOOK", help="by default all of notebooks/")
    options = parser.parse_args(arguments)
    try:
        clone()
        for path in options.notebooks or sorted(NOTEBOOKS.glob("*.ipynb")):
            changed = refresh(path.resolve())
            print(f"{path.name}: {'changed' if changed else 'unchanged'}", flush=True)
    except (UserError, CellExecutionError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def refresh(path: Path) -> bool:
    """Run one notebook as a new learner would and store its outputs; says whether the file changed.

    Raises CellExecutionError at the first cell that fails without the tag ``raises-exception``.
    """
    before = path.read_text(encoding="utf-8")
    stored = nbformat.reads(before, as_version=4)
    ran = nbformat.reads(before, as_version=4)
    with new_learner() as workspace:
        # Whether a start state has to be built first is the server's affair, and no part of the lesson.
        ensure_template(server("embedded", workspace), find_lesson(path.name).start)
        execute(ran, path.parent, {"LAB_WORK": str(workspace.path), "LAB_POSTGRES": "embedded"})
    keep_what_is_the_same(stored, ran)
    after = normalised(ran)
    if after != before:
        write_whole(path, after)
    return after != before


@contextmanager
def new_learner() -> Iterator[Workspace]:
    """A workspace that nobody has used, gone at the end with its embedded server."""
    with tempfile.TemporaryDirectory(prefix="migration-lab-", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o711)  # as root, the server runs as another user
        workspace = Workspace(Path(folder))
        try:
            yield workspace
        finally:
            Embedded(workspace).discard()


def execute(notebook: NotebookNode, folder: Path, settings: dict[str, str]) -> None:
    """Run a notebook's cells in a kernel of its own, with these environment variables."""
    client = NotebookClient(
        notebook, timeout=CELL_SECONDS, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    with variables(settings), client.setup_kernel():
        for index, cell in enumerate(notebook.cells):
            client.execute_cell(cell, index)


def keep_what_is_the_same(stored: NotebookNode, ran: NotebookNode) -> None:
    """Give the cells of ``ran`` their stored outputs if only servers and clocks made any of them differ."""
    sanitize = sanitizer()

    def written(cell: NotebookNode) -> str:
        return sanitize(json.dumps(cell.outputs, sort_keys=True, ensure_ascii=False))

    for notebook in (stored, ran):
        normalised(notebook)
    pairs = [(old, new) for old, new in zip(stored.cells, ran.cells, strict=True) if new.cell_type == "code"]
    if all(written(old) == written(new) for old, new in pairs):
        for old, new in pairs:
            new.outputs = old.outputs


def normalised(notebook: NotebookNode) -> str:
    """The notebook as it stands in git: minimal metadata, whole streams, numbers in order, nothing of one machine."""
    notebook.metadata = nbformat.from_dict(METADATA)
    number = 0
    for cell in notebook.cells:
        tags = cell.metadata.get("tags")
        cell.metadata = nbformat.from_dict({"tags": tags} if tags else {})
        if cell.cell_type == "code":
            number += 1
            cell.execution_count = number
            cell.outputs = _whole_streams(cell.outputs)
            for output in cell.outputs:
                if "execution_count" in output:
                    output.execution_count = number
                if "metadata" in output:
                    output.metadata = nbformat.from_dict({})
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    return nbformat.writes(notebook, version=4) + "\n"


def _whole_streams(outputs: list[NotebookNode]) -> list[NotebookNode]:
    whole: list[NotebookNode] = []
    for output in outputs:
        if output.output_type == "stream" and whole and whole[-1].get("name") == output.name:
            whole[-1].text += output.text
        else:
            whole.append(output)
    return whole


def sanitizer() -> Callable[[str], str]:
    """A function that replaces what ``tests/sanitize.cfg`` says that servers and clocks differ in."""
    config = ConfigParser(interpolation=None)
    config.read(clone() / "tests" / "sanitize.cfg", encoding="utf-8")
    rules = [(re.compile(config[name]["regex"]), config[name]["replace"]) for name in config.sections()]

    def sanitize(text: str) -> str:
        for rule, replacement in rules:
            text = rule.sub(replacement, text)
        return text

    return sanitize


if __name__ == "__main__":
    raise SystemExit(main())

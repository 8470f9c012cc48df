"""The course's notebooks in the learner's folder: laid there, renewed, and never over what a learner wrote."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path

from migration_lab.files import content_digest, write_whole
from migration_lab.paths import NOTEBOOKS
from migration_lab.workspace import Workspace


def refresh_notebooks(workspace: Workspace) -> list[str]:
    """Lay the course's notebooks and its glossary into the workspace.

    Returns a sentence for each that was not simply renewed: what the learner has changed stays, and the newer one
    is laid beside it as ``*.newer.ipynb``.
    """
    with workspace.locked("notebooks"):
        delivered: dict[str, str] = workspace.read_json("notebooks.json", {})
        sentences = []
        for source in sorted([*NOTEBOOKS.glob("*.ipynb"), *NOTEBOOKS.glob("*.md")]):
            sentences += _refresh_notebook(workspace, source, delivered)
        for source in sorted(NOTEBOOKS.glob("images/*.svg")):
            _refresh_picture(workspace, source)
    return sentences


def _refresh_picture(workspace: Workspace, source: Path) -> None:
    copy = workspace.path / "images" / source.name
    if not copy.exists() or content_digest(copy) != content_digest(source):
        workspace.back_up(copy)
        write_whole(copy, source.read_text(encoding="utf-8"))


def _refresh_notebook(workspace: Workspace, source: Path, delivered: dict[str, str]) -> list[str]:
    copy = workspace.path / source.name
    newest = cells_digest(source)
    if copy.exists():
        if delivered.get(source.name) == newest:
            return []
        if cells_digest(copy) not in (newest, delivered.get(source.name)):
            beside = copy.with_suffix(f".newer{copy.suffix}")
            sentence = f"{copy.name} has changes of yours and stays; the course's newer one is {beside.name}."
            if beside.exists() and delivered.get(beside.name) == newest:
                return [sentence]
            if saved := _deliver(workspace, source, beside, delivered):
                sentence += f" What stood there is saved as backups/{saved.name}."
            return [sentence]
    _deliver(workspace, source, copy, delivered)
    return []


def _deliver(workspace: Workspace, source: Path, copy: Path, delivered: dict[str, str]) -> Path | None:
    """Lay a file of the course. What stood there is saved; returns where."""
    saved = workspace.back_up(copy)
    write_whole(copy, source.read_text(encoding="utf-8"))
    if copy.suffix == ".ipynb":
        trust(copy)
    delivered[copy.name] = cells_digest(source)
    workspace.write_json("notebooks.json", delivered)
    return saved


def cells_digest(notebook: Path) -> str:
    """A digest of what a person writes in a notebook: its cells' text, not their outputs.

    A file that is no notebook, or none any more, counts by its text; git may have given that other ends of lines.
    """
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        text = json.dumps([[cell["cell_type"], "".join(cell["source"])] for cell in cells])
    except (ValueError, KeyError, TypeError):
        return hashlib.sha256(notebook.read_bytes().replace(b"\r\n", b"\n")).hexdigest()
    return hashlib.sha256(text.encode()).hexdigest()


def trust(notebook: Path) -> None:
    """Sign a notebook of the course, so that JupyterLab shows its stored pictures; without, it shows them once run."""
    import sqlite3

    import nbformat
    from nbformat.sign import NotebookNotary

    with suppress(OSError, sqlite3.Error):  # the signatures are kept in the home folder, which may be full
        notary = NotebookNotary()
        notary.sign(nbformat.read(notebook, as_version=4))
        notary.store.close()

"""The course's notebooks in the learner's folder: laid there, renewed, and never over what a learner wrote."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from migration_lab.course import lessons
from migration_lab.files import content_digest, write_whole
from migration_lab.paths import NOTEBOOKS
from migration_lab.workspace import Workspace

Record = dict[str, Any]  # a copy's name → its digests when it was laid


def refresh_notebooks(workspace: Workspace) -> list[str]:
    """Lay the course's notebooks and its glossary into the workspace.

    Returns a sentence for each that was not simply renewed: what the learner has changed stays, and the newer one
    is laid beside it as ``*.newer.ipynb``.
    """
    with workspace.locked("notebooks"):
        delivered: Record = workspace.read_json("notebooks.json", {})
        sentences = []
        for source in sorted([*NOTEBOOKS.glob("*.ipynb"), *NOTEBOOKS.glob("*.md")]):
            sentences += _refresh_notebook(workspace, source, delivered)
            sentences += _retire(workspace, source, delivered)
        for source in sorted(NOTEBOOKS.glob("images/*.svg")):
            _refresh_picture(workspace, source)
    return sentences


def _refresh_picture(workspace: Workspace, source: Path) -> None:
    copy = workspace.path / "images" / source.name
    if not copy.exists() or content_digest(copy) != content_digest(source):
        workspace.back_up(copy)
        write_whole(copy, source.read_text(encoding="utf-8"))


def _refresh_notebook(workspace: Workspace, source: Path, delivered: Record) -> list[str]:
    copy = workspace.path / source.name
    newest, text, known = cells_digest(source), as_saved(source), _known(delivered, copy)
    if copy.exists():
        if cells_digest(copy) not in (newest, known.get("cells")):
            return [] if known.get("cells") == newest else _lay_beside(workspace, source, text, delivered)
        if known.get("cells") == newest and not _is_outdated(copy, text, known):
            return []
    _deliver(workspace, source, text, copy, delivered)
    return []


def _retire(workspace: Workspace, source: Path, delivered: Record) -> list[str]:
    """Take away the copies that a lesson has under an earlier name, but none that the learner has changed."""
    former = [
        f"{one.number}_{one.formerly}" for one in lessons().values() if one.notebook == source.name and one.formerly
    ]
    copies = [workspace.path / f"{name}{kind}.ipynb" for name in former for kind in ("", ".newer")]
    sentences = []
    for copy in filter(Path.exists, copies):
        if cells_digest(copy) == _known(delivered, copy).get("cells"):
            workspace.back_up(copy)
            copy.unlink()
            del delivered[copy.name]
            workspace.write_json("notebooks.json", delivered)
        else:
            sentences.append(f"{copy.name} has changes of yours and stays; the lesson's file is now {source.name}.")
    return sentences


def _lay_beside(workspace: Workspace, source: Path, text: str, delivered: Record) -> list[str]:
    """Lay the course's newer lesson beside the copy that the learner has changed."""
    beside = workspace.path / f"{source.stem}.newer{source.suffix}"
    sentence = f"{source.name} has changes of yours and stays; the course's newer one is {beside.name}."
    if beside.exists() and _known(delivered, beside).get("cells") == cells_digest(source):
        return [sentence]
    if saved := _deliver(workspace, source, text, beside, delivered):
        sentence += f" What stood there is saved as backups/{saved.name}."
    return [sentence]


def _deliver(workspace: Workspace, source: Path, text: str, copy: Path, delivered: Record) -> Path | None:
    """Lay a file of the course. What stood there is saved; returns where."""
    saved = workspace.back_up(copy)
    write_whole(copy, text)
    delivered[copy.name] = {"cells": cells_digest(source), "file": content_digest(copy)}
    workspace.write_json("notebooks.json", delivered)
    return saved


def _known(delivered: Record, copy: Path) -> dict[str, str]:
    """The digests of a copy as it was laid: of its cells, and of the whole file. Older labs noted the cells' alone."""
    known = delivered.get(copy.name, {})
    return {"cells": known} if isinstance(known, str) else known


def _is_outdated(copy: Path, text: str, known: dict[str, str]) -> bool:
    """Whether a copy with the newest cells is not what would be laid today, and holds nothing of the learner's.

    Older labs laid the stored outputs too. And after an update of Python, JupyterLab would save another version.
    """
    return "file" not in known or (content_digest(copy) == known["file"] and copy.read_text(encoding="utf-8") != text)


def as_saved(source: Path) -> str:
    """A file of the course as a learner gets it: a notebook without outputs, in the form in which JupyterLab saves it.

    JupyterLab writes the kernel's own description into a notebook that it opens. If the file did not have it already,
    a lesson that was only opened would count as changed.
    """
    if source.suffix != ".ipynb":
        return source.read_text(encoding="utf-8")
    notebook = json.loads(source.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
    notebook["metadata"] = _kernel()
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


@cache
def _kernel() -> dict[str, dict]:
    """What JupyterLab writes into a notebook about this environment's kernel."""
    from ipykernel.ipkernel import IPythonKernel
    from jupyter_client.kernelspec import NATIVE_KERNEL_NAME, KernelSpecManager

    spec = KernelSpecManager().get_kernel_spec(NATIVE_KERNEL_NAME)
    named = {"name": NATIVE_KERNEL_NAME, "display_name": spec.display_name, "language": spec.language}
    return {"kernelspec": named, "language_info": IPythonKernel.language_info}


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

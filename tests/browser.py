"""JupyterLab in the machine's own Chromium, as a learner has it: started by scripts/lab.py, worked by hand.

The tests marked ``browser`` and scripts/screenshots.py share it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page, expect, sync_playwright
from tests.waiting import wait_until

from migration_lab.paths import ROOT

IN_CI = os.environ.get("LAB_REQUIRE_BROWSER") == "1"
CELL_SECONDS = 120
LESSON_SECONDS = 180
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# All that JupyterLab asks or tells without being asked: dialogs, and notes in the corner.
QUESTIONS = ".jp-Dialog, .Toastify__toast"

# A box that scrolls by itself may hold what is wider than it, but nothing else may.
CUT = r"""panel => {
    panel.querySelectorAll("details").forEach(each => { each.open = true; });
    const cells = ".jp-OutputArea-output, .jp-MarkdownOutput".split(", ");
    const measured = [".cm-scroller", ...cells, ...cells.map(each => `${each} *`)].join(", ");
    const cut = [...panel.querySelectorAll(measured)]
        .filter(each => each.clientWidth && each.scrollWidth > each.clientWidth + 1)
        .filter(each => !each.closest("div[style*='overflow-x: auto']"));
    const wide = [...panel.querySelectorAll("img")].filter(each => each.clientWidth > each.parentElement.clientWidth + 1);
    const page = [document.documentElement, ...panel.querySelectorAll(".jp-WindowedPanel-outer")]
        .filter(each => each.scrollWidth > each.clientWidth + 1);
    return [...cut, ...wide, ...page].map(each =>
        `${each.tagName} ${each.scrollWidth} in ${each.clientWidth}: ${(each.alt ?? each.textContent).slice(0, 80)}`);
}"""


def program() -> str | None:
    """The machine's Chromium, if it has one."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A Chromium without a window, gone at the end."""
    as_root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program(), args=[*QUIET, *as_root])
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Lab:
    """A lab that runs: its folder, the address that it prints, and the page that it bids the system's browser open."""

    work: Path
    address: str
    page: str

    def at(self, file: str, workspace: str) -> str:
        """The address of a file; each workspace of JupyterLab's has tabs of its own."""
        return re.sub(r"/lab/tree/[^?]+", f"/lab/workspaces/{workspace}/tree/{file}", self.address)


@contextmanager
def started(work: Path, **settings: str) -> Iterator[Lab]:
    """The lab as ``python3 scripts/lab.py`` starts it in this folder; ended at the end.

    JupyterLab's own folders lie beside, so that nothing of the person's who runs this is read or changed. What stands
    for the system's browser notes which page it was bidden to open.
    """
    beside = work.with_name(f"{work.name} (JupyterLab)")
    beside.mkdir(parents=True)
    for name in ("RUNTIME_DIR", "CONFIG_DIR", "DATA_DIR"):
        settings[f"JUPYTER_{name}"] = str(beside / name.lower())
    bidden, log = beside / "bidden", beside / "log"
    note = beside / "note.py"
    note.write_text(f"import os, sys\nopen({str(bidden) + '~'!r}, 'w').write(sys.argv[1])\n"
                    f"os.replace({str(bidden) + '~'!r}, {str(bidden)!r})\n")  # fmt: skip
    settings |= {"IPYTHONDIR": str(beside / "ipython"), "LAB_WORK": str(work)}
    settings["BROWSER"] = f'"{sys.executable}" "{note}" %s'
    # The app's commands say when they are done, which a person sees and a program would have to guess.
    command = [sys.executable, ROOT / "scripts" / "lab.py", "--LabApp.expose_app_in_browser=True"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=os.environ | settings, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:

        def said() -> re.Match | None:
            assert process.poll() is None, log.read_text("utf-8")
            return re.search(r"http://(127\.0\.0\.1|localhost):\d+/\S+token=\w+", log.read_text("utf-8"))

        address = wait_until(said, 120)[0]
        wait_until(bidden.exists)
        yield Lab(work, address, bidden.read_text())
    finally:
        process.terminate()
        try:
            process.wait(60)
        finally:
            process.kill()


class Notebook:
    """The notebook in the tab in front."""

    def __init__(self, page: Page, file: str):
        self.page, self.file = page, file
        self.panel = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Until it is in front, and its kernel there with nothing to do."""
        self.page.wait_for_function(
            """file => {
                const front = window.jupyterapp?.shell.currentWidget;
                return front?.context?.path == file && front.sessionContext.kernelDisplayStatus == "idle"
                    && front.sessionContext.session?.kernel?.connectionStatus == "connected";
            }""",
            arg=self.file,
            timeout=LESSON_SECONDS * 1000,
        )

    def wait_until_done(self) -> None:
        """Until the kernel has answered all that it was asked so far: an empty request is answered last."""
        self.page.evaluate(
            """seconds => Promise.race([
                jupyterapp.shell.currentWidget.sessionContext.session.kernel.requestExecute(
                    {code: "", silent: true, stop_on_error: false}).done,
                new Promise((_, reject) => setTimeout(reject, seconds * 1000, new Error("the kernel took too long")))
            ])""",
            LESSON_SECONDS,
        )

    def menu(self, *path: str) -> None:
        """Click through JupyterLab's menus."""
        for name in path:
            self.page.get_by_role("menuitem", name=name, exact=True).click()

    def clear(self) -> None:
        """Take the outputs away, so that what stands there afterwards is new."""
        self.menu("Edit", "Clear Outputs of All Cells")

    def run_all(self) -> None:
        self.menu("Run", "Run All Cells")
        self.wait_until_done()

    def cells(self, kind: str = "") -> list[Cell]:
        """Its cells, or those of one kind: code or markdown."""
        kinds = self.page.evaluate("() => jupyterapp.shell.currentWidget.content.widgets.map(cell => cell.model.type)")
        return [Cell(self, at) for at, each in enumerate(kinds) if each.startswith(kind)]

    def cell(self, begins: str) -> Cell:
        """The first code cell whose text begins so."""
        return next(cell for cell in self.cells("code") if cell.source.startswith(begins))

    def add_below(self, cell: Cell, source: str) -> Cell:
        """A new cell with this text."""
        cell.locator.locator(".jp-InputArea-prompt").click()
        self.page.keyboard.press("b")
        return Cell(self, cell.at + 1).write(source)

    def cut(self) -> list[str]:
        """What does not fit its place, of code, outputs, tables, pictures and prose; all that is folded is unfolded."""
        return self.panel.evaluate(CUT)

    def pictures(self) -> list[str]:
        """The alternative text of each picture."""
        return self.panel.locator(".jp-Notebook img").evaluate_all("pictures => pictures.map(each => each.alt)")

    def in_theme(self, name: str) -> None:
        change = "theme => jupyterapp.commands.execute('apputils:change-theme', {theme})"
        self.page.evaluate(change, f"JupyterLab {name}")
        expect(self.page.locator("body")).to_have_attribute("data-jp-theme-light", str(name == "Light").lower())
        expect(self.page.locator("#jupyterlab-splash")).to_have_count(0)


class Cell:
    """A cell of it, by its place."""

    def __init__(self, notebook: Notebook, at: int):
        self.notebook, self.at = notebook, at
        self.locator = notebook.panel.locator(".jp-Notebook .jp-Cell").nth(at)
        self.outputs = self.locator.locator(".jp-OutputArea-output")

    @property
    def source(self) -> str:
        return self._model("model.sharedModel.getSource()")

    @property
    def tags(self) -> list[str]:
        return self._model("model.getMetadata('tags') ?? []")

    @property
    def count(self) -> int | None:
        """The number in its brackets, which are empty before it ran."""
        return self._model("model.executionCount")

    @property
    def errors(self) -> list[str]:
        return self._model("model.outputs.toJSON().filter(one => one.output_type == 'error').map(one => one.evalue)")

    def _model(self, expression: str):
        """What JupyterLab's model of the cell says."""
        script = f"(model => {expression})(jupyterapp.shell.currentWidget.content.widgets[at].model)"
        return self.notebook.page.evaluate(f"at => {script}", self.at)

    def write(self, source: str) -> Cell:
        """Put this text in its place, as pasting does."""
        keys = self.notebook.page.keyboard
        self.locator.locator(".cm-content").click()
        keys.press("ControlOrMeta+a")
        keys.insert_text(source)
        return self

    def run(self) -> str:
        """Shift+Enter in it; gives what stands under it then."""
        self.locator.locator(".cm-content").click()
        self.notebook.page.keyboard.press("Shift+Enter")
        self.notebook.wait_until_done()
        return self.said()

    def said(self) -> str:
        return "\n".join(self.outputs.all_inner_texts())

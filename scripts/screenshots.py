"""For authors: set up once, then take the README's pictures anew, in Chromium: python3 scripts/screenshots.py --help"""

import os
import sys

if sys.version_info < (3, 11):
    sys.exit(
        "This Python is {}.{}; Migration Lab needs 3.11 or newer. "
        "Start it with a newer one, for example: python3.12 scripts/screenshots.py".format(*sys.version_info)
    )

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # not there by itself under PYTHONSAFEPATH

from environment import ROOT, VENV, run_inside  # noqa: E402

if not os.path.exists(VENV) or not os.path.samefile(sys.prefix, VENV):
    run_inside(os.path.abspath(__file__), *sys.argv[1:], tests=True)

sys.path.insert(0, str(ROOT))

import argparse  # noqa: E402
import io  # noqa: E402
from collections.abc import Sequence  # noqa: E402

from PIL import Image  # noqa: E402
from playwright.sync_api import Locator, Page  # noqa: E402
from tests.browser import Cell, Notebook, chromium, program, started  # noqa: E402

from migration_lab.author.refresh import new_learner  # noqa: E402
from migration_lab.course.manifest import find_exercise, find_lesson  # noqa: E402
from migration_lab.server.postgres import server  # noqa: E402

IMAGES = ROOT / ".github" / "images"
SIZE = {"width": 1200, "height": 1050}
COLOURS = 128  # of text and charts, nobody sees more


def main() -> int:
    """Play lessons 00 and 11 in a browser, and keep four pictures of them."""
    argparse.ArgumentParser(prog="screenshots.py", description=main.__doc__).parse_args()
    if program() is None:
        print(
            "The pictures are taken in Chromium, and there is none here: install it (or Chrome), then run this again."
        )
        return 1
    with new_learner() as learner:
        url = server("embedded", learner).url.render_as_string(hide_password=False)
        with started(learner.path / "work", LAB_POSTGRES=url) as lab, chromium() as browser:
            page = browser.new_page(viewport=SIZE)
            first_lesson(lesson(page, lab, "00"))
            pattern(lesson(page, lab, "11"))
    return 0


def lesson(page: Page, lab, number: str) -> Notebook:
    """A lesson after a first run, in a window that shows nothing beside it."""
    file = find_lesson(number).notebook
    page.goto(lab.at(file, f"pictures-{number}"))
    notebook = Notebook(page, file)
    if page.locator("#jp-left-stack").is_visible():
        page.keyboard.press("ControlOrMeta+b")
    notebook.run_all()
    return notebook


def first_lesson(notebook: Notebook) -> None:
    """The tables with a new column, and an answer that is wrong, then right."""
    upgraded = notebook.cell("%alembic upgrade head")
    keep("schema", notebook.page, Cell(notebook, upgraded.at + 2).locator)

    exercise = find_exercise("first_step")
    answer = notebook.cell("%%answer first_step")
    first_line = answer.source.split("\n")[0]
    check = notebook.cell("%check first_step")
    file = first_line.split()[-1]
    answer.write(f"{first_line}\n{(exercise.folder / 'wrong' / 'another_name' / file).read_text('utf-8')}").run()
    check.run()
    hint = notebook.add_below(check, "%hint first_step")
    hint.run()
    answer.write(f"{first_line}\n{(exercise.folder / 'solution' / file).read_text('utf-8')}").run()
    again = notebook.add_below(hint, "%check first_step")
    again.run()
    keep("exercise", notebook.page, check.locator, again.locator)


def pattern(notebook: Notebook) -> None:
    """The template's way in a chart, and the online way as the window shows it, under x-ray."""
    simple = notebook.cell("%%traffic users --app old\n%alembic")
    keep("traffic", notebook.page, simple.outputs.locator("img"))
    online = notebook.cell("%%traffic users --app old\n%xray")
    online.locator.evaluate("cell => cell.scrollIntoView({block: 'start'})")
    keep("a_lesson", notebook.page)


def keep(name: str, page: Page, *shown: Locator) -> None:
    """Keep a picture of the window, or of all from the first of these to the last."""
    if shown:
        page.set_viewport_size(SIZE | {"height": 3000})
        shown[0].scroll_into_view_if_needed()
    clip = at_rest(page, shown)
    shot = Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("RGB")
    page.set_viewport_size(SIZE)
    target = IMAGES / f"{name}.png"
    shot.quantize(COLOURS).save(target, optimize=True)
    print(f"{target.relative_to(ROOT)}: {shot.width} × {shot.height}, {target.stat().st_size // 1024} KB", flush=True)


def at_rest(page: Page, shown: Sequence[Locator]) -> dict | None:
    """Where these are, once JupyterLab has laid them out; it does so bit by bit."""
    clip, before = None, 0
    while clip != before:
        before = clip
        page.evaluate("() => new Promise(done => setTimeout(requestAnimationFrame, 200, done))")
        boxes = [each.bounding_box() for each in shown]
        if boxes:
            left, top = min(box["x"] for box in boxes), min(box["y"] for box in boxes)
            right = max(box["x"] + box["width"] for box in boxes)
            bottom = max(box["y"] + box["height"] for box in boxes)
            clip = {"x": left, "y": top, "width": right - left, "height": bottom - top}
    return clip


raise SystemExit(main())

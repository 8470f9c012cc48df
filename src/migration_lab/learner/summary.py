"""What was learned, as a page to keep: ``work/progress.html``, one file that reads well on a screen and on paper."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from html import escape

from migration_lab.course import Exercise, Lesson, exercises, lessons
from migration_lab.files import content_digest, write_whole

from .progress import PAUSE, Progress, moment

NAME = "progress.html"


def keep(progress: Progress) -> str:
    """Write the page once there is something to say; returns a sentence about it.

    A page that somebody has written in is saved under backups/ first.
    """
    if not any(progress.passed(exercise) for exercise in exercises().values()):
        return f"Your first pass begins a page to keep: {NAME}."
    workspace = progress.workspace
    path = workspace.path / NAME
    with workspace.locked("page"):
        if path.exists() and content_digest(path) != workspace.read_json("page.json", ""):
            workspace.back_up(path)
        write_whole(path, page(progress, datetime.now()))
        workspace.write_json("page.json", content_digest(path))
    return f"Your page to keep, or to print: {path}"


def page(progress: Progress, today: datetime) -> str:
    """The page. It needs no network and no script, and says nothing by colour alone."""
    done = [lesson for lesson in lessons().values() if progress.finished(lesson)]
    begun = [lesson for lesson in lessons().values() if lesson not in done and _is_begun(progress, lesson)]
    ahead = [lesson for lesson in lessons().values() if lesson not in done + begun]
    body = "\n".join(_body(progress, today, done, begun, ahead))
    return PAGE.format(style=STYLE, body=body)


def _body(
    progress: Progress, today: datetime, done: list[Lesson], begun: list[Lesson], ahead: list[Lesson]
) -> Iterator[str]:
    yield "<header>"
    yield "<h1>Migration Lab: what was learned</h1>"
    yield f"<p>{_opening(progress, done)}</p>"
    yield "<dl>"
    for fact, value in _facts(progress, done):
        yield f"<div><dt>{fact}</dt><dd>{value}</dd></div>"
    yield "</dl>"
    yield '<p class="name">Name:</p>'
    yield "</header>"
    if done:
        yield "<h2>Lessons done, and what they teach</h2>"
    for lesson in done:
        yield from _lesson(progress, lesson, lesson.objectives)
    if begun:
        yield "<h2>Lessons begun</h2>"
    for lesson in begun:
        yield from _lesson(progress, lesson, ())
    if ahead:
        yield "<h2>Still to come</h2>"
        yield '<ul class="ahead">'
        yield from (f"<li>{_titled(lesson)}</li>" for lesson in ahead)
        yield "</ul>"
    yield f"<footer>{TOLD} Written on {_day(today)}.</footer>"


def _opening(progress: Progress, done: list[Lesson]) -> str:
    days = [day for exercise in exercises().values() if (day := moment(progress.entry(exercise).get("passed")))]
    days += [day for lesson in lessons().values() if (day := progress.first_opened(lesson))]
    between = f" from {_day(min(days))} to {_day(max(days))}" if days and _day(min(days)) != _day(max(days)) else ""
    if len(done) == len(lessons()):
        return f"The whole course, worked through{between}: congratulations."
    return f"Changing a live PostgreSQL database without hurting it: the course so far, worked through{between}."


def _facts(progress: Progress, done: list[Lesson]) -> Iterator[tuple[str, str]]:
    yield "Lessons done", f"{len(done)} of {len(lessons())}"
    yield "Exercises passed", f"{sum(map(progress.passed, exercises().values()))} of {len(exercises())}"
    made, compared, right = progress.predictions_made()
    if made:
        yield "Predictions", f"{made} made" + (f", {right} of {compared} right" if compared else "")
    patterns, known = _patterns(lessons().values()), _patterns(done)
    if patterns:
        yield "Patterns of the template", f"{len(known)} of {len(patterns)}"
    seconds = [spent for lesson in lessons().values() if (spent := progress.seconds(lesson)) is not None]
    yield "Time at work", _duration(sum(seconds)) if seconds else "not recorded"


def _patterns(some: Iterable[Lesson]) -> list[str]:
    return [part for lesson in some for part in lesson.template if part.startswith("pattern ")]


def _lesson(progress: Progress, lesson: Lesson, objectives: tuple[str, ...]) -> Iterator[str]:
    spent, opened = progress.seconds(lesson), progress.first_opened(lesson)
    notes = [f"begun on {_day(opened)}"] if opened else []
    notes += [f"{_duration(spent)} at work"] if spent is not None else []
    yield f"<section>\n<h3>{_titled(lesson)}</h3>"
    if notes:
        yield f'<p class="notes">{", ".join(notes)}</p>'
    if objectives:
        yield "<ul>"
        yield from (f"<li>{_prose(objective)}</li>" for objective in objectives)
        yield "</ul>"
    if lesson.exercises:
        yield '<ul class="exercises">'
        yield from (_exercise(progress, exercise) for exercise in lesson.exercises)
        yield "</ul>"
    yield "</section>"


def _exercise(progress: Progress, exercise: Exercise) -> str:
    entry, tries, passed = progress.entry(exercise), progress.tries(exercise), progress.passed(exercise)
    said = [f"{tries} {'try' if tries == 1 else 'tries'} so far" if tries else "not tried yet"]
    if passed:
        on = f" on {_day(day)}" if (day := moment(entry["passed"])) else ""
        said = [f"passed at {'the first try' if not tries else f'try {tries + 1}'}{on}"]
    if hints := entry.get("hints"):
        said.append("1 hint" if hints == 1 else f"{hints} hints")
    if "solution" in entry:
        said.append("compared with the solution afterwards" if _is_later(entry) else "with a look at the solution")
    mark = "✔" if passed else "○"
    return f'<li><span class="mark">{mark}</span>{_prose(exercise.title)}: {", ".join(said)}</li>'


def _is_begun(progress: Progress, lesson: Lesson) -> bool:
    return bool(progress.first_opened(lesson) or any(map(progress.entry, lesson.exercises)))


def _is_later(entry: dict) -> bool:
    """Whether the solution was opened by the pass, and not before it."""
    passed, looked = moment(entry.get("passed")), moment(entry["solution"])
    return bool(passed and looked and looked >= passed)


def _titled(lesson: Lesson) -> str:
    return f"{lesson.number} · {_prose(lesson.title)}"


def _prose(text: str) -> str:
    """Text of the manifest, in which code stands between backticks."""
    return re.sub("`(.+?)`", r"<code>\1</code>", escape(text))


def _day(day: datetime) -> str:
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}"


def _duration(seconds: int) -> str:
    hours, minutes = divmod(seconds // 60, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min" if minutes else "less than a minute"


MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
          "December")  # fmt: skip  # strftime's are the machine's own language, and the rest of the page is not

TOLD = (
    f"Time counts while the lab saw somebody at work at least every {PAUSE // 60} minutes; "
    "longer pauses count as nothing, and so does work that the lab does not see. "
    "A try is an answer that was checked and differs from those before it."
)

STYLE = """
:root { color-scheme: light }
body { margin: 2.5rem auto; max-width: 46rem; padding: 0 1.5rem; background: #fff; color: #1f2328;
       font: 1rem/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif }
h1 { margin: 0; font-size: 1.7rem; line-height: 1.2 }
h2 { margin: 2rem 0 0; padding-bottom: .2rem; border-bottom: 2px solid; font-size: 1.2rem; break-after: avoid }
h3 { margin: 0; font-size: 1rem; break-after: avoid }
dl { display: flex; flex-wrap: wrap; gap: .5rem 2.5rem; margin: 1rem 0; padding: .8rem 1.2rem; border: 1px solid }
dd { margin: 0; font-size: 1.2rem; font-weight: bold }
dt, .notes, footer { color: #57606a; font-size: .85rem }
section { margin-top: 1.2rem; break-inside: avoid }
ul { margin: .3rem 0; padding-left: 1.4rem }
.notes { margin: 0 }
.exercises, .ahead { padding-left: 0; list-style: none }
.ahead { columns: 2; column-gap: 2rem; margin-top: .8rem }
.exercises li { padding-left: 1.4rem; text-indent: -1.4rem }
.mark { display: inline-block; width: 1.4rem; text-indent: 0 }
.name { display: none }
footer { margin-top: 2rem; padding-top: .5rem; border-top: 1px solid }
@page { margin: 18mm }
@media print {
  :root { font-size: 10pt }
  body { margin: 0; max-width: none; padding: 0; color: #000 }
  dt, .notes, footer { color: #000 }
  .name { display: block; padding-bottom: .3rem; border-bottom: 1px solid }
}
"""

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Migration Lab: what was learned</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""

"""The lab's verbs in a terminal: ``lab``. Each is thin: its work is done by the module of its noun."""

from __future__ import annotations

import argparse
import difflib
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import migration_xray.cli
from migration_lab.errors import in_words
from migration_lab.paths import NOTEBOOKS
from migration_xray.errors import UserError, unimported
from migration_xray.output import printing
from migration_xray.words import listed, nearest

if TYPE_CHECKING:
    from migration_lab.author import Report
    from migration_lab.course import Exercise, Lesson
    from migration_lab.learner import Grade, Opened
    from migration_lab.workspace import Workspace

Verb = Callable[[argparse.Namespace, list[str]], int | None]
SHELLS = ("bash", "zsh", "fish")

ABOUT_ANSWERS = """\
Without --answer, lab check grades the files in your own project and records the result.

With --answer, it grades the files in DIR, which are written over those that the exercise begins with. Your
files and your progress are not touched. Several answers share one call, and the results come in their order:

  lab check first_step --answer answers/ada add_phone --answer answers/bob --json

If DIR has a file delete.txt, it names files that the exercise begins with, one path a line; they are removed
first. The files expect.txt and why.txt are not part of the answer.

--json prints, for example:
  {"exercise": "first_step", "outcome": "not yet", "message": "...", "at_fault": true}
The outcome is "passed", "not yet", "not attempted" or "could not run". at_fault is false where the answer is
not the reason.

Exit status: 0 if all passed, 1 if one did not, 2 if one could not run for the lab's or the server's reason."""

ABOUT_AUTHORS = """\
lab author check reads an exercise's files and grades its starter, its solution, all right and wrong answers,
and each mutant of the solution: the solution with one small mistake in it. A minute is usual, and half an hour for
all exercises. docs/authoring.md says what each finding means.

Exit status: 0 if nothing is missing, 1 if something is, 2 if something could not be seen for the lab's or the
server's reason."""


def main(arguments: list[str] | None = None) -> int:
    """Run ``lab ARGUMENTS``; returns the exit status: 0, 1 for a refusal or an answer that is not right yet.

    ``lab check --answer`` and ``lab author check`` return 2 where the lab or the server kept an answer from being graded.
    """
    return printing(lambda: _run(arguments))


def _run(arguments: list[str] | None) -> int:
    whole, verbs = _parsers()
    if "_ARGCOMPLETE" in os.environ:  # the Tab key was pressed
        import argcomplete

        argcomplete.autocomplete(whole, always_complete_options=False)  # prints what fits, and ends this process
    words = sys.argv[1:] if arguments is None else arguments
    if words and not words[0].startswith("-") and words[0] not in verbs:
        whole.error(f"invalid choice: {words[0]!r}.{nearest(words[0], verbs)} `lab help` describes every verb.")
    options, rest = whole.parse_known_args(words)
    if rest and options.verb not in (start, xray) and not getattr(options, "answer", None):
        _refuse(verbs[words[0]], rest)
    try:
        with in_words():
            return options.verb(options, rest) or 0
    except UserError as error:
        print(_as_typed_here(str(error)), file=sys.stderr)
        return 1
    except ImportError as error:
        print(f"{unimported(error)}. `lab doctor` says how to mend it.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parsers() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """The parser of all, and that of each verb."""
    whole = argparse.ArgumentParser(
        prog="lab",
        description="Learn to change a live PostgreSQL database.",
        epilog="`lab help VERB` says more about a verb. `lab completion SHELL` has the Tab key complete these words.",
    )
    packages = ("migration-lab", "migration-xray", "alembic", "sqlalchemy", "psycopg", "jupyterlab")
    whole.add_argument("--version", action=_Version, packages=packages, help="show the versions of the main packages")
    verbs = whole.add_subparsers(required=True, metavar="VERB")

    def verb(function: Verb, words: str = "", complete: Callable[[], Iterable[str]] = tuple) -> argparse.ArgumentParser:
        name = function.__name__.rstrip("_")
        part = verbs.add_parser(name, help=function.__doc__, description=function.__doc__)
        part.set_defaults(verb=function)
        if words:
            argument = part.add_argument("words", metavar=words, nargs="?", default="")
            argument.completer = lambda **_: complete()  # type: ignore[attr-defined]  # argcomplete reads it
        return part

    verb(start).add_argument("--postgres", metavar="embedded|docker|URL", help="the server to learn on")
    verb(open_, "LESSON_OR_EXERCISE", lambda: [*_course(), *_exercises()])
    verb(reset, "LESSON_OR_EXERCISE", lambda: [*_course(), *_exercises()])
    verb(back, "LESSON_OR_EXERCISE", lambda: [*_course(), *_exercises()])
    verb(next_)
    verb(watch, "EXERCISE", _exercises)
    answers = verb(check, "EXERCISE", _exercises)
    answers.usage = "lab check EXERCISE | lab check EXERCISE --answer DIR [EXERCISE --answer DIR ...] [--json]"
    answers.formatter_class = argparse.RawDescriptionHelpFormatter
    answers.epilog = ABOUT_ANSWERS
    answers.add_argument(
        "--answer", metavar="DIR", action="append", default=[], help="a folder to grade, not your own files"
    )
    answers.add_argument(
        "--json", action="store_true", help="with --answer: print each result as a JSON object in one line"
    )
    verb(hint, "EXERCISE", _exercises)
    verb(solution, "EXERCISE", _exercises)
    verb(golf, "EXERCISE", _exercises)
    verb(schema)
    verb(revisions)
    traced = verb(xray)
    traced.usage = f"lab xray {migration_xray.cli.USAGE}"
    migration_xray.cli.add_options(traced)
    verb(locks)
    verb(progress)
    verb(template, "DIR")
    verb(doctor)
    verb(stop)
    examined = verb(author)
    examined.usage = "lab author check [EXERCISE] [--json]"
    examined.formatter_class = argparse.RawDescriptionHelpFormatter
    examined.epilog = ABOUT_AUTHORS
    examined.add_argument("what", choices=["check"])
    words = examined.add_argument("words", metavar="EXERCISE", nargs="?", default="", help="by default, all of them")
    words.completer = lambda **_: _exercises()  # type: ignore[attr-defined]  # argcomplete reads it
    examined.add_argument(
        "--json", action="store_true", help="print each exercise's findings as a JSON object in one line"
    )
    verb(completion, "SHELL", lambda: SHELLS)
    verb(help_, "VERB", lambda: verbs.choices)
    return whole, verbs.choices


class _Version(argparse.Action):
    """An option that prints the versions of packages; they are looked up only where they are asked for."""

    def __init__(self, packages: Iterable[str], **named: Any):
        super().__init__(nargs=0, **named)
        self.packages = packages

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(", ".join(f"{package} {metadata.version(package)}" for package in self.packages))
        parser.exit()


def _refuse(part: argparse.ArgumentParser, unknown: list[str]) -> NoReturn:
    """End with a verb's usage and a sentence about the words that it does not know."""
    options = re.findall(r"--\w[\w-]*", part.format_help())
    hint = nearest(unknown[0], options) if unknown[0].startswith("-") else ""
    part.error(f"unrecognized arguments: {' '.join(unknown)}" + (f".{hint}" if hint else ""))


def _course() -> dict[str, list[str]]:
    """The lessons' numbers, each with its exercises; read here because the Tab key can't wait for the room `course`."""
    manifest = tomllib.loads((NOTEBOOKS / "lessons.toml").read_text(encoding="utf-8"))
    return {lesson["number"]: lesson.get("exercises", []) for lesson in manifest["lesson"]}


def _exercises() -> list[str]:
    return [exercise for exercises in _course().values() for exercise in exercises]


def _as_typed_here(sentence: str) -> str:
    """A sentence that names the notebook's verbs, with those of a terminal: `%hint ID` is `lab hint ID`."""
    sentence = re.sub(r"`%(?:lesson|exercise) ([^`]+) --reset`", r"`lab reset \1`", sentence)
    sentence = re.sub(r"`%(?:lesson|exercise) ", "`lab open ", sentence)
    return re.sub(rf"(`|Next: )%({'|'.join(_parsers()[1])})\b", r"\1lab \2", sentence)


def start(options: argparse.Namespace, rest: list[str]) -> int:
    """start JupyterLab on the first lesson; further options go on to JupyterLab"""
    from migration_lab.jupyter import start

    for word in rest:  # JupyterLab would start and say nothing of an option that it does not know
        if difflib.get_close_matches(word.partition("=")[0], ["--postgres"], cutoff=0.8):
            _refuse(_parsers()[1]["start"], [word])
    return start(rest, options.postgres)


def open_(options: argparse.Namespace, rest: list[str]) -> None:
    """open a lesson or an exercise, and a shell in its project where this is a terminal"""
    from migration_lab.course import find
    from migration_lab.learner import open_place

    _enter(open_place(find(options.words)))


def reset(options: argparse.Namespace, rest: list[str]) -> None:
    """put a lesson or an exercise back to its start; what was there is kept until the next reset"""
    from migration_lab.course import find
    from migration_lab.learner import open_place

    _enter(open_place(find(options.words), reset=True))


def back(options: argparse.Namespace, rest: list[str]) -> None:
    """go back to the database and the files that the last reset replaced; once more, and you are where you were"""
    from migration_lab.course import find
    from migration_lab.learner import go_back

    _enter(go_back(find(options.words)))


def next_(options: argparse.Namespace, rest: list[str]) -> None:
    """open what is next, as lab open does: a lesson that you have not opened, or an exercise that you have not passed"""
    from migration_lab.course import Lesson, lessons
    from migration_lab.learner import Progress, open_place, upcoming
    from migration_lab.workspace import Workspace

    place = upcoming(Progress(Workspace()))
    if place is None:
        print("All lessons were opened, and all exercises are passed.")
    elif isinstance(place, Lesson):
        _enter(open_place(place), f"Notebook  {place.notebook}")
    else:
        task = f"Task      {place.title}, in {lessons()[place.lesson].notebook}"
        _enter(open_place(place), task, *_to_edit(place), f"`lab watch {place.id}` checks it each time that you save.")


def watch(options: argparse.Namespace, rest: list[str]) -> None:
    """check an exercise each time that you save a file of it; without a name, the one that is open or next"""
    from datetime import datetime

    from migration_lab import grading
    from migration_lab.course import find_exercise
    from migration_lab.learner import Progress, exercise_at_hand, lay_files
    from migration_lab.runner import Runner
    from migration_lab.workspace import Workspace

    Runner.warm_up()
    workspace = Workspace()
    exercise = (
        find_exercise(options.words) if options.words else exercise_at_hand(Progress(workspace), _open_in_terminal())
    )
    project = workspace.project(exercise.place)
    with workspace.locked(exercise.place):
        lay_files(exercise, project, False, workspace)
    print(f"Task      {exercise.title}", f"Project   {project}", *_to_edit(exercise), sep="\n")
    print("Each time that you save, it is checked. Control-C ends this.", flush=True)

    def tell(grade: grading.Grade) -> None:
        print(f"\n{datetime.now():%H:%M:%S}  {_in_words_of_a_terminal(grade, workspace)}", flush=True)
        if not grade.at_fault:
            print("To check it again, save once more.", flush=True)
        Runner.warm_up()

    try:
        grading.check_whenever_saved(exercise, workspace, tell, _step)
    except KeyboardInterrupt:
        print()


def _to_edit(exercise: Exercise) -> list[str]:
    """Lines that name the files of an exercise that are to be completed."""
    return [f"{'' if number else 'Edit':10}{file}" for number, file in enumerate(exercise.to_edit)]


def check(options: argparse.Namespace, rest: list[str]) -> int:
    """grade an exercise on a fresh database"""
    from migration_lab.runner import Runner

    Runner.warm_up()  # it imports Alembic while this process imports the rest
    if options.answer:
        return _check_answers([options.words, *rest], options.answer, options.json)
    if options.json:
        raise UserError("--json is for folders: lab check EXERCISE --answer DIR --json")
    from migration_lab import grading
    from migration_lab.course import find_exercise
    from migration_lab.learner import Progress
    from migration_lab.workspace import Workspace

    workspace = Workspace()
    exercise = find_exercise(options.words)
    grade = grading.check(exercise, workspace, _step)
    Progress(workspace).graded(grade)
    print(_in_words_of_a_terminal(grade, workspace))
    return 0 if grade.outcome is grading.Outcome.PASSED else 1


def _in_words_of_a_terminal(grade: Grade, workspace: Workspace) -> str:
    """A grade as a terminal tells it: there are files to edit and no cells to run."""
    from migration_lab.learner import Outcome, files_to_edit, shown

    if grade.outcome is not Outcome.NOT_ATTEMPTED:
        return _as_typed_here(grade.with_what_is_next)
    files = listed(_from_here(file, workspace) for file in files_to_edit(grade.exercise, workspace))
    return shown(grade.outcome, f"the starter is unchanged. Write your answer into {files}, then check again.")


def _check_answers(words: list[str], folders: list[str], as_json: bool) -> int:
    import json
    from contextlib import redirect_stdout

    from migration_lab.grading import batch

    exercises = [word for word in words if word]
    part = _parsers()[1]["check"]
    if unknown := [word for word in exercises if word.startswith("-")]:
        _refuse(part, unknown)
    if len(exercises) != len(folders):
        part.error(
            f"{len(exercises)} exercises and {len(folders)} folders: give each exercise one, as in EXERCISE --answer DIR"
        )
    output = sys.stdout

    def tell(verdict: batch.Verdict) -> None:
        text = json.dumps(verdict.to_dict(), ensure_ascii=False) if as_json else str(verdict)
        print(text, file=output, flush=True)

    with redirect_stdout(sys.stderr):  # a start state that has to be built first says so
        return batch.status(batch.grade_all(list(zip(exercises, map(Path, folders), strict=True)), tell))


def hint(options: argparse.Namespace, rest: list[str]) -> None:
    """show the next hint of an exercise"""
    from migration_lab.course import find_exercise
    from migration_lab.learner import Progress
    from migration_lab.workspace import Workspace

    exercise = find_exercise(options.words)
    number, text = Progress(Workspace()).next_hint(exercise)
    print(f"Hint {number} of {len(exercise.hints)}: {text}")


def solution(options: argparse.Namespace, rest: list[str]) -> None:
    """show an exercise's solution and why, after a pass or three honest tries; after a pass, your answer beside it"""
    from migration_lab import grading
    from migration_lab.course import find_exercise
    from migration_lab.learner import solution
    from migration_lab.workspace import Workspace

    exercise, workspace = find_exercise(options.words), Workspace()
    for name, text in solution(exercise, workspace).items():
        print(f"# {name}\n{text}")
    print(f"Why, and when not\n\n{exercise.explanation}", flush=True)
    if comparison := grading.compare(exercise, workspace, _step):
        print(f"\n{comparison}")


def golf(options: argparse.Namespace, rest: list[str]) -> None:
    """rank your answers to an exercise that passed by what they cost the server"""
    from migration_lab.course import find_exercise
    from migration_lab.learner import golf
    from migration_lab.workspace import Workspace

    print(golf(find_exercise(options.words), Workspace()))


def schema(options: argparse.Namespace, rest: list[str]) -> None:
    """draw the tables of the place that is open, with what changed since the last look marked"""
    from migration_lab.pictures import schema_diagram

    print(schema_diagram(_place()))


def revisions(options: argparse.Namespace, rest: list[str]) -> None:
    """draw the revisions of the place that is open, and where its database stands"""
    from migration_lab.learner import naming_reset
    from migration_lab.pictures import revision_graph

    place = _place()
    try:
        print(revision_graph(place))
    except UserError as error:
        raise UserError(naming_reset(str(error), place.place, place.project)) from None


def xray(options: argparse.Namespace, rest: list[str]) -> None:
    """run an Alembic command on any project and show what each statement did to the server"""
    try:
        migration_xray.cli.xray(options, rest)
    except UserError as error:
        from migration_lab.learner import naming_reset
        from migration_lab.workspace import Workspace

        place = _open_in_terminal()
        if place and Path.cwd() == Workspace().project(place.place).resolve():
            raise UserError(naming_reset(str(error), place, Path.cwd())) from None
        raise


def locks(options: argparse.Namespace, rest: list[str]) -> None:
    """show who holds which lock in the database of the place that is open, and who waits for whom"""
    from migration_xray.locks import lock_tree

    place = _place()
    with place.server.connect(place.database) as session:
        print(lock_tree(session))


def progress(options: argparse.Namespace, rest: list[str]) -> None:
    """show what is done and what is next, and write what was learned into a page to keep"""
    from migration_lab.learner import Progress, keep, report
    from migration_lab.workspace import Workspace

    progress = Progress(Workspace())
    print(_as_typed_here(report(progress)))
    print(keep(progress))


def template(options: argparse.Namespace, rest: list[str]) -> None:
    """write a production-ready Alembic project into a folder, where it needs no lab; nothing is overwritten"""
    import shlex

    from migration_lab.course import write_project

    if not options.words:
        raise UserError("Into which folder? For example: lab template my_project")
    written = write_project(Path(options.words).expanduser())
    print(f"Written into {options.words}:", *(f"  {name.as_posix()}" for name in written), sep="\n")
    print(f"Next: cd {shlex.quote(options.words)}, set DATABASE_URL to an empty database, and: alembic upgrade head")


def doctor(options: argparse.Namespace, rest: list[str]) -> int:
    """name each thing that is wrong and how to mend it"""
    from migration_lab.doctor import examine

    findings = examine()
    for finding in findings:
        print(finding)
    return 0 if all(finding.well for finding in findings) else 1


def stop(options: argparse.Namespace, rest: list[str]) -> None:
    """stop the embedded server"""
    from migration_lab.server import Embedded
    from migration_lab.workspace import Workspace

    stopped = Embedded(Workspace()).stop()
    print("The embedded PostgreSQL is stopped." if stopped else "The embedded PostgreSQL was not running.")


def author(options: argparse.Namespace, rest: list[str]) -> int:
    """for authors: lab author check EXERCISE says what an exercise still lacks"""
    import json
    from contextlib import redirect_stdout

    from migration_lab.author import examine_all

    output = sys.stdout

    def tell(report: Report) -> None:
        text = json.dumps(report.to_dict(), ensure_ascii=False) if options.json else str(report)
        print(text, file=output, flush=True)

    with redirect_stdout(sys.stderr):  # a start state that has to be built first says so
        return examine_all(options.words, _step, tell)


def completion(options: argparse.Namespace, rest: list[str]) -> None:
    """print what makes the Tab key complete lab's verbs, options, lessons and exercises: for bash, zsh or fish"""
    from argcomplete.shell_integration import shellcode

    if options.words not in SHELLS:
        raise UserError(
            f"For which shell? {listed(SHELLS)} are known. For bash, put this line into ~/.bashrc:\n"
            'eval "$(lab completion bash)"\n'
            "For zsh, put the same with zsh into ~/.zshrc, after compinit. For fish, put this line into "
            "~/.config/fish/config.fish:\nlab completion fish | source"
        )
    print(shellcode(["lab"], shell=options.words))


def help_(options: argparse.Namespace, rest: list[str]) -> None:
    """describe all verbs, or one of them"""
    whole, verbs = _parsers()
    if options.words and options.words not in verbs:
        raise UserError(
            f'There is no verb "{options.words}".{nearest(options.words, verbs)} `lab help` describes every verb.'
        )
    (verbs[options.words] if options.words else whole).print_help()


def _from_here(path: Path, workspace: Workspace) -> str:
    """A file's path from the current folder; the whole path where that folder has nothing to do with the learner's."""
    here = Path.cwd()
    near = here.is_relative_to(workspace.path) or path.is_relative_to(here)
    return os.path.relpath(path) if near else str(path)


def _step(step: str) -> None:
    print(f"… {step}", file=sys.stderr, flush=True)


def _open_in_terminal() -> Lesson | Exercise | None:
    """The lesson or the exercise that is open in this terminal."""
    from migration_lab.course import find

    place = os.environ.get("LAB_PLACE", "")
    return find(place.removeprefix("lesson_").removeprefix("exercise_")) if place else None


def _place() -> Opened:
    from migration_lab.learner import open_place

    place = _open_in_terminal()
    if place is None:
        raise UserError("No lesson is open in this terminal. `lab open NUMBER` opens one.")
    return open_place(place)


def _enter(opened: Opened, *more: str) -> None:
    from migration_lab.course import Lesson
    from migration_lab.learner import Progress

    if isinstance(opened.place, Lesson):
        Progress(opened.workspace).opened(opened.place)
    print(opened, f"Project   {opened.project}", *more, sep="\n")
    if sys.stdin.isatty() and os.environ.get("LAB_PLACE") != opened.place.place:
        print("This is a shell in the project: alembic, psql and lab mean this place. `exit` leaves it.")
        shell = os.environ.get("COMSPEC" if os.name == "nt" else "SHELL") or "sh"
        subprocess.run([shell], cwd=opened.project, env=os.environ | opened.variables())

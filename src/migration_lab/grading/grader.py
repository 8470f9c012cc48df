"""Grade an exercise by the database that the learner's migrations produce, never by their text.

A fresh database at the exercise's start state, a copy of the learner's project, the given revisions, ``upgrade head``; then
the grader's own probes and the exercise's check look at what stands there; then down, which must lead back to the start,
and up once more; and at last up on another fresh database, where locks time out.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from migration_lab.course import Exercise, answer_in
from migration_lab.errors import in_words
from migration_lab.files import IGNORED
from migration_lab.learner import Grade, Outcome, naming_reset
from migration_lab.runner import Runner, Stopped
from migration_lab.server import Server, server
from migration_lab.workspace import Workspace
from migration_xray.costs import costs
from migration_xray.errors import AlembicError, UserError

from .explanations import below, explanation, listing, overlooked, quoted
from .failure import LabFailure, finding, reported
from .graded import Graded, NotYet
from .outage import Exhausted, Outage
from .probes import changes, edited, not_in_force, written_by_hand
from .roundtrip import round_trip
from .scratch import scratch
from .secondtry import reached, second_try
from .unseen import OTHER_ROWS, prepare, whose_rows


def silently(step: str) -> None:
    """Tell nobody which step of a grading comes next."""


def check(exercise: Exercise, workspace: Workspace | None = None, say: Callable[[str], None] = silently) -> Grade:
    """Grade the files that stand in the learner's project of this exercise; ``say`` is told each step before it begins.

    Neither those files nor the exercise's open database are touched. Takes up to half a minute for each of three
    Alembic commands where the answer hangs; else well under a second at the small start state.
    """
    workspace = workspace or Workspace()
    project = workspace.project(exercise.place)
    if not project.exists():
        return not_attempted(exercise)

    def lay(folder: Path) -> None:
        shutil.copytree(project, folder, ignore=IGNORED)

    found = grade(exercise, lay, lambda: server(workspace=workspace), f"check_{workspace.tag}_", say, workspace)
    return replace(found, message=naming_reset(found.message, exercise, project))


def grade(
    exercise: Exercise,
    lay: Callable[[Path], object],
    choose_server: Callable[[], Server],
    stem: str,
    say: Callable[[str], None] = silently,
    workspace: Workspace | None = None,
) -> Grade:
    """Grade the project that ``lay`` writes into a folder, which is not there yet and is deleted at the end.

    ``choose_server`` is called once there is something to grade. The names of the scratch databases begin with ``stem``.
    Where the lab itself fails, it writes how into the workspace, by default the usual one.
    """
    try:
        with in_words(), tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            project = Path(folder).resolve() / "project"
            lay(project)
            answer = answer_in(exercise, project)
            if not answer:
                return not_attempted(exercise)
            changed = edited(exercise, answer)
            running = choose_server()
            with scratch(running, exercise, stem) as database:
                found = _graded(exercise, running, database, project, stem, say)
            if changed:
                return _not_as_given(changed, found)
            return replace(found, answer=answer) if found.outcome is Outcome.PASSED else found
    except Outage as outage:
        return Grade(exercise, Outcome.COULD_NOT_RUN, str(outage), at_fault=False)
    except UserError as error:
        return Grade(exercise, Outcome.COULD_NOT_RUN, f"{error} Your answer is not the cause.", at_fault=False)
    except Exception as error:
        said = reported(error, exercise, workspace or Workspace())
        return Grade(exercise, Outcome.COULD_NOT_RUN, said, at_fault=False)


def not_attempted(exercise: Exercise) -> Grade:
    return Grade(
        exercise, Outcome.NOT_ATTEMPTED, "the starter is unchanged. Write your answer, run its cell, check again."
    )


def _not_as_given(changed: str, found: Grade) -> Grade:
    """The grade of an answer that has changed a given file: that first, then what was found with the file as it is."""
    if found.outcome is Outcome.PASSED:
        return Grade(found.exercise, Outcome.NOT_YET, changed)
    return replace(found, message=f"{changed}\n  What was found besides: {found.message}") if found.at_fault else found


def _graded(
    exercise: Exercise, running: Server, database: str, project: Path, stem: str, say: Callable[[str], None]
) -> Grade:
    checks = _load(exercise)
    with Runner.ready() as runner, running.connect(database) as session:
        graded = Graded(running, database, project, session, runner, say)
        try:
            said = _checked(exercise, checks, graded, stem)
        except NotYet as found:
            more = below(whose_rows(graded, str(found))) + below(overlooked(project, set(graded.given)))
            return Grade(exercise, Outcome.NOT_YET, f"{found}{more}")
        except Exhausted as found:
            return Grade(exercise, Outcome.NOT_YET, str(found))
        except AlembicError as error:
            return _failed(exercise, checks, graded, error)
        except Stopped as end:
            return Grade(exercise, Outcome.COULD_NOT_RUN, f"{end}. Nothing of the lab was harmed.")
        except UserError:
            raise
        except Exception as error:
            if said := finding(error, graded):
                return Grade(exercise, Outcome.NOT_YET, said)
            raise LabFailure from error
    passed: str = getattr(checks, "PASSED", "your database is what was asked for.")
    return Grade(exercise, Outcome.PASSED, said or passed, costs=costs(graded.trace))


def _checked(exercise: Exercise, checks: ModuleType, graded: Graded, stem: str) -> str | None:
    """Run the exercise's check, the way back and second tries; gives what the check has to say of an answer that passes.

    Whatever goes wrong, the server is asked first whether it is the cause: then it is no finding, and no try.
    """
    prepare(graded, exercise)
    try:
        graded.begin(exercise)
        graded.upgrade()
        found = _probed(exercise, graded)
        goal = reached(graded) if exercise.second_try else None
        said = checks.check(graded)
        if found:
            raise NotYet(found)
        if exercise.round_trip:
            round_trip(graded)
        if goal:
            second_try(exercise, graded, goal, stem)
    except (Outage, Exhausted):
        raise
    except Exception as error:
        graded.watch.examine(error)
        raise
    if graded.watch.refused:
        raise graded.watch.refused
    return said


def _probed(exercise: Exercise, graded: Graded) -> str | None:
    """What the grader itself finds after the upgrade, whatever the exercise: rows that were lost, rules that hold nobody.

    It looks before the exercise's check, which may go up and down; but what that says is nearer to the task, and comes first.
    """
    if lost := changes(graded.before, graded.after, exercise.rows, graded.before.schema):
        return f"after the upgrade the rows that were there are not what they were:{listing(lost)}\n  Nobody asked for that. {OTHER_ROWS}"
    if by_hand := written_by_hand(graded.trace):
        return f"not everything that the catalogs say was done by the server:{listing(by_hand)}"
    if off := not_in_force(graded.session, graded.stood, exercise.not_in_force):
        return f"after the upgrade not all that stands in the database is in force:{listing(off)}"
    return None


def _failed(exercise: Exercise, checks: ModuleType, graded: Graded, error: AlembicError) -> Grade:
    """The grade of an answer one of whose commands has failed, with what that means.

    The exercise's own ``explain`` is about the upgrade that is graded; other commands meet what that has left.
    """
    own = getattr(checks, "explain", None) if graded.schema is graded.start else None
    meaning = (own and own(error)) or explanation(error, graded)
    said = f"`{graded.command}` failed.\n{quoted(error)}{below(meaning)}"
    said += below(whose_rows(graded, said))
    if graded.command.startswith("alembic downgrade"):
        return Grade(exercise, Outcome.NOT_YET, f"the upgrade ran, but {said}")
    return Grade(exercise, Outcome.COULD_NOT_RUN, said)


def _load(exercise: Exercise) -> ModuleType:
    spec = spec_from_file_location(f"check_{exercise.id}", exercise.folder / "check.py")
    assert spec is not None and spec.loader is not None  # each file that ends in .py has them
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

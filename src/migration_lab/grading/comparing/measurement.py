"""What an answer costs the server: its own revisions, run once more on a database at which those before them have arrived."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from migration_lab.course import Answer, Exercise, lay_answer
from migration_lab.errors import in_words
from migration_lab.runner import Runner, Stopped
from migration_lab.server import server
from migration_lab.workspace import Workspace
from migration_xray.costs import Costs, costs
from migration_xray.errors import UserError

from ..graded import Graded, NotYet
from ..outage import Exhausted
from ..scratch import scratch
from ..unseen import prepare


def measured(exercise: Exercise, answer: Answer, workspace: Workspace, say: Callable[[str], None]) -> Costs:
    """What the answer's own revisions cost on a new database. ``say`` is told each step before it begins.

    Raises UserError where a command fails, or the server does.
    """
    with in_words(), tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        project = Path(folder).resolve() / "project"
        lay_answer(exercise, answer, project)
        running = server(workspace=workspace)
        with (
            scratch(running, exercise, f"check_{workspace.tag}_") as database,
            Runner.ready() as runner,
            running.connect(database) as session,
        ):
            graded = Graded(running, database, project, session, runner, say)
            try:
                prepare(graded, exercise)
                return costs(graded.alembic("upgrade", "head"))
            except (Stopped, Exhausted, NotYet) as end:
                raise UserError(str(end)) from None

"""``migration-xray``: an Alembic command under x-ray, in any project's own environment."""

from __future__ import annotations

import argparse
import json
import os
import sys
from contextlib import nullcontext
from pathlib import Path

from migration_xray.errors import UserError

USAGE = "[--json] [--traffic TABLE [--app NAME] [--chart FILE]] ALEMBIC_ARGUMENTS"
LOCKS = "locks"  # no command of Alembic's


def main(arguments: list[str] | None = None) -> int:
    """Run ``migration-xray ARGUMENTS``; returns the exit status: 0, or 1 for a refusal."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8", errors="replace")  # type: ignore[union-attr]  # a terminal's or a pipe's
    words = sys.argv[1:] if arguments is None else arguments
    try:
        if words[:1] == [LOCKS]:
            print_locks(_locks_parser().parse_args(words[1:]).database)
        else:
            parser = argparse.ArgumentParser("migration-xray", description=__doc__, usage=f"%(prog)s {USAGE}\n       %(prog)s locks [--database URL]")
            add_options(parser)
            options, rest = parser.parse_known_args(words)
            xray(options, rest)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give a parser x-ray's own options; all that it does not know goes on to Alembic."""
    parser.add_argument("--json", action="store_true", help="print the trace as JSON; what Alembic says goes to standard error")
    parser.add_argument("--traffic", metavar="TABLE", help="let readers and writers work on this table of DATABASE_URL meanwhile")
    parser.add_argument("--app", metavar="NAME", action="append", default=[], help="a version of the application, app/NAME.sql")
    parser.add_argument("--chart", metavar="FILE", help="where to draw what the traffic felt: .png or .svg")
    parser.set_defaults(program=parser.prog)
    parser.add_argument("alembic", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)


def xray(options: argparse.Namespace, rest: list[str]) -> None:
    """Run an Alembic command in this folder's project and print what each statement did to the server.

    ``rest`` are Alembic's arguments before ``options.alembic``. Raises UserError where the command fails.
    """
    from migration_xray import command
    from migration_xray.reports import as_text
    from migration_xray.traffic import chart
    from migration_xray.watch import watching

    arguments = rest + options.alembic
    if not arguments:
        raise UserError(f"What should Alembic do? For example: {options.program} upgrade head")
    traffic = _traffic(options)
    trace = None
    try:
        with traffic or nullcontext(), watching(" ".join(arguments)) as trace:
            if traffic:
                traffic.traces.append(trace)
            command.run(arguments, Path.cwd(), sys.stderr if options.json else sys.stdout)
    finally:
        if trace:
            print(json.dumps(trace.to_dict(), indent=1, ensure_ascii=False) if options.json else as_text(trace))
        if traffic and traffic.felt:
            print(traffic.felt, file=sys.stderr if options.json else sys.stdout)
            if options.chart:
                chart.save(traffic.felt, Path(options.chart))


def print_locks(database: str | None) -> None:
    """Print who holds which lock in a database and who waits for whom; without a URL, DATABASE_URL names it.

    Raises UserError where there is no URL, or the server refuses the session.
    """
    from migration_xray.connection import connect, parse
    from migration_xray.locks import lock_tree

    address = database or os.environ.get("DATABASE_URL")
    if not address:
        raise UserError("Which database? Give its URL with --database, or set DATABASE_URL.")
    with connect(parse(address)) as session:
        print(lock_tree(session))


def _locks_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(f"migration-xray {LOCKS}", description="Show who holds which lock, and who waits for whom.")
    parser.add_argument("--database", metavar="URL", help="by default DATABASE_URL")
    return parser


def _traffic(options: argparse.Namespace):
    from migration_xray.connection import parse
    from migration_xray.traffic import Traffic

    if options.traffic:
        if not os.environ.get("DATABASE_URL"):
            raise UserError("Traffic has to know the database too: set DATABASE_URL to its URL, as env.py has it.")
        return Traffic(parse(os.environ["DATABASE_URL"]), options.traffic, apps=options.app)
    if options.app or options.chart:
        raise UserError("--app and --chart are about traffic: say on which table, with --traffic TABLE.")
    return None

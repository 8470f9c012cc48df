"""``migration-xray``: an Alembic command under x-ray, in any project's own environment."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from contextlib import nullcontext
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from migration_xray.errors import AlembicError, UserError, said, unimported
from migration_xray.output import printing
from migration_xray.words import listed, without_times

if TYPE_CHECKING:
    from migration_xray.traffic import Traffic

PROGRAM = "migration-xray"
LOCKS = "locks"  # no command of Alembic's
PAUSE = 0.5  # seconds between two looks of `locks --watch`
TOML = "pyproject.toml"  # Alembic reads it too, from version 1.16 on
USAGE = "[--json] [--traffic TABLE [--app NAME] [--chart FILE]] ALEMBIC_ARGUMENTS"
HELP = "Run an Alembic command and print what each statement did to the PostgreSQL server."
MORE = """\
All other arguments are Alembic's own; `alembic --help` prints them. Run it where you run alembic.

examples:
  migration-xray upgrade head
  migration-xray --json -c deploy/alembic.ini upgrade +1
  migration-xray --traffic users --chart noticed.png upgrade head
  migration-xray locks --database postgresql://me@localhost/shop --watch
"""


def main(arguments: list[str] | None = None) -> int:
    """Run ``migration-xray ARGUMENTS``; returns the exit status: 0, or 1 for a refusal."""
    return printing(lambda: _run(sys.argv[1:] if arguments is None else arguments))


def _run(words: list[str]) -> int:
    try:
        if words[:1] == [LOCKS]:
            options = _locks_parser().parse_args(words[1:])
            print_locks(options.database, options.watch)
        else:
            xray(*_parser().parse_known_args(words))
    except UserError as error:
        print(error, file=sys.stderr)
    except ImportError as error:
        print(f"{unimported(error)}.", file=sys.stderr)
    except OSError as error:
        print(f"{error.filename or 'A file'}: {error.strerror or error}.", file=sys.stderr)
    except KeyboardInterrupt:
        return 130
    else:
        return 0
    return 1


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give a parser x-ray's own options; all that it does not know goes on to Alembic."""
    parser.set_defaults(program=parser.prog)
    parser.allow_abbrev = False  # or it takes Alembic's options for abbreviations of ours
    parser.add_argument(
        "--json", action="store_true", help="print the trace as JSON; Alembic's output goes to standard error"
    )
    parser.add_argument(
        "--traffic", metavar="TABLE", help="run readers and writers on this table of DATABASE_URL meanwhile"
    )
    parser.add_argument(
        "--app", metavar="NAME", action="append", default=[], help="take their statements from app/NAME.sql"
    )
    parser.add_argument("--chart", metavar="FILE", help="draw how long they waited: .png or .svg")


def xray(options: argparse.Namespace, arguments: list[str]) -> None:
    """Run an Alembic command in this folder's project and print what each statement did to the server.

    Raises UserError where the command fails.
    """
    from migration_xray import command
    from migration_xray.reports import as_text
    from migration_xray.traffic import chart
    from migration_xray.watch import watching

    if not arguments:
        raise UserError(f"What should Alembic do? For example: {options.program} upgrade head")
    traffic = _traffic(options)
    if options.chart:
        chart.examine(Path(options.chart))
    trace, errors = None, sys.stderr  # which the command has only lent away while it runs

    def announce(sentence: str) -> None:
        print(sentence, file=errors, flush=True)

    try:
        with traffic or nullcontext(), watching(" ".join(arguments), announce) as trace:
            if traffic:
                traffic.traces.append(trace)
            command.run(arguments, Path.cwd(), sys.stderr if options.json else sys.stdout)
    except AlembicError as error:
        raise _with_a_hint(error, arguments) from None
    finally:
        if trace and (options.json or trace.server or trace.ok):  # what failed before any session has its error only
            print(json.dumps(trace.to_dict(), indent=1, ensure_ascii=False) if options.json else as_text(trace))
        if traffic and traffic.felt:
            print(traffic.felt, file=sys.stderr if options.json else sys.stdout)
            if options.chart:
                chart.save(traffic.felt, Path(options.chart))


def print_locks(database: str | None, watch: bool = False) -> None:
    """Print who holds which lock in a database and who waits for whom; without a URL, DATABASE_URL names it.

    With ``watch`` it goes on until Ctrl-C, and prints them again, under the time of day, whenever they have changed.

    Raises UserError where there is no URL, or the server refuses the session or an answer.
    """
    import psycopg

    from migration_xray.connection import OLDEST, connect, parse
    from migration_xray.locks import lock_tree

    address = database or os.environ.get("DATABASE_URL")
    if not address:
        raise UserError("Which database? Give its URL with --database, or set DATABASE_URL.")
    with connect(parse(address)) as session:
        if session.info.server_version < OLDEST * 10000:
            version = session.info.parameter_status("server_version")
            raise UserError(f"This server is PostgreSQL {version}; {PROGRAM} needs {OLDEST} or newer.")
        try:
            if not watch:
                print(lock_tree(session, pids=True))
                return
            before = ""
            while True:
                shown = str(lock_tree(session, pids=True))
                if (now := without_times(shown)) != before:
                    before = now
                    print(f"{time.strftime('%H:%M:%S')}\n{shown}\n", flush=True)
                time.sleep(PAUSE)
        except psycopg.Error as error:
            raise UserError(f"PostgreSQL said: {said(error)}.") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        PROGRAM,
        usage=f"%(prog)s {USAGE}\n       %(prog)s {LOCKS} [--database URL] [--watch]",
        description=HELP,
        epilog=MORE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    versions = (f"{package} {metadata.version(package)}" for package in (PROGRAM, "alembic", "sqlalchemy", "psycopg"))
    parser.add_argument("--version", action="version", version=", ".join(versions))
    add_options(parser)
    return parser


def _locks_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        f"{PROGRAM} {LOCKS}", description="Show who holds which lock, and who waits for whom."
    )
    parser.add_argument("--database", metavar="URL", help="by default DATABASE_URL")
    parser.add_argument("--watch", action="store_true", help="print them again whenever they change, until Ctrl-C")
    return parser


def _traffic(options: argparse.Namespace) -> Traffic | None:
    from migration_xray.connection import parse
    from migration_xray.traffic import Traffic

    if options.traffic:
        if not os.environ.get("DATABASE_URL"):
            raise UserError("Traffic has to know the database too: set DATABASE_URL to its URL, as env.py has it.")
        return Traffic(parse(os.environ["DATABASE_URL"]), options.traffic, apps=options.app)
    if options.app or options.chart:
        raise UserError("--app and --chart are about traffic: say on which table, with --traffic TABLE.")
    return None


def _with_a_hint(error: UserError, arguments: list[str]) -> UserError:
    """Where Alembic's configuration is not there, say so; any other error stays as it is."""
    configured = argparse.ArgumentParser(add_help=False)
    configured.add_argument("-c", "--config", action="append", default=[])
    named = configured.parse_known_args(arguments)[0].config
    usual = [os.environ.get("ALEMBIC_CONFIG") or "alembic.ini"]
    files = [Path.cwd() / file for file in named or usual]
    if "script_location" not in str(error) or any(file.exists() and file.name != TOML for file in files):
        return error
    absent = [file for file in files if not file.exists()]
    silent = [file for file in dict.fromkeys([*files, Path.cwd() / TOML]) if file.exists()]
    found = [f"there is no {file}" for file in absent]
    found += [f"{file} has no script_location in [tool.alembic]" for file in silent]
    mend = "Run this in your project's folder, or name its file with -c FILE."
    if named and absent:
        mend = "Correct the name after -c."
    sentence = listed(found)
    return UserError(f"{error}\n{sentence[0].upper()}{sentence[1:]}. {mend}")

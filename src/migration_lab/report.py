"""A trace as a page: text for a terminal, HTML for a notebook. The worst lock stands first, then what each statement did.

Nothing here depends on how wide a number is: two runs of the same migration differ in their numbers alone.
"""

from __future__ import annotations

from dataclasses import replace
from html import escape
from itertools import groupby

from .locks import MODES
from .trace import NOTEWORTHY, Held, Lock, Statement, Trace, Transaction, Waited, shape, worst_first
from .words import bare, listed, megabytes, milliseconds

SIGNS = {"reads and writes": "■■■", "writes": "■■", "other schema changes": "■"}
# With a contrast of 3 on white and on JupyterLab's dark page: https://www.w3.org/TR/WCAG22/#non-text-contrast
COLOURS = {"reads and writes": "#c24400", "writes": "#8a6700", "other schema changes": "#1a6fc4"}
WAIT_SHOWN = 100  # ms
MANY = 3  # statements of one shape

CELL = "padding: 3px 12px 3px 0; text-align: left; vertical-align: top; border: none; font-size: 13px"
HEADINGS = ("statement", "what the server did", "time", "rows", "WAL")


def as_text(trace: Trace) -> str:
    told = _worth_telling(trace)
    lines = [_title(trace, told)]
    for transaction in told:
        lines += ["", _heading(transaction, trace)]
        lines += [f"  {SIGNS[held.blocks]} {_sentence(held, _waited(transaction, held))}" for held in _noteworthy(transaction)]
        lines += [f"  {waits}" for waits in _other_waits(transaction)]
        for statement, locks, times in _shown(transaction):
            lines.append(f"  {_sql(statement)}")
            lines += [f"      {note}" for note in [*_verdicts(statement, locks, times), _figures(statement)]]
    return "\n".join(lines)


def as_html(trace: Trace) -> str:
    told = _worth_telling(trace)
    parts = [f"<p><b>{escape(_title(trace, told))}</b></p>"]
    for transaction in told:
        parts.append(f'<p style="margin: 1em 0 0.3em 0"><b>{escape(_heading(transaction, trace))}</b></p>')
        for held in _noteworthy(transaction):
            colour = COLOURS[held.blocks]
            sentence = escape(_sentence(held, _waited(transaction, held)))
            parts.append(
                f'<div style="border-left: 4px solid {colour}; padding: 0.2em 0.8em; margin: 2px 0">'
                f'<span style="color: {colour}; letter-spacing: -2px">{SIGNS[held.blocks]}</span>&nbsp; {sentence}</div>'
            )
        parts += [f'<div style="padding: 0.2em 0.8em">{escape(waits)}</div>' for waits in _other_waits(transaction)]
        if statements := _shown(transaction):
            head = "".join(f'<th style="{CELL}; border-bottom: 1px solid #8c959f">{heading}</th>' for heading in HEADINGS)
            rows = "".join(_row(*one) for one in statements)
            parts.append(f'<table style="border-collapse: collapse; margin: 0.5em 0"><tr>{head}</tr>{rows}</table>')
    return "\n".join(parts)


def _title(trace: Trace, told: list[Transaction]) -> str:
    title = f"alembic {trace.command}"
    if trace.server is None:
        return f"{title}: it opened no database, so there is nothing to see" + ("" if trace.ok else f" ({_first_line(trace)})")
    title += f", seen on PostgreSQL {trace.server}"
    if not trace.ok:
        title += f". It failed: {_first_line(trace)}"
    elif not told:
        title += ": no statement but Alembic's own"
    return title + (f". {trace.unseen}" if trace.unseen else "")


def _first_line(trace: Trace) -> str:
    return trace.error.splitlines()[0].removeprefix("FAILED: ")


def _heading(transaction: Transaction, trace: Trace) -> str:
    kind = "Outside of a transaction" if transaction.autocommit else "Transaction"
    if len({one.database for one in trace.transactions}) > 1:
        kind += f" in {transaction.database}"
    whose = ", ".join(transaction.revisions) or "env.py"
    outcome = {"lost": "ended with its session", "open": "left open"}.get(transaction.outcome, transaction.outcome)
    return f"{kind}: {whose}, {outcome} after {milliseconds(transaction.ms)}"


def _sentence(held: Held, waited: Waited | None) -> str:
    sentence = f"{held.mode} on {bare(held.relation)}, held for {milliseconds(held.ms)}: blocks {held.blocks}"
    if waited and waited.ms >= WAIT_SHOWN:
        sentence += f"; {_sessions(waited)}, up to {milliseconds(waited.ms)}"
    return sentence


def _other_waits(transaction: Transaction) -> list[str]:
    """Who waited for rows, or behind a lock that the transaction never got."""
    told = {held.relation for held in _noteworthy(transaction)}
    others = [one for one in transaction.waited if one.relation not in told and one.ms >= WAIT_SHOWN]
    others.sort(key=lambda one: one.relation or "")
    return [f"… {_sessions(one)} for {bare(one.relation or 'rows')}, up to {milliseconds(one.ms)}" for one in others]


def _sessions(waited: Waited) -> str:
    return "1 session waited" if waited.sessions == 1 else f"{waited.sessions} sessions waited"


def _row(statement: Statement, locks: list[Lock], times: int) -> str:
    code = f'<code style="white-space: pre-wrap">{escape(_sql(statement))}</code>'
    rows = "" if statement.rows is None else f"{statement.rows:,}"
    words = [code, "<br>".join(map(escape, _verdicts(statement, locks, times)))]
    cells = [f'<td style="{CELL}">{cell}</td>' for cell in words]
    figures = (milliseconds(statement.ms), rows, megabytes(statement.wal_bytes))
    cells += [f'<td style="{CELL}; white-space: nowrap">{figure}</td>' for figure in figures]
    return f"<tr>{''.join(cells)}</tr>"


def _verdicts(statement: Statement, locks: list[Lock], times: int) -> list[str]:
    """What a statement did, each with a sign and in words."""
    verdicts = [f"⋮ {times:,} such statements, with other numbers; together:"] if times > 1 else []
    if statement.rewrote:
        verdicts.append(f"⟳ rewrote {listed(map(bare, statement.rewrote))}")
    if statement.scanned:
        verdicts.append(f"▤ scanned {listed(map(bare, statement.scanned))} to verify")
    if statement.built:
        verdicts.append(f"▦ built {listed(map(bare, statement.built))}")
    verdicts += [f"✓ {said}" for said in statement.says if "sufficient to prove" in said or "implied by" in said]
    for mode in dict.fromkeys(lock.mode for lock in locks):
        verdicts.append(f"▣ took {mode} on {listed(map(bare, [lock.relation for lock in locks if lock.mode == mode]))}")
    if statement.unseen and statement.wal_bytes and not statement.error:
        verdicts.append("▣ was over before its locks could be seen")
    if statement.lock_wait_ms >= WAIT_SHOWN:
        verdicts.append(f"… waited for locks of others: {milliseconds(statement.lock_wait_ms)}")
    verdicts += [f"… {phase.name}: {milliseconds(phase.ms)}" for phase in statement.phases if _is_wait(phase)]
    if statement.error:
        verdicts.append(f"✘ failed: {statement.error.message}")
    return verdicts


def _is_wait(phase) -> bool:
    return phase.name.startswith("waiting for") and phase.ms >= WAIT_SHOWN


def _figures(statement: Statement) -> str:
    rows = [] if statement.rows is None else [f"{statement.rows:,} rows"]
    return ", ".join([milliseconds(statement.ms), *rows, f"{megabytes(statement.wal_bytes)} of WAL"])


def _worth_telling(trace: Trace) -> list[Transaction]:
    """Transactions in which something but Alembic's bookkeeping happened, or was lost; batches in a row are one."""
    worth = [one for one in trace.transactions if _shown(one) or _noteworthy(one)]
    runs = (list(run) for _, run in groupby(worth, key=lambda one: _batch(one) or id(one)))
    return [one for run in runs for one in ([_as_one(run)] if len(run) >= MANY else run)]


def _batch(transaction: Transaction) -> tuple | None:
    """What the batches of a backfill have in common: each is one statement, outside of a transaction."""
    statements = [statement for statement in transaction.statements if not statement.own]
    if not transaction.autocommit or len(statements) != 1 or statements[0].error:
        return None
    return transaction.outcome, tuple(transaction.revisions), shape(statements[0].sql)


def _as_one(run: list[Transaction]) -> Transaction:
    """Each lock and each wait is the longest of its kind."""
    locks = sorted((one for each in run for one in each.held), key=lambda one: one.ms)
    waits = sorted((one for each in run for one in each.waited), key=lambda one: one.ms)
    held, waited = {(one.relation, one.mode): one for one in locks}, {one.relation: one for one in waits}
    return replace(
        run[0],
        ms=sum(each.ms for each in run),
        statements=[statement for each in run for statement in each.statements],
        held=worst_first(list(held.values())),
        waited=list(waited.values()),
    )


def _shown(transaction: Transaction) -> list[tuple[Statement, list[Lock], int]]:
    """The statements to tell of, each with the locks that are stronger than what its transaction had before.

    Many of one shape in a row are told as one, with how many they were.
    """
    ranks: dict[str, int] = {}
    shown = []
    for statement in transaction.statements:
        raised = []
        for lock in statement.locks:  # the strongest first
            rank = MODES[lock.mode].rank
            if rank >= NOTEWORTHY and rank > ranks.get(lock.relation, 0):
                ranks[lock.relation] = rank
                raised.append(lock)
        if not statement.own or statement.error:
            shown.append((statement, raised))
    runs = (list(run) for _, run in groupby(shown, key=lambda one: (shape(one[0].sql), one[0].error is None)))
    return [one for run in runs for one in ([_together(run)] if len(run) >= MANY else [(*each, 1) for each in run])]


def _together(run: list[tuple[Statement, list[Lock]]]) -> tuple[Statement, list[Lock], int]:
    statements = [statement for statement, _ in run]

    def every(name: str) -> list[str]:
        return sorted({told for statement in statements for told in getattr(statement, name)})

    rows = [statement.rows for statement in statements if statement.rows is not None]
    whole = replace(
        statements[0],
        ms=sum(statement.ms for statement in statements),
        rows=sum(rows) if rows else None,
        wal_bytes=sum(statement.wal_bytes for statement in statements),
        lock_wait_ms=max(statement.lock_wait_ms for statement in statements),
        unseen=all(statement.unseen for statement in statements),
        phases=[phase for statement in statements for phase in statement.phases],
        **{name: every(name) for name in ("rewrote", "scanned", "built", "says")},
    )
    return whole, [lock for _, locks in run for lock in locks], len(run)


def _noteworthy(transaction: Transaction) -> list[Held]:
    return [held for held in transaction.held if held.rank >= NOTEWORTHY and bare(held.relation) != "alembic_version"]


def _waited(transaction: Transaction, held: Held) -> Waited | None:
    return next((waited for waited in transaction.waited if waited.relation == held.relation), None)


def _sql(statement: Statement) -> str:
    sql = " ".join(statement.sql.split())
    return sql if len(sql) <= 160 else sql[:158] + " …"

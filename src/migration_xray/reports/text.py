"""A trace as text, for a terminal."""

from __future__ import annotations

from migration_xray.trace import Trace

from .content import (
    LEFT,
    SIGNS,
    figures,
    heading,
    leftover,
    noteworthy,
    other_waits,
    sentence,
    shown,
    title,
    verdicts,
    wait_for,
    worth_telling,
)


def as_text(trace: Trace) -> str:
    """The report as lines of text, without a newline at the end."""
    told = worth_telling(trace)
    lines = [title(trace, told)]
    for transaction in told:
        lines += ["", heading(transaction, trace)]
        lines += [
            f"  {SIGNS[held.blocks]} {sentence(held, wait_for(transaction, held))}" for held in noteworthy(transaction)
        ]
        lines += [f"  {waits}" for waits in other_waits(transaction)]
        for statement, locks, times in shown(transaction):
            lines.append(f"  {statement.in_short}")
            lines += [f"      {note}" for note in [*verdicts(statement, locks, times), figures(statement)]]
    if trace.leftovers:
        lines += ["", LEFT, *(f"  {leftover(one)}" for one in trace.leftovers)]
    return "\n".join(lines)

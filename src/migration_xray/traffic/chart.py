"""The picture of what traffic felt: latency over time, a row for each statement of the migration, and every error.

Told apart by marker and by place, and by colour only besides: it reads in grey as well. The scale of the latency is the
same in every picture, so that two can be laid side by side.
"""

from __future__ import annotations

import io
import logging
import statistics
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ContextDecorator, contextmanager
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from migration_xray.errors import UserError, needing
from migration_xray.trace import shape
from migration_xray.words import FLOWING, listed, milliseconds, words_below

from .felt import NOUNS, Band, Felt, Sample

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.typing import RcKeyType

# Inches
WIDTH, LEFT, RIGHT, TOP, AXIS = 8.6, 0.85, 0.55, 0.36, 0.42
ROW, LATENCY, GAP, KEY = 0.235, 2.5, 0.07, 0.19
LETTER = 8 * 0.602 / 72  # of the monospace font at 8 points

LEAST = 0.05  # ms, below which no latency is drawn
LENGTH = 60  # of a statement's label, in letters
ROWS = 8  # of statements, and of kinds of errors, at most: the longest
DPI = 110
SHADES = 64  # of the PNG's palette: a notebook holds several pictures

# Okabe and Ito's colours; a kind's marker tells it without.
COLOURS = {"read": "#0072B2", "write": "#D55E00", "insert": "#009E73"}
MARKERS = {"read": "o", "write": "^", "insert": "s"}
SIZES = {"read": 9, "write": 20, "insert": 13}
INK, GREY, PALE = "#222222", "#6A6A6A", "#D4D4D4"

STYLE: dict[RcKeyType, object] = {
    "font.size": 8,
    "text.hinting": "none",
    "text.parse_math": False,
    "svg.hashsalt": "traffic",
}
SCALE = {0.1: "0.1 ms", 1: "1 ms", 10: "10 ms", 100: "100 ms", 1_000: "1 s", 10_000: "10 s", 100_000: "100 s"}


class Row(NamedTuple):
    """A row of the migration's panel: a statement, and each time that it was sent, as of a batch."""

    sql: str
    bands: list[Band]

    @property
    def ms(self) -> float:
        return sum(band.ms for band in self.bands)

    @property
    def remarks(self) -> str:
        waited = sum(band.waited_ms for band in self.bands)
        parts = [
            f"×{len(self.bands):,}" if len(self.bands) > 1 else "",
            _ms(self.ms),
            f"(waited {waited:,.0f})" if waited >= 1 else "",
            "failed" if any(band.failed for band in self.bands) else "",
        ]
        return " ".join(filter(None, parts))


def rows(felt: Felt) -> list[Row]:
    """The statements of the migration, in the order in which each was first sent; the batches of a backfill are one."""
    sent: dict[str, list[Band]] = {}
    for band in felt.bands:
        sent.setdefault(_short(shape(band.sql), LENGTH), []).append(band)
    return [Row(_short(bands[0].sql, LENGTH), bands) for bands in sent.values()]


def longest(felt: Felt) -> list[Row]:
    """Of many rows those that took the longest, in the same order."""
    every = rows(felt)
    kept = sorted(range(len(every)), key=lambda index: -every[index].ms)[:ROWS]
    return [every[index] for index in sorted(kept)]


def alt(felt: Felt) -> str:
    """The picture in words. Numbers that differ from run to run have the form ``12 ms``."""
    times = [
        f"{kind}s took {_ms(statistics.median(felt.times(kind)))} at the median and {_ms(max(felt.times(kind)))} at worst"
        for kind in NOUNS
        if felt.times(kind)
    ]
    errors = [f"{error.sqlstate}{f' by {error.app}' if error.app else ''}" for error in felt.refusals]
    statements = [f"{row.sql} ({_ms(row.ms)})" for row in rows(felt)]
    return " ".join(
        [
            f"Chart of what {_crew(felt)} on {felt.table} felt: {', '.join(times) or 'nothing was answered'}.",
            f"Errors: {', '.join(errors)}." if errors else "No errors.",
            f"Meanwhile the migration ran {listed(_few(statements))}."
            if statements
            else "No migration was seen meanwhile.",
        ]
    )


def bundle(felt: Felt) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a notebook shows: data and metadata by MIME type.

    JupyterLab gives an image no alt text, so that its words stand in the caption too; others take the metadata's.
    """
    words = alt(felt)
    return {"image/png": png(felt), "text/plain": words}, {"image/png": {"alt": words}}


def caption(felt: Felt) -> dict[str, str]:
    """The line under the picture and, in a notebook, the picture in words, to be unfolded; data by MIME type."""
    line = f'<pre style="{FLOWING}">{escape(str(felt))}</pre>'  # in which a $ of SQL begins no formula
    return {"text/plain": str(felt), "text/html": line + words_below("chart", alt(felt), FLOWING)}


def _drawing() -> ContextDecorator:
    return needing("A chart", 'pip install "migration-xray[chart]"')


@_drawing()
def png(felt: Felt) -> bytes:
    """The picture as PNG, with few colours and so in few bytes."""
    from PIL import Image, PngImagePlugin

    drawn, small = io.BytesIO(), io.BytesIO()
    with _style():
        draw(felt).savefig(drawn, format="png", dpi=DPI)
    description = PngImagePlugin.PngInfo()
    description.add_itxt("Description", alt(felt))
    Image.open(drawn).convert("RGB").quantize(SHADES).save(small, "PNG", optimize=True, pnginfo=description)
    return small.getvalue()


@_drawing()
def examine(path: Path) -> None:
    """Raise UserError where :func:`save` would not get this far, before anything has been measured for the picture."""
    if path.suffix.lower() not in (".png", ".svg"):
        raise UserError(f"{path} is to be a picture: end its name with .png or .svg.")
    if not path.absolute().parent.is_dir():
        raise UserError(
            f"The chart can't be saved: there is no folder {path.absolute().parent}. Make it, or name another."
        )
    import matplotlib  # noqa: F401
    import PIL  # noqa: F401


def save(felt: Felt, path: Path) -> None:
    """Write the picture to a file, ``*.png`` or ``*.svg``."""
    examine(path)
    if path.suffix.lower() == ".png":
        path.write_bytes(png(felt))
    else:
        with _style():
            draw(felt).savefig(path, format="svg", metadata={"Description": alt(felt), "Date": None})


@contextmanager
def _style() -> Iterator[None]:
    """Matplotlib's own defaults for a while, whatever the notebook has set, and no word about fonts."""
    log = logging.getLogger("matplotlib")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        import matplotlib

        with matplotlib.rc_context(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing from font")
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(STYLE)
            yield
    finally:
        log.setLevel(level)


@_drawing()
def draw(felt: Felt) -> Figure:
    """The picture as a figure of its own, unknown to pyplot."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    counts = [(_migration, len(longest(felt))), (_errors, len(felt.refusals[:ROWS]))]
    panels: list[tuple[Callable[[Axes, Felt], None], float]] = [
        *((panel, count * ROW + 2 * GAP) for panel, count in counts if count),
        (_latency, LATENCY),
    ]
    height = TOP + sum(tall + GAP for _, tall in panels) - GAP + AXIS + KEY * len(_keys(felt))
    figure = Figure(figsize=(WIDTH, height), facecolor="white")
    FigureCanvasAgg(figure)
    top = height - TOP
    for panel, tall in panels:
        axes = figure.add_axes((LEFT / WIDTH, (top - tall) / height, (WIDTH - LEFT - RIGHT) / WIDTH, tall / height))
        axes.set_xlim(0, felt.seconds)
        axes.set_xticks([])
        axes.tick_params(length=0, colors=GREY)
        for spine in axes.spines.values():
            spine.set_visible(False)
        panel(axes, felt)
        top -= tall + GAP
    title = f"{felt.table}: what {_crew(felt)} felt, each at {felt.rate} statements a second"
    figure.text(LEFT / WIDTH, 1 - 0.2 / height, title, size=9, weight="bold", color=INK, va="center")
    for line, handles in enumerate(reversed(_keys(felt))):
        figure.legend(
            handles=handles,
            loc="lower left",
            bbox_to_anchor=((LEFT - 0.12) / WIDTH, (KEY * line - 0.03) / height),
            ncols=len(handles),
            frameon=False,
            labelcolor=INK,
            handletextpad=0.4,
            handlelength=1.5,
            columnspacing=1.5,
        )
    return figure


def _migration(axes: Axes, felt: Felt) -> None:
    from matplotlib.patheffects import withStroke

    shown = longest(felt)
    halo = [withStroke(linewidth=2, foreground="#F6F6F6")]
    _rows(axes, [], len(shown))
    axes.set_yticks([(len(shown) - 1) / 2], ["migration"])
    letters = (WIDTH - LEFT - RIGHT) / LETTER / felt.seconds  # in a second of the axis
    for y, row in enumerate(shown):
        for band in _joined(row.bands, felt.seconds):
            running = min(band.at + band.waited_ms / 1000, band.end)
            edge: dict[str, Any] = {"edgecolor": GREY, "lw": 0.8, "height": 0.62}
            axes.barh(y, running - band.at, left=band.at, facecolor="white", ls=(0, (2, 1.5)), **edge)
            axes.barh(
                y, band.end - running, left=running, facecolor=PALE, hatch="//////" if band.failed else None, **edge
            )
            axes.plot([band.end, band.until], [y + 0.42] * 2, color=GREY, lw=1, solid_capstyle="butt")
        start, end = row.bands[0].at, row.bands[-1].end
        before, after = int(start * letters) - 1, int((felt.seconds - end) * letters) - 1
        whole = len(f"{row.sql}  {row.remarks}")
        if after >= min(whole, before):
            x, side, room = end + 1.2 / letters, "left", after
        else:
            x, side, room = start - 1 / letters, "right", before
        if room < min(whole, len(row.remarks) + 16):  # no place beside the bars for what the statement is
            x, side, room = start + 1 / letters, "left", int((felt.seconds - start) * letters) - 2
        text = f"{_short(row.sql, room - len(row.remarks) - 2)}  {row.remarks}"
        axes.text(x, y, text, ha=side, va="center_baseline", family="DejaVu Sans Mono", color=INK, path_effects=halo)


def _errors(axes: Axes, felt: Felt) -> None:
    shown = felt.refusals[:ROWS]
    names = [" ".join(filter(None, [refusal.app and refusal.app[:6], refusal.sqlstate])) for refusal in shown]
    _rows(axes, names, len(shown))
    _shade(axes, felt)
    for y, refusal in enumerate(shown):
        axes.text(1.01, y, f"×{refusal.times:,}", transform=axes.get_yaxis_transform(), va="center_baseline", color=INK)
        for offset, (kind, colour) in zip((-0.2, 0, 0.2), COLOURS.items(), strict=True):
            of_kind = [
                sample for sample in felt.samples if (sample.app, sample.error, sample.kind) == (*refusal[:2], kind)
            ]
            at = [sample.at + sample.ms / 1000 for sample in of_kind]
            axes.scatter(at, [y + offset] * len(at), marker="x", s=9, lw=0.8, color=colour)


def _latency(axes: Axes, felt: Felt) -> None:
    from matplotlib.ticker import MaxNLocator

    worst = max((sample.ms for sample in felt.samples), default=0.0)
    ticks = [tick for tick in SCALE if tick <= 10_000 or tick <= 10 * worst]
    axes.set_yscale("log")
    axes.set_ylim(0.8 * LEAST, ticks[-1])
    axes.set_yticks(ticks, [SCALE[tick] for tick in ticks])
    axes.set_yticks([], minor=True)
    axes.grid(axis="y", color="#E4E4E4", lw=0.6)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10]))
    axes.tick_params(axis="x", length=3)
    axes.set_xlabel("seconds", color=GREY, labelpad=2)
    axes.spines["bottom"].set(visible=True, color=GREY, lw=0.8)
    _shade(axes, felt)
    for kind, app in dict.fromkeys(felt.sessions.values()):
        look, above = _look(felt, kind, app), 3 if kind == "read" else 2
        refused = {"marker": "x", "s": 9, "lw": 0.8, "color": COLOURS[kind]}
        for failed in (True, False):
            samples = [s for s in felt.samples if (s.kind, s.app, s.error is not None) == (kind, app, failed)]
            latencies = [max(sample.ms, LEAST) for sample in samples]
            axes.scatter([s.at for s in samples], latencies, zorder=above, **(refused if failed else look))
    _tell_worst(axes, felt)


def _look(felt: Felt, kind: str, app: str | None) -> dict[str, Any]:
    """A marker: its form and colour are the kind's, and it is full for the first version of the application."""
    first = next(iter(felt.sessions.values()))[1]
    return {
        "marker": MARKERS[kind],
        "s": SIZES[kind],
        "lw": 0.7,
        "facecolor": COLOURS[kind] if app == first else "white",
        "edgecolor": COLOURS[kind],
        "label": f"{kind} ({app})" if app else kind,
    }


def _keys(felt: Felt) -> list[list[Artist]]:
    """The legend's lines: what stands for the application's statements, and what for the rest."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    def marker(kind: str, app: str | None) -> Line2D:
        look = _look(felt, kind, app)
        edge = {"markeredgecolor": look["edgecolor"], "markeredgewidth": look["lw"], "markersize": look["s"] ** 0.5}
        return Line2D(
            [], [], ls="", marker=look["marker"], markerfacecolor=look["facecolor"], label=look["label"], **edge
        )

    markers: list[Artist] = [marker(*session) for session in dict.fromkeys(felt.sessions.values())]
    rest: list[Artist] = []
    if felt.refusals:
        rest.append(Line2D([], [], ls="", marker="x", markersize=4, markeredgewidth=0.8, color=INK, label="error"))
    if felt.bands:
        rest.append(Patch(facecolor=PALE, edgecolor=GREY, lw=0.8, label="a statement of the migration"))
    if any(band.waited_ms >= 1 for band in felt.bands):
        rest.append(Patch(facecolor="white", edgecolor=GREY, lw=0.8, ls=(0, (2, 1.5)), label="it waits for a lock"))
    if any(band.until - band.end > 0.002 for band in felt.bands):
        rest.append(Line2D([], [], color=GREY, lw=1, label="its transaction is still open"))
    return [*(markers[index : index + 6] for index in range(0, len(markers), 6)), *([rest] if rest else [])]


def _tell_worst(axes: Axes, felt: Felt) -> None:
    """Say how long the longest read and the longest write took, beside their points and not over one another."""
    from matplotlib.patheffects import withStroke

    kinds = (["read"], ["write", "insert"])
    worst = [max((s for s in felt.samples if s.kind in kind), key=lambda s: s.ms, default=None) for kind in kinds]
    told: Sample | None = None
    for sample in sorted(filter(None, worst), key=lambda sample: sample.ms):
        late = sample.at > 0.85 * felt.seconds
        close = told and abs(told.at - sample.at) < 0.2 * felt.seconds and sample.ms < 3 * told.ms
        axes.annotate(
            f"{sample.kind} {_ms(sample.ms)}",
            (sample.at, sample.ms),
            xytext=(-5 if late else 5, 15 if close else 5),
            textcoords="offset points",
            ha="right" if late else "left",
            weight="bold",
            color=COLOURS[sample.kind],
            zorder=5,
            path_effects=[withStroke(linewidth=2.5, foreground="white")],
        )
        told = sample


def _rows(axes: Axes, names: list[str], count: int) -> None:
    axes.set_ylim(count - 0.5 + GAP / ROW, -0.5 - GAP / ROW)
    axes.set_facecolor("#F6F6F6")
    axes.set_yticks(range(len(names)), names, family="DejaVu Sans Mono", color=INK)


def _shade(axes: Axes, felt: Felt) -> None:
    for row in rows(felt):
        for band in _joined(row.bands, felt.seconds):
            axes.axvspan(band.at, band.end, facecolor=PALE, alpha=0.5, lw=0, zorder=0.4)
            axes.axvline(band.at, color=GREY, lw=0.5, ls=(0, (1, 2)), zorder=0.5)


def _joined(bands: list[Band], seconds: float) -> list[Band]:
    """Batches that follow one another too closely to be told apart, as one; so close is a hundredth of the axis."""
    close = seconds / 100
    joined: list[Band] = []
    for band in bands:
        last = joined[-1] if joined else None
        is_whole = band.failed or band.waited_ms / 1000 >= close
        if last is None or last.failed or is_whole or band.at - last.end >= close:
            joined.append(band)
        else:
            joined[-1] = last._replace(ms=(band.end - last.at) * 1000, until=max(last.until, band.until))
    return joined


def _crew(felt: Felt) -> str:
    counts = Counter(kind for kind, _ in felt.sessions.values())
    return listed([f"{counts[kind]} {noun}{'s' * (counts[kind] > 1)}" for kind, noun in NOUNS.items() if counts[kind]])


def _short(sql: str, length: int) -> str:
    words = " ".join(sql.split())
    return words if len(words) <= length else words[: max(length - 2, 0)].rstrip() + " …"


def _ms(ms: float) -> str:
    return milliseconds(max(ms, 1))  # a statement took some time


def _few(parts: list[str]) -> list[str]:
    return parts if len(parts) <= ROWS else [*parts[:ROWS], "others"]

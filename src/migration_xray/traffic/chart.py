"""The picture of what traffic felt: latency over time, a row for each statement of the migration, and every error.

Told apart by marker and by place, and by colour only besides: it reads in grey as well. The scale of the latency is the
same in every picture, so that two can be compared, unless a statement took longer than ten seconds.
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
from migration_xray.markup import FLOWING, image, words_below
from migration_xray.trace import shape
from migration_xray.words import listed, milliseconds

from .felt import NOUNS, Band, Felt, Sample

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.typing import RcKeyType

# Inches
WIDTH, LEFT, RIGHT, TOP, AXIS = 8.6, 0.95, 0.55, 0.36, 0.42
STATEMENT, ERROR, LATENCY, GAP, KEY = 0.36, 0.235, 2.6, 0.07, 0.19
LETTER = 8 * 0.602 / 72  # of the monospace font at 8 points

LEAST = 0.05  # ms, below which no latency is drawn
LENGTH = 60  # of a statement in its label, in letters
ROWS = 8  # of statements, and of kinds of errors, at most: the longest
DPI = 110
SHADES = 64  # of the PNG's palette: a notebook holds several pictures

# Okabe and Ito's colours; a kind's marker tells it without. Letters are darker: they have a contrast of 4.5 or more on
# white and on the grey of a band. https://www.w3.org/TR/WCAG22/#contrast-minimum
COLOURS = {"read": "#0072B2", "write": "#D55E00", "insert": "#009E73"}
LETTERS = {"read": "#005B8F", "write": "#9A4400", "insert": "#00694D"}
MARKERS = {"read": "o", "write": "^", "insert": "s"}
# Fewer sessions write: their marks are above the readers', and smaller, so that neither hides the other.
SIZES = {"read": 18, "write": 12, "insert": 8}
ABOVE = {"read": 2, "write": 3, "insert": 4}
HATCH = "//////"
HEADROOM = 4  # above the highest tick, for the label of the longest statement
INK, GREY, PALE = "#222222", "#666666", "#D4D4D4"

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
    def was_tried_again(self) -> bool:
        """Whether it was sent until the server took it, as after a lock timeout."""
        *tries, last = (band.failed for band in self.bands)
        return bool(tries) and all(tries) and not last

    @property
    def remarks(self) -> str:
        waited, times = sum(band.waited_ms for band in self.bands), len(self.bands)
        parts = [
            f"×{times:,} " * (times > 1 and not self.was_tried_again) + _ms(self.ms),
            f"waited {_ms(waited)}" if waited >= 1 else "",
            f"{times} tries, the last one went through" if self.was_tried_again else self.failures,
        ]
        return ", ".join(filter(None, parts))

    @property
    def failures(self) -> str:
        """How many were refused; nothing where none was."""
        failed = [band for band in self.bands if band.failed]
        if not failed or len(self.bands) == 1:
            return "failed" if failed else ""
        return "all failed" if len(failed) == len(self.bands) else f"{len(failed)} of them failed"

    @property
    def words(self) -> str:
        """The row in the picture's words: how often a statement was sent differs from run to run."""
        tried = f", tried ×{len(self.bands)} until it went through" if self.was_tried_again else ""
        return f"{self.sql} ({_ms(self.ms)}{tried})"


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
    statements = [row.words for row in rows(felt)]
    return " ".join(
        [
            f"Chart of what {_crew(felt)} on {felt.table} felt: {', '.join(times) or 'nothing was answered'}.",
            f"Errors: {', '.join(errors)}." if errors else "No errors.",
            f"Meanwhile the migration ran {listed(_few(statements))}."
            if statements
            else "No migration was seen meanwhile.",
        ]
    )


def bundle(felt: Felt) -> dict[str, str]:
    """What a notebook shows: the picture, and its words where there are no pictures; by MIME type."""
    words = alt(felt)
    return {"text/plain": words, "text/html": image(png(felt), words)}


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

    heights = [
        (_migration, len(longest(felt)) * STATEMENT),
        (_errors, len(felt.refusals[:ROWS]) * ERROR),
    ]
    panels: list[tuple[Callable[[Axes, Felt], None], float]] = [
        *((panel, tall + 2 * GAP) for panel, tall in heights if tall),
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
    """A row for each statement: its label, and below it a bar for each time that it was sent."""
    shown = longest(felt)
    _rows(axes, [], len(shown), STATEMENT)
    more = len(rows(felt)) - len(shown)
    axes.set_yticks([(len(shown) - 1) / 2], ["migration" + f"\n(and {more}\nshorter)" * (more > 0)])
    edge: dict[str, Any] = {"edgecolor": GREY, "lw": 0.8, "height": 0.36}
    for y, row in enumerate(shown):
        for band in _joined(row.bands, felt.seconds):
            running = min(band.at + band.waited_ms / 1000, band.end)
            axes.barh(y + 0.18, running - band.at, left=band.at, facecolor="white", ls=(0, (2, 1.5)), **edge)
            hatch = HATCH if band.failed else None
            axes.barh(y + 0.18, band.end - running, left=running, facecolor=PALE, hatch=hatch, **edge)
            axes.plot([band.end, band.until], [y + 0.44] * 2, color=GREY, lw=1, solid_capstyle="butt")
        room = int((WIDTH - LEFT - RIGHT) / LETTER) - 1
        text = f"{_short(row.sql, room - len(row.remarks) - 2)}  {row.remarks}"
        # It begins where the first bar does, or as far before that as it needs.
        x = min(row.bands[0].at / felt.seconds, 1 - (len(text) + 1) / (room + 1))
        axes.text(
            max(x, 0.5 / room),
            y - 0.22,
            text,
            transform=axes.get_yaxis_transform(),
            va="center_baseline",
            family="DejaVu Sans Mono",
            color=INK,
        )


def _errors(axes: Axes, felt: Felt) -> None:
    shown = felt.refusals[:ROWS]
    names = [" ".join(filter(None, [refusal.app and refusal.app[:6], refusal.sqlstate])) for refusal in shown]
    _rows(axes, names, len(shown), ERROR)
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
    axes.set_ylim(0.8 * LEAST, HEADROOM * ticks[-1])
    axes.set_ylabel("time of a statement (log scale)", color=GREY)
    axes.yaxis.set_label_coords(-0.72 / (WIDTH - LEFT - RIGHT), 0.5)
    axes.set_yticks(ticks, [SCALE[tick] for tick in ticks])
    axes.set_yticks([], minor=True)
    axes.grid(axis="y", color="#E4E4E4", lw=0.6)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 5, 10]))
    axes.tick_params(axis="x", length=3)
    axes.set_xlabel("seconds", color=GREY, labelpad=2)
    axes.spines["bottom"].set(visible=True, color=GREY, lw=0.8)
    _shade(axes, felt)
    for kind, app in dict.fromkeys(felt.sessions.values()):
        crossed = {"s": 9, "lw": 0.8, "color": COLOURS[kind]}
        looks = {
            "answer": _look(felt, kind, app),
            "error": {"marker": "x", **crossed},
            "none": {"marker": "+", **crossed},
        }
        for outcome, look in looks.items():
            samples = [s for s in felt.samples if (s.kind, s.app, _outcome(s)) == (kind, app, outcome)]
            latencies = [max(sample.ms, LEAST) for sample in samples]
            axes.scatter([s.at for s in samples], latencies, zorder=ABOVE[kind], **look)
    _tell_worst(axes, felt)


def _outcome(sample: Sample) -> str:
    return "none" if not sample.answered else "error" if sample.error else "answer"


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

    def crossed(marker: str, label: str) -> Line2D:
        return Line2D([], [], ls="", marker=marker, markersize=4, markeredgewidth=0.8, color=INK, label=label)

    markers: list[Artist] = [marker(*session) for session in dict.fromkeys(felt.sessions.values())]
    if felt.refusals:
        markers.append(crossed("x", "error"))
    if any(not sample.answered for sample in felt.samples):
        markers.append(crossed("+", "still waiting at the end"))
    rest: list[Artist] = []
    if felt.bands:
        rest.append(Patch(facecolor=PALE, edgecolor=GREY, lw=0.8, label="a statement of the migration"))
    if any(band.waited_ms >= 1 for band in felt.bands):
        rest.append(Patch(facecolor="white", edgecolor=GREY, lw=0.8, ls=(0, (2, 1.5)), label="it waits for a lock"))
    if any(band.failed for band in felt.bands):
        rest.append(Patch(facecolor=PALE, edgecolor=GREY, lw=0.8, hatch=HATCH, label="it fails"))
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
            f"{sample.kind} {_ms(sample.ms)}{'' if sample.answered else ', still waiting'}",
            (sample.at, sample.ms),
            xytext=(-5 if late else 5, 15 if close else 5),
            textcoords="offset points",
            ha="right" if late else "left",
            weight="bold",
            color=LETTERS[sample.kind],
            zorder=5,
            path_effects=[withStroke(linewidth=2.5, foreground="white")],
        )
        told = sample


def _rows(axes: Axes, names: list[str], count: int, tall: float) -> None:
    axes.set_ylim(count - 0.5 + GAP / tall, -0.5 - GAP / tall)
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

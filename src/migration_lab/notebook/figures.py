"""A figure of matplotlib as a notebook shows it: with an alternative text, which is made of what is drawn in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from IPython.core.pylabtools import print_figure

from migration_xray.markup import FLOWING, image, words_below

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.container import BarContainer
    from matplotlib.figure import Figure


def bundle(figure: Figure) -> dict[str, str]:
    """A figure's picture and its words, by MIME type; nothing where nothing is drawn."""
    png = print_figure(figure, "png")
    if png is None:
        return {}
    words = alt(figure)
    return {"text/plain": words, "text/html": image(png, words) + words_below("chart", words, FLOWING)}


def alt(figure: Figure) -> str:
    """The titles of a figure, and of each part of it the titles, the axes' labels, and what bars, lines and points show."""
    sentences = [figure.get_suptitle(), *(one for axes in figure.axes for one in _told(axes))]
    return " ".join(["Chart.", *(f"{one}." for one in sentences if one)])


def _told(axes: Axes) -> Iterator[str]:
    yield from (axes.get_title(place) for place in ("left", "center", "right"))
    for name, label in (("Across", axes.get_xlabel()), ("Upwards", axes.get_ylabel())):
        yield f"{name}: {label}" if label else ""
    from matplotlib.container import BarContainer

    bars = [one for one in axes.containers if isinstance(one, BarContainer)]
    yield from (_bars(axes, one) for one in bars)
    for line in axes.lines:
        if heights := list(cast("list[float]", line.get_ydata(orig=False))):
            first, last, least, most = map(_number, (heights[0], heights[-1], min(heights), max(heights)))
            name = _name("Line", line.get_label())
            yield f"{name}: {len(heights)} points, from {first} to {last}, between {least} and {most}"
    for points in axes.collections:
        if count := len(cast("list[object]", points.get_offsets())):
            yield f"{_name('Points', points.get_label())}: {count}"
    if not bars:
        yield ", ".join(filter(None, (text.get_text() for text in axes.texts)))


def _bars(axes: Axes, bars: BarContainer) -> str:
    """Each bar's label on the axis and its length, from left to right or from the top."""
    upright = bars.orientation == "vertical"
    axis = axes.xaxis if upright else axes.yaxis
    told, lengths = [], cast("list[float]", bars.datavalues)
    for bar, value in zip(bars, lengths, strict=True):
        at = bar.get_x() + bar.get_width() / 2 if upright else bar.get_y() + bar.get_height() / 2
        told.append((at, f"{_label(axis, at)} {_number(value)}"))
    downwards = not upright and not axis.get_inverted()
    return f"{_name('Bars', bars.get_label())}: {', '.join(words for _, words in sorted(told, reverse=downwards))}"


def _label(axis: Axis, at: float) -> str:
    """The name below a bar, or below the group of bars that it belongs to; on an axis of numbers, where it is."""
    from matplotlib.ticker import ScalarFormatter

    if isinstance(axis.get_major_formatter(), ScalarFormatter):
        return _number(at)
    ticks = zip(axis.get_majorticklocs(), axis.get_majorticklabels(), strict=True)
    return min(ticks, key=lambda tick: abs(tick[0] - at))[1].get_text()


def _name(kind: str, label: object) -> str:
    """matplotlib gives what has no label one that begins with an underscore."""
    return kind if not label or str(label).startswith("_") else f"{kind} “{label}”"


def _number(value: float) -> str:
    return f"{value:.4g}"

"""The pictures of a quality page as SVG text: spectra, stacked channels, one component.

Colours are classes of :mod:`eegpipe.clean.page_style`. Curves are written as whole steps of a view box that the browser
stretches, which is short and fast: sixty channels of twenty seconds twice take a tenth of a second.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from html import escape

import numpy as np

from eegpipe import svg
from eegpipe.clean import topomap

# A channel's share of the stack's height, in CSS pixels (wider with few channels) and in steps of its view box.
_LANE_PX = (15, 40)
_STACK_PX = 640
_LANE_STEPS = 48
# A channel may leave its lane by this many lanes, and a bad one by fewer; more would hide the others.
MOST_LANES, MOST_LANES_BAD = 3, 1
_COLUMNS = 480
# Curves below this share of the strongest power are noise of the arithmetic, decibel.
_SHOWN_DB = 62.0
# Inside a symbol that is used elsewhere, style sheets reach less far than attributes.
_CROSS = "#d0104c"
_RULED_HZ = (0.5, 1, 2, 5, 10, 20, 50, 100)
CLASSES = ("brain", "eye", "muscle", "heart", "line", "channel", "other")


# -- curves ------------------------------------------------------------------------------------------------------------


def _path(x: np.ndarray, y: np.ndarray, style: str, hint: str = "") -> str:
    """A curve through whole numbers, (n,) each."""
    points = np.column_stack([x, y])
    steps = " ".join(map(str, np.diff(points, axis=0).ravel().tolist())).replace(" -", "-")
    title = f"<title>{escape(hint)}</title>" if hint else ""
    return f'<path class="{style}" d="M{points[0, 0]} {points[0, 1]}l{steps}">{title}</path>'


def _columns(data: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """x (point,), y (channel, point): the lowest and highest of each stretch, so that no spike is lost."""
    channels, samples = data.shape
    length = max(1, -(-samples // most))
    if length <= 2:
        return np.arange(samples) * 2 // length, data
    count = samples // length
    pieces = data[:, : count * length].reshape(channels, count, length)
    ends = np.sort(np.stack([pieces.argmin(axis=2), pieces.argmax(axis=2)], axis=2), axis=2)
    return np.arange(2 * count), np.take_along_axis(pieces, ends, axis=2).reshape(channels, 2 * count)


def _nice(value: float) -> float:
    """The next round number from ``value`` upwards."""
    power = 10.0 ** np.floor(np.log10(max(value, 1e-6)))
    return float(
        next(factor * power for factor in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if factor * power >= value * (1 - 1e-9))
    )


# -- stacked channels --------------------------------------------------------------------------------------------------


def lane_uv(after_uv: np.ndarray) -> float:
    """Microvolt between two neighbouring channels of the stack: four deviations of the median channel, rounded up."""
    return max(1.0, _nice(4 * float(np.median(np.nan_to_num(after_uv).std(axis=1)))))


def stacked(
    before_uv: np.ndarray,
    after_uv: np.ndarray,
    names: Sequence[str],
    bad: Collection[str],
    start_s: float,
    rate_hz: float,
) -> str:
    """Channels below each other, before cleaning behind, after in front; names stay in view when pushed aside."""
    channels, samples = before_uv.shape
    lane, lane_px = lane_uv(after_uv), min(max(_STACK_PX // channels, _LANE_PX[0]), _LANE_PX[1])
    most = max(200, min(_COLUMNS, _COLUMNS * 64 // channels))
    height, middles = channels * _LANE_STEPS, (np.arange(channels) + 0.5) * _LANE_STEPS
    most_lanes = np.array([[MOST_LANES_BAD if name in bad else MOST_LANES] for name in names], dtype=np.float64)
    curves = []
    for data, style in ((before_uv, "before"), (after_uv, "after")):
        known = np.nan_to_num(np.asarray(data, dtype=np.float64))
        x, y = _columns((known - np.median(known, axis=1, keepdims=True)) / lane, most)
        lanes = np.rint(middles[:, np.newaxis] - np.clip(y, -most_lanes, most_lanes) * _LANE_STEPS).astype(int)
        curves.append([_path(x, one, style, name) for one, name in zip(lanes, names, strict=True)])
    width = int(x[-1]) + 1
    duration_s = samples / rate_hz
    seconds = svg.Scale(start_s, start_s + duration_s, 0, 100).ticks(10)
    rules = "".join(
        f'<path class="grid" d="M{(tick - start_s) / duration_s * width:.0f} 0v{height}"/>' for tick in seconds
    )
    labels = "".join(_time_label(tick, (tick - start_s) / duration_s) for tick in seconds)
    named = "".join(
        f'<text class="{"odd-text" if name in bad else "name"}" x="46" y="{(number + 0.5) * lane_px + 4:g}" '
        f'text-anchor="end">{escape(name)}</text>'
        for number, name in enumerate(names)
    )
    tall = channels * lane_px
    label = f"{duration_s:g} seconds of {channels} channels before and after cleaning."
    return (
        '<div class="scroll lanes" tabindex="0" role="region" aria-label="Signal before and after cleaning">'
        f'<svg class="names" viewBox="0 {-2 * lane_px} 50 {tall + 4 * lane_px}" width="50" '
        f'height="{tall + 4 * lane_px}" aria-hidden="true">{named}</svg>'
        f'<div class="course"><svg viewBox="0 {-2 * _LANE_STEPS} {width} {height + 4 * _LANE_STEPS}" '
        f'preserveAspectRatio="none" style="height:{tall + 4 * lane_px}px" role="img" aria-label="{escape(label)}">'
        f"{rules}<g>{''.join(curves[0])}</g><g>{''.join(curves[1])}</g></svg>"
        f'<div class="ticks">{labels}</div></div></div>'
    )


def _time_label(second: float, share: float) -> str:
    """Under its rule; at the ends inside the picture."""
    side = ' class="first"' if share < 0.02 else ' class="last"' if share > 0.98 else ""
    return f'<span{side} style="left:{share:.2%}">{second:g} s</span>'


# -- spectra -----------------------------------------------------------------------------------------------------------


def spectrum_range(*powers: np.ndarray) -> tuple[float, float]:
    """Lowest and highest decibel that pictures of these spectra share."""
    shown = np.concatenate([_decibel(power).ravel() for power in powers])
    high = float(shown.max()) + 2
    return max(float(shown.min()), high - _SHOWN_DB) - 1, high


def _decibel(power: np.ndarray) -> np.ndarray:
    return 10 * np.log10(np.maximum(np.nan_to_num(np.asarray(power, dtype=np.float64)), 1e-12))


def spectra(
    frequencies_hz: np.ndarray,
    power: np.ndarray,
    names: Sequence[str],
    bad: Collection[str],
    range_db: tuple[float, float],
    when: str,
) -> str:
    """Every channel faint, the median of the good ones strong, bad ones marked and named. No frequency may be 0."""
    width, bottom, left, top = 400.0, 216.0, 40.0, 8.0
    x = svg.Scale(float(np.log10(frequencies_hz[0])), float(np.log10(frequencies_hz[-1])), left, width - 14)
    y = svg.Scale(range_db[0], range_db[1], bottom, top)
    parts = _frequency_rules(frequencies_hz, x, top, bottom)
    for tick in y.ticks(5):
        parts.append(svg.line(left, y(tick), width - 14, y(tick), style="grid"))
        parts.append(svg.text(left - 5, y(tick) + 4, f"{tick:g}".replace("-", "−"), style="small", anchor="end"))
    across = np.rint((x.start + (np.log10(frequencies_hz) - x.low) / (x.high - x.low) * (x.end - x.start)) * 10)
    shown = np.clip(_decibel(power), range_db[0], range_db[1])
    down = np.rint((y.start + (shown - y.low) / (y.high - y.low) * (y.end - y.start)) * 10).astype(int)
    steps = across.astype(int)
    drawn = list(zip(names, down, strict=True))
    curves = [_path(steps, one, "faint", name) for name, one in drawn if name not in bad]
    curves += [_path(steps, one, "bad", name) for name, one in drawn if name in bad]
    sound = [one for name, one in drawn if name not in bad]
    if sound:
        curves.append(_path(steps, np.rint(np.median(sound, axis=0)).astype(int), f"median {when}", "median"))
    parts.append(f'<g transform="scale(.1)">{"".join(curves)}</g>')
    parts += _named_apart([(name, float(one[-1]) / 10) for name, one in drawn if name in bad], width - 18)
    parts.append(svg.text(width - 2, bottom + 28, "Hz", style="small", anchor="end"))
    parts.append(svg.text(10, (top + bottom) / 2, "dB (µV²/Hz)", style="small", anchor="middle", turned=True))
    return svg.picture(width, bottom + 32, parts, label=f"Power spectrum of {len(names)} channels, {when} cleaning.")


def _named_apart(named: Sequence[tuple[str, float]], x: float) -> list[str]:
    """Names of curves beside their ends, moved down where they would lie on each other."""
    parts, free = [], 0.0
    for name, y in sorted(named, key=lambda one: one[1]):
        free = max(free + 12, y - 4)
        parts.append(svg.text(x, free, name, style="small odd-text", anchor="end"))
    return parts if len(named) <= 6 else []


def _frequency_rules(frequencies_hz: np.ndarray, x: svg.Scale, top: float, bottom: float) -> list[str]:
    parts = []
    for tick in _RULED_HZ:
        if frequencies_hz[0] <= tick <= frequencies_hz[-1]:
            at = x(float(np.log10(tick)))
            parts.append(svg.line(at, top, at, bottom, style="grid"))
            parts.append(svg.text(at, bottom + 14, f"{tick:g}", style="small", anchor="middle"))
    return parts


# -- components --------------------------------------------------------------------------------------------------------


def head_symbol(seen: topomap.Scalp, good: Collection[int]) -> str:
    """What lies over every map, once for the page: outline, nose, ears, a dot an electrode, a cross a bad one."""
    marks = []
    for index, (right, forward) in enumerate(seen.places):
        x, y = 100 * right, -100 * forward
        marks.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.2"/>'
            if index in good
            else f'<path stroke="{_CROSS}" stroke-width="3" d="M{x - 5:.1f} {y - 5:.1f}l10 10m-10 0l10-10"/>'
        )
    return (
        '<svg class="store" aria-hidden="true"><symbol id="head" overflow="visible">'
        '<g class="outline" fill="none" stroke="currentColor" stroke-width="2"><circle r="100"/>'
        '<path d="M-15-99L0-121L15-99"/>'
        '<path d="M-100-22c-12-7-14 12-12 24s0 26 11 20"/><path d="M100-22c12-7 14 12 12 24s0 26-11 20"/></g>'
        f'<g style="fill:var(--dot,#111)" fill-opacity=".7">{"".join(marks)}</g></symbol></svg>'
    )


def head(image: str, reach: float, label: str) -> str:
    """One map (a data URI of :func:`eegpipe.clean.topomap.maps`; "" for the electrodes alone) under the outline."""
    edge = max(124.0, 100 * reach + 3)
    disc = 100 * reach
    picture = f'<image href="{image}" x="{-disc:g}" y="{-disc:g}" width="{2 * disc:g}" height="{2 * disc:g}"/>'
    return (
        f'<svg class="head" viewBox="{-edge:g} {-edge:g} {2 * edge:g} {2 * edge:g}" role="img" '
        f'aria-label="{escape(label)}">{picture if image else ""}<use href="#head"/></svg>'
    )


def class_bar(probabilities: Mapping[str, float]) -> str:
    """ICLabel's probabilities as one bar, in a fixed order of classes."""
    parts, start = [], 0.0
    for name in (*CLASSES, *(other for other in probabilities if other not in CLASSES)):
        share = 100 * float(probabilities.get(name, 0.0))
        if share >= 1:
            parts.append(
                f'<rect class="c-{escape(name)}" x="{start:.0f}" width="{share:.0f}" height="5">'
                f"<title>{escape(name)} {share / 100:.2f}</title></rect>"
            )
        start += share
    return f'<svg class="bar" viewBox="0 0 100 5" preserveAspectRatio="none" aria-hidden="true">{"".join(parts)}</svg>'


def source_spectrum(frequencies_hz: np.ndarray, power: np.ndarray, label: str) -> str:
    """Power density (frequency,) of one source over a logarithmic axis, its own scale of decibel."""
    width, bottom, left, top = 240.0, 100.0, 6.0, 6.0
    x = svg.Scale(float(np.log10(frequencies_hz[0])), float(np.log10(frequencies_hz[-1])), left, width - 10)
    shown = _decibel(power)
    low, high = max(float(shown.min()), float(shown.max()) - 45), float(shown.max())
    across = np.rint((x.start + (np.log10(frequencies_hz) - x.low) / (x.high - x.low) * (x.end - x.start)) * 10)
    down = np.rint((bottom - (np.maximum(shown, low) - low) / max(high - low, 1.0) * (bottom - top)) * 10)
    curve = _path(across.astype(int), down.astype(int), "source")
    parts = [*_frequency_rules(frequencies_hz, x, top, bottom), f'<g transform="scale(.1)">{curve}</g>']
    parts.append(svg.text(width, bottom + 14, "Hz", style="small", anchor="end"))
    return svg.picture(width, bottom + 18, parts, label=label)


def source_course(data: np.ndarray, duration_s: float, label: str) -> str:
    """One source (sample,) over the stretch, stretched to the room there is; its own scale."""
    known = np.nan_to_num(np.asarray(data, dtype=np.float64))
    known = known - np.median(known)
    reach = max(float(np.abs(known).max(initial=0)), 1e-9)
    x, y = _columns(known[np.newaxis] / reach, _COLUMNS)
    width = int(x[-1]) + 1
    rules = "".join(
        f'<path class="grid" d="M{second / duration_s * width:.0f}-110v220"/>'
        for second in range(0, int(duration_s) + 1, 5)
    )
    curve = _path(x, np.rint(-100 * y[0]).astype(int), "source")
    return (
        f'<svg class="source-course" viewBox="0 -110 {width} 220" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(label)}">{rules}{curve}</svg>'
    )

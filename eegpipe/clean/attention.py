"""Which recording a person should look at: what its own record says, and how unlike the others of its data set it is.

Takes rows of the quality table, as text or as values. A record becomes such a row by
:func:`eegpipe.clean.stage.row_of`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# A figure this many robust standard deviations from the median of its data set stands out (Iglewicz & Hoaglin 1993).
ODD_DEVIATIONS = 3.5
# Recordings, for a median and a spread to mean something.
FEWEST = 4
_MAD_TO_DEVIATION = 1.4826
# Limits of :func:`cautions`. Blinks of which more than this share and height is left were not removed.
_BLINKS_LEFT, _LEAST_BLINK_UV = 0.5, 20.0
_MANY_BAD = 0.2
_FEW_CALM = 0.9
_ALPHA_KEPT = 0.8
_LINE_LEFT_DB = 3.0
_BY_SETTING = "switched off"  # why there was no ICA, where that is no fault of the recording


@dataclass(frozen=True)
class Figure:
    """A column of the quality table worth comparing.

    ``factor``: from the table's unit to the shown one. ``least``: a smaller distance (shown unit) is never odd, so that
    a data set of nearly equal recordings has no false alarms.
    """

    column: str
    title: str
    unit: str
    least: float
    factor: float = 1.0

    def of(self, row: Mapping[str, Any]) -> float | None:
        """In the shown unit; None where it could not be measured."""
        value = number(row, self.column)
        return None if value is None else value * self.factor


FIGURES = (
    Figure("bad_share", "Bad channels", "%", 8, 100),
    Figure("removed", "Components removed", "", 4),
    Figure("variance_kept", "Variance kept", "", 0.15),
    Figure("blink_uv_after", "Blink residue", "µV", 5),
    Figure("line_db_after", "Mains after cleaning", "dB", 6),
    Figure("alpha_peak_hz_after", "Alpha peak", "Hz", 2.5),
    Figure("amplitude_uv_after", "Amplitude after cleaning", "µV", 3),
    Figure("calm_share", "Calm seconds", "%", 8, 100),
)


def number(row: Mapping[str, Any], column: str) -> float | None:
    """A cell as a number; None for an empty one, "n/a" or a column that is not there."""
    value = row.get(column)
    if value is None or value in ("", "n/a"):
        return None
    found = float(value)
    return found if math.isfinite(found) else None


def _words(row: Mapping[str, Any], column: str) -> str:
    value = row.get(column)
    return "" if value in (None, "n/a") else str(value)


def cautions(row: Mapping[str, Any]) -> dict[str, str]:
    """What the cleaning itself says is wrong with one recording, whatever the others are like: column -> in words."""
    told = {}
    skipped = _words(row, "ica_skipped")
    if skipped and skipped != _BY_SETTING:
        told["ica_skipped"] = f"no ICA: {skipped}"
    if not skipped and _words(row, "converged").lower() == "false":
        told["converged"] = "the ICA did not converge"
    before_uv, after_uv = number(row, "blink_uv_before"), number(row, "blink_uv_after")
    if before_uv is not None and after_uv is not None and after_uv > max(_BLINKS_LEFT * before_uv, _LEAST_BLINK_UV):
        told["blink_uv_after"] = f"blinks are left: {short(after_uv)} of {short(before_uv)} µV"
    bad = number(row, "bad_share")
    if bad is not None and bad > _MANY_BAD:
        told["bad_share"] = f"{percent(bad)} of the channels are bad"
    calm = number(row, "calm_share")
    if calm is not None and calm < _FEW_CALM:
        told["calm_share"] = f"glitches in {percent(1 - calm)} of the seconds, which stay in the signal"
    alpha_before, alpha_after = number(row, "alpha_uv2_before"), number(row, "alpha_uv2_after")
    if alpha_before and alpha_after is not None and alpha_after < _ALPHA_KEPT * alpha_before:
        told["alpha_uv2_after"] = f"{percent(1 - alpha_after / alpha_before)} of the alpha power is gone"
    line_db = number(row, "line_db_after")
    if line_db is not None and line_db > _LINE_LEFT_DB:
        told["line_db_after"] = f"mains stand {short(line_db)} dB above their surroundings after cleaning"
    return told


@dataclass(frozen=True)
class Judged:
    """One row of the table beside the others.

    values, deviations
        By column of :data:`FIGURES`: in the shown unit, and robust standard deviations from the median (signed). No
        entry where it could not be measured; no deviations where fewer than :data:`FEWEST` recordings have the figure.
    reasons
        Why to look at it, the strongest first; empty if nothing asks for it.
    oddness
        For sorting: the largest deviation that stands out, plus one for each caution; infinite for a failed recording.
    """

    row: Mapping[str, str]
    failed: bool
    values: Mapping[str, float]
    deviations: Mapping[str, float]
    reasons: tuple[str, ...]
    oddness: float

    @property
    def stem(self) -> str:
        return self.row["recording"]

    def stands_out(self, column: str) -> bool:
        return abs(self.deviations.get(column, 0.0)) > ODD_DEVIATIONS


def judge(rows: Sequence[Mapping[str, str]]) -> list[Judged]:
    """Every row of a quality table, the one most in need of a look first; equally odd ones in order of the table."""
    cleaned = [row for row in rows if row["status"] == "ok"]
    centres: dict[str, tuple[float, float]] = {}
    for figure in FIGURES:
        values = np.array([value for row in cleaned if (value := figure.of(row)) is not None])
        if len(values) >= FEWEST:
            centre = float(np.median(values))
            spread = _MAD_TO_DEVIATION * float(np.median(np.abs(values - centre)))
            centres[figure.column] = (centre, max(spread, figure.least / ODD_DEVIATIONS))
    return sorted((_judged(row, centres) for row in rows), key=lambda one: -one.oddness)


def _judged(row: Mapping[str, str], centres: Mapping[str, tuple[float, float]]) -> Judged:
    if row["status"] != "ok":
        return Judged(row, True, {}, {}, (_words(row, "problem"),), math.inf)
    values: dict[str, float] = {}
    deviations: dict[str, float] = {}
    odd: dict[str, tuple[float, str]] = {}
    for figure in FIGURES:
        value = figure.of(row)
        if value is None:
            continue
        values[figure.column] = value
        if figure.column in centres:
            centre, spread = centres[figure.column]
            deviation = deviations[figure.column] = (value - centre) / spread
            if abs(deviation) > ODD_DEVIATIONS:
                unit = f" {figure.unit}" if figure.unit else ""
                name = figure.title[0].lower() + figure.title[1:]
                odd[figure.column] = (-abs(deviation), f"{name} {short(value)}{unit}, others {short(centre)}")
    told = cautions(row)
    reasons = (*(words for _, words in sorted(odd.values())), *(told[column] for column in told if column not in odd))
    oddness = max((-far for far, _ in odd.values()), default=0.0) + len(told)
    return Judged(row, False, values, deviations, reasons, oddness)


def percent(share: float, digits: int = 0) -> str:
    return f"{100 * share:.{digits}f} %"


def short(value: float) -> str:
    """Three digits, no needless ones."""
    text = f"{value:.0f}" if abs(value) >= 100 else f"{value:.2f}" if abs(value) < 1 else f"{value:.3g}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text.replace("-", "−")

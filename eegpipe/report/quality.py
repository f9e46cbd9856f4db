"""The quality table in words and dots: what is usual in a data set, and which recording is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from eegpipe.report.collect import DataSet
from eegpipe.report.figures import Strip

# A value this many robust standard deviations away from the median of its data set stands out.
ODD_DEVIATIONS = 4.0
_FEWEST = 4  # recordings, for a median and a spread to mean something
# Blinks of which more than this share and height (microvolt) is left were not removed.
_BLINKS_LEFT = 0.5
_LEAST_BLINK_UV = 20.0
NOTHING = "n/a"
_BY_SETTING = "switched off"  # why there was no ICA, where that is no fault of the recording


@dataclass(frozen=True)
class _Column:
    """``factor``: from the table's unit to the shown one. ``least``: a smaller distance (shown unit) is never odd."""

    name: str
    title: str
    unit: str
    least: float
    factor: float = 1.0


COLUMNS = (
    _Column("bad_share", "Bad channels", "%", 10, 100),
    _Column("calm_share", "Calm seconds", "%", 10, 100),
    _Column("removed", "Components removed", "count", 4),
    _Column("variance_kept", "Variance kept", "%", 10, 100),
    _Column("amplitude_uv_before", "Amplitude before cleaning", "µV", 5),
    _Column("amplitude_uv_after", "Amplitude after cleaning", "µV", 2),
    _Column("blink_uv_before", "Blink height before cleaning", "µV", 25),
    _Column("blink_uv_after", "Blink height after cleaning", "µV", 5),
    _Column("line_db_before", "Mains before cleaning", "dB", 3),
)


def strips(data_sets: Sequence[DataSet]) -> list[Strip]:
    """One picture's data for each figure that any data set has."""
    found = []
    for column in COLUMNS:
        points = {one.name: marked for one in data_sets if (marked := _marked(one, column))}
        if points:
            found.append(Strip(column.title, column.unit, points))
    return found


def _values(dataset: DataSet, column: _Column) -> list[tuple[str, float]]:
    """(recording, value in the shown unit) of every cleaned recording that has one."""
    rows = [row for row in dataset.quality or () if row["status"] == "ok"]
    known = [row for row in rows if row[column.name] != NOTHING]
    return [(row["recording"], float(row[column.name]) * column.factor) for row in known]


def _marked(dataset: DataSet, column: _Column) -> list[tuple[str, float, bool]]:
    named = _values(dataset, column)
    values = np.array([value for _, value in named])
    if len(values) < _FEWEST:
        return [(name, value, False) for name, value in named]
    distance = np.abs(values - np.median(values))
    limit = max(column.least, ODD_DEVIATIONS * 1.4826 * float(np.median(distance)))
    return [(name, value, bool(far > limit)) for (name, value), far in zip(named, distance, strict=True)]


def summary(data_sets: Sequence[DataSet]) -> tuple[list[tuple[str, str]], list[dict[str, Any]]]:
    """Column titles, and for each data set with a table its counts and (median, "lowest to highest") per column."""
    tabled = [one for one in data_sets if one.quality is not None]
    columns = [column for column in COLUMNS if any(_values(one, column) for one in tabled)]
    rows = []
    for one in tabled:
        cells = []
        for column in columns:
            values = [value for _, value in _values(one, column)]
            spread = f"{_short(min(values))} to {_short(max(values))}" if len(values) > 1 else ""
            cells.append((_short(float(np.median(values))) if values else "–", spread))
        ok = sum(row["status"] == "ok" for row in one.quality or ())
        rows.append({"name": one.name, "ok": ok, "failed": len(one.failed), "cells": cells})
    return [(column.title, column.unit) for column in columns], rows


def _short(value: float) -> str:
    text = f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return text.replace("-", "−")


def _told(row: Mapping[str, str]) -> list[str]:
    """What the cleaning itself says was wrong with a recording."""
    told = []
    if row["ica_skipped"] not in (NOTHING, _BY_SETTING):
        told.append(f"no ICA: {row['ica_skipped']}")
    elif row["ica_skipped"] == NOTHING and row["converged"] == "false":
        told.append("the ICA did not converge")
    if NOTHING not in (row["blink_uv_before"], row["blink_uv_after"]):
        before_uv, after_uv = float(row["blink_uv_before"]), float(row["blink_uv_after"])
        if after_uv > max(_BLINKS_LEFT * before_uv, _LEAST_BLINK_UV):
            told.append(f"blinks are left: {_short(after_uv)} µV of {_short(before_uv)} µV")
    return told


def suspicious(data_sets: Sequence[DataSet]) -> list[tuple[str, str, bool, str]]:
    """(data set, recording, failed, why) of every recording that a person should look at; failed ones first."""
    found = []
    for one in data_sets:
        reasons: dict[str, list[str]] = {}
        for row in one.quality or ():
            if row["status"] == "ok":
                reasons.setdefault(row["recording"], []).extend(_told(row))
        for column in COLUMNS:
            marked = _marked(one, column)
            usual = float(np.median([value for _, value, _ in marked])) if marked else 0.0
            for name, value, odd in marked:
                if odd:
                    name_of = column.title[0].lower() + column.title[1:]
                    text = f"{name_of} {_short(value)} {column.unit}, usually {_short(usual)}"
                    reasons.setdefault(name, []).append(text)
        found += [(one.name, row["recording"], True, f"failed: {row['problem']}") for row in one.failed]
        found += [(one.name, name, False, "; ".join(why)) for name, why in reasons.items() if why]
    return sorted(found, key=lambda entry: not entry[2])

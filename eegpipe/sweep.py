"""Scores over the values of one setting, collected from what `dvc exp show --json` prints.

DVC is not imported: its text is read. Kept is the strictest leak-free protocol of each method whose score is not the
same at every value, because a setting of one method leaves the others as they are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from eegpipe.errors import DataProblem, UsageProblem, did_you_mean
from eegpipe.protocols import PROTOCOLS
from eegpipe.writing import table_text, write_file

# Settings that say what is computed, not how: experiments that differ in them belong on one curve.
_SELECTION = frozenset({"targets", "methods", "fine_tuned", "baselines", "across", "windowings"})
_CURE = "Make it with `dvc exp show --json > experiments.json`."


@dataclass(frozen=True)
class SweepPoint:
    """Balanced accuracy of one method on one target at one value of the setting."""

    setting: str
    value: float
    target: str
    method: str
    protocol: str
    balanced_accuracy: float
    low: float | None
    high: float | None
    chance: float


def collect(path: Path, setting: str, out: Path) -> list[SweepPoint]:
    """Read ``path`` and write ``out``, a table of :func:`sweep_points`.

    Raises
    ------
    DataProblem
        ``path`` is not what DVC prints.
    UsageProblem
        No experiment has the setting, or only one value of it was run, or nothing depends on it.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataProblem(path.name, f"no readable JSON ({error.__class__.__name__})", "experiments", _CURE) from None
    points = sweep_points(content, setting, where=path.name)
    header = [field.name for field in fields(SweepPoint)]
    rows = [["" if value is None else value for value in vars(point).values()] for point in points]
    write_file(out, table_text(header, rows).encode())
    return points


def sweep_points(content: Any, setting: str, *, where: str = "experiments") -> list[SweepPoint]:
    """One point for each value, target and method, in this order.

    Experiments that differ from the first one, the workspace, in another setting too are left out: a curve over one
    setting must not hold steps of a second. Of several with one value the first counts: the workspace, then commits and
    their experiments as DVC lists them.

    Parameters
    ----------
    content : list
        What `dvc exp show --json` prints.
    setting : str
        Dotted name in ``params.yaml``, as for ``dvc exp run -S``.
    """
    if not isinstance(content, list) or not all(isinstance(one, dict) and "rev" in one for one in content):
        raise DataProblem(where, "something else", "a list of experiments", _CURE)
    found: dict[tuple[str, str, float], SweepPoint] = {}
    known: set[str] = set()
    others: dict[str, Any] | None = None
    for experiment in _experiments(content):
        settings = _settings(experiment)
        known |= settings.keys()
        value = settings.get(setting)
        fixed = {name: one for name, one in settings.items() if name != setting and name not in _SELECTION}
        others = fixed if others is None else others
        if fixed != others:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        for one in _metrics(experiment):
            point = _point(setting, float(value), one)
            if point is not None:
                found.setdefault((point.target, point.method, point.value), point)
    if setting not in known:
        raise UsageProblem(f"No experiment has the setting '{setting}'.{did_you_mean(setting, sorted(known))}")
    values = {value for *_, value in found}
    if len(values) < 2:
        raise UsageProblem(
            f"{setting}: experiments with {len(values)} values, expected two or more. "
            f"Run some: `dvc exp run -S {setting}=VALUE`."
        )
    scores: dict[tuple[str, str], set[float]] = {}
    for (target, method, _), point in found.items():
        scores.setdefault((target, method), set()).add(point.balanced_accuracy)
    kept = [point for (target, method, _), point in found.items() if len(scores[target, method]) > 1]
    if not kept:
        raise UsageProblem(f"{setting}: every score is the same at all values, so no method depends on it.")
    return sorted(kept, key=lambda point: (point.target, point.method, point.value))


def _experiments(content: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """What each state says, those of failed and running experiments left out."""
    for state in content:
        states = [state, *(one for group in state.get("experiments") or () for one in group.get("revs") or ())]
        yield from (one["data"] for one in states if one.get("data"))


def _settings(experiment: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for file in (experiment.get("params") or {}).values()
        for name, value in _flat(file.get("data") or {})
    }


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _metrics(experiment: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for file in (experiment.get("metrics") or {}).values():
        content = file.get("data")
        if isinstance(content, dict) and {"method", "target", "protocols"} <= content.keys():
            yield content


def _point(setting: str, value: float, content: Mapping[str, Any]) -> SweepPoint | None:
    clean = [name for name in PROTOCOLS if content["protocols"].get(name, {}).get("leak_free")]
    if not clean:
        return None
    entry = content["protocols"][clean[0]]
    score = entry["balanced_accuracy"]
    if score["value"] is None:
        return None
    interval = score["interval"] or {"low": None, "high": None}
    place = (content["target"], content["method"], clean[0])
    return SweepPoint(
        setting, value, *place, score["value"], interval["low"], interval["high"], entry["chance"]["uniform"]
    )

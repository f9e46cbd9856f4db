"""What the papers report beside what was found here, and why the two differ."""

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

from eegpipe.protocols import PROTOCOLS, clean_counterpart
from eegpipe.report.collect import Model
from eegpipe.report.comparison import METHOD_TITLES, Evaluation, Row, Score

_FINE_TUNED = "_finetuned"


@dataclass(frozen=True)
class Reported:
    """One number of a paper, per cent. ``people``: subjects of the real data set; ``parameters``: of its network."""

    method: str
    data_set: str
    protocol: str
    metric: str
    value: float
    std: float | None
    people: int
    parameters: int | None
    source: str
    remark: str

    @property
    def method_title(self) -> str:
        return METHOD_TITLES[self.method]


@dataclass(frozen=True)
class Beside:
    """A reported number and the rows of this project that come nearest.

    same : the row under the paper's protocol, of the same method or of its frozen encoder
    clean : the strictest leak-free row of the same kind
    reasons : what differs, in words
    """

    reported: Reported
    same: tuple[Row, Score] | None
    clean: tuple[Row, Score] | None
    reasons: tuple[str, ...]


def read_reported() -> list[Reported]:
    """Every number of ``reported.tsv``."""
    with (files("eegpipe.report") / "reported.tsv").open(encoding="utf-8") as lines:
        return [
            Reported(
                row["method"],
                row["data_set"],
                row["protocol"],
                row["metric"],
                float(row["value"]),
                float(row["std"]) if row["std"] else None,
                int(row["people"]),
                int(row["parameters"]) if row["parameters"] else None,
                row["source"],
                row["remark"],
            )
            for row in csv.DictReader(lines, delimiter="\t")
        ]


def beside(evaluations: Sequence[Evaluation], models: Sequence[Model], simulated: Collection[str]) -> list[Beside]:
    """The reported numbers about the targets that were evaluated, each beside the nearest rows."""
    of = {(one.target, one.method): one for one in evaluations}
    parameters = {(model.target, model.method): model.parameters for model in models}
    found = []
    for one in read_reported():
        base = one.method.removesuffix(_FINE_TUNED)
        ours = of.get((one.data_set, one.method)) or of.get((one.data_set, base))
        if ours is None:
            continue
        rows = {row.protocol: row for row in ours.rows}
        same = rows.get(one.protocol)
        free = [row.protocol for row in ours.rows if row.leak_free]
        name = clean_counterpart(one.protocol, free) or next(
            (row for row in free if PROTOCOLS[row].kind in (PROTOCOLS[one.protocol].kind, "fewshot")), None
        )
        clean = rows[name] if name else None
        reasons = _reasons(one, ours, same, clean, parameters.get((one.data_set, base)), one.data_set in simulated)
        found.append(Beside(one, _scored(same, one.metric), _scored(clean, one.metric), tuple(reasons)))
    return found


def _scored(row: Row | None, metric: str) -> tuple[Row, Score] | None:
    if row is None:
        return None
    return row, (row.accuracy if metric == "accuracy" else row.balanced)


def _reasons(
    one: Reported, ours: Evaluation, same: Row | None, clean: Row | None, parameters: int | None, simulated: bool
) -> list[str]:
    reasons = ["the data here are simulated, so the numbers are not about the same thing"] if simulated else []
    if same is None:
        reasons.append(f"the paper's protocol ({one.protocol}) was not run")
    if one.method != ours.method:
        reasons.append("the encoder is frozen here, fine-tuned there")
    row = same or clean
    if row is not None and row.subjects != one.people:
        reasons.append(f"{row.subjects} people tested here, {one.people} in the real data set")
    if parameters is not None and one.parameters is not None and not 0.9 < parameters / one.parameters < 1.1:
        reasons.append(f"a network of {_thousands(parameters)} parameters here, {_thousands(one.parameters)} there")
    if clean is not None and PROTOCOLS[one.protocol].counterpart:
        reasons.append("the published protocol leaks, the clean one does not")
    if one.remark:
        reasons.append(f"there: {one.remark}")
    return reasons


def _thousands(count: int) -> str:
    return f"{count:,}".replace(",", " ")


def missing_targets(evaluations: Sequence[Evaluation]) -> Mapping[str, int]:
    """Data sets that the papers report on and that were not evaluated, with the number of such numbers."""
    known = {one.target for one in evaluations}
    counts: dict[str, int] = {}
    for one in read_reported():
        if one.data_set not in known:
            counts[one.data_set] = counts.get(one.data_set, 0) + 1
    return counts

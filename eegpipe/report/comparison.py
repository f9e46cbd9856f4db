"""Metrics as the evaluation wrote them, in the order and the words in which a person should meet them."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eegpipe.errors import DataProblem
from eegpipe.protocols import PROTOCOLS, clean_counterpart

# In the order in which they are shown, which also fixes their colours. Short, for the margin of a figure.
METHOD_TITLES = {
    "majority": "Majority",
    "prior": "Class prior",
    "de_linear": "DE + linear",
    "de": "DE baseline",
    "de_lstm": "DE + LSTM",
    "eegnet": "EEGNet",
    "shallow": "ShallowNet",
    "deep4": "Deep4Net",
    "eegconformer": "EEGConformer",
    "mdjpt": "mdJPT",
    "emod": "EMOD",
    "emod_finetuned": "EMOD tuned",
    "art": "ART",
    "art_finetuned": "ART + GAT",
    "de_linear_across": "DE lin., across",
    "de_across": "DE, across",
    "mdjpt_across": "mdJPT, across",
    "emod_across": "EMOD, across",
    "art_across": "ART, across",
}
# Methods without pre-training, and those with the classifier that all methods share. What was trained on other data
# sets has a baseline that was, too.
_ACROSS = "_across"
NOT_PRETRAINED = (*tuple(METHOD_TITLES)[: tuple(METHOD_TITLES).index("mdjpt")], "de_linear_across", "de_across")
_SHARED = ("de", "mdjpt", "emod", "art")
SHARED_CLASSIFIER = (*_SHARED, *(name + _ACROSS for name in _SHARED))
_PROTOCOL_TITLES = {
    "fewshot_subject_stimulus": "Few-shot: new people, new clips",
    "fewshot_subject": "Few-shot: new people",
    "zeroshot_subject_stimulus": "Nearest neighbour: new people, new clips",
    "zeroshot_subject": "Nearest neighbour: new people",
    "mdjpt_fewshot": "Few-shot as published (mdJPT)",
    "cross_dataset": "Trained on other data sets: high or low valence",
}
_VISIBLE = 0.005  # half a per cent


@dataclass(frozen=True)
class Score:
    """A score with its interval over test subjects; None: not known."""

    value: float | None
    low: float | None
    high: float | None

    @property
    def has_interval(self) -> bool:
        return self.low is not None and self.high is not None


@dataclass(frozen=True)
class Rating:
    """How well one rating of the participants is predicted, by trial; chance is 0."""

    concordance: Score
    rank_correlation: Score
    within_subject: Score  # rank correlation over the trials of one person
    subjects: int
    trials: int


@dataclass(frozen=True)
class Row:
    """One method on one target under one protocol."""

    target: str
    method: str
    protocol: str
    summary: str
    leak_free: bool
    leaks: tuple[str, ...]
    uses: tuple[str, ...]  # of unlabelled test data, in words
    notes: tuple[str, ...]
    balanced: Score
    accuracy: Score
    trial_accuracy: Score
    auroc: float | None
    group_spread: tuple[int, float | None]  # number of training groups, standard deviation of balanced accuracy
    uniform: float  # chance of the balanced accuracy
    dealt: float  # the same, of these answers in each fold: :func:`metrics.dealt_anew`
    majority: float  # chance of the accuracy: always the most frequent class
    subjects: int
    trials: int
    segments: int
    per_subject: Mapping[str, float]  # balanced accuracy of each test subject
    ratings: Mapping[str, Rating]  # valence, arousal; empty where none were predicted
    split: str

    @property
    def title(self) -> str:
        return _PROTOCOL_TITLES.get(self.protocol, self.protocol)

    @property
    def method_title(self) -> str:
        return METHOD_TITLES.get(self.method, self.method)

    @property
    def verdict(self) -> str:
        """Where the interval of the balanced accuracy lies against chance, both the guesses' and the answers' own."""
        if self.balanced.low is None or self.balanced.high is None:
            return "no interval"
        if self.balanced.low > max(self.uniform, self.dealt):
            return "above chance"
        return "below chance" if self.balanced.high < min(self.uniform, self.dealt) else "not above chance"

    @property
    def own_chance(self) -> float | None:
        """Chance of these answers where it is not that of guesses; None where a reader would not see a difference."""
        return self.dealt if abs(self.dealt - self.uniform) >= _VISIBLE else None


@dataclass(frozen=True)
class Confusion:
    """Trials of the strictest protocol: (actual, answered) counts. A trial counts once for each training group."""

    target: str
    method: str
    protocol: str
    classes: tuple[str, ...]
    counts: np.ndarray


@dataclass(frozen=True)
class Evaluation:
    """One metrics file.

    ``predictions``: digest of the arrays in its ``predictions.npz``.
    """

    target: str
    method: str
    windowing: str
    seed: int
    classes: tuple[str, ...]
    class_trials: tuple[int, ...]
    definition: str
    not_applicable: Mapping[str, str]
    store: str
    model: str | None
    predictions: str
    settings: Mapping[str, Any]
    rows: tuple[Row, ...]
    confusion: Confusion | None


@dataclass(frozen=True)
class Gap:
    """How far ``upper`` lies above ``lower`` in balanced accuracy, over all and by subject.

    ``low``, ``high`` : interval of the difference over test subjects (:func:`predicted.with_intervals`), if known.
    """

    lower: Row
    upper: Row
    difference: float
    higher_for: int
    of_subjects: int
    low: float | None = None
    high: float | None = None

    @property
    def verdict(self) -> str:
        """Where the interval of the difference lies against none."""
        if self.low is None or self.high is None:
            return "no interval"
        return "above" if self.low > 0 else "below" if self.high < 0 else "not above"


def read_evaluations(root: Path) -> list[Evaluation]:
    """Every metrics file under ``root``, by target, then by method (baselines first).

    Raises
    ------
    DataProblem
        If a file is no metrics file.
    """
    found = [_read(path, root) for path in sorted((root / "metrics").rglob("*.json"))]
    known = list(METHOD_TITLES)
    place = {method: known.index(method) if method in known else len(known) for method in {one.method for one in found}}
    return sorted(found, key=lambda one: (one.target, place[one.method], one.method))


def _read(path: Path, root: Path) -> Evaluation:
    where = path.relative_to(root).as_posix()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        target, method = str(content["target"]), str(content["method"])
        plots = root / "plots" / target / method
        of_subjects = _per_subject(plots / "per_subject.csv")
        order = [name for name in PROTOCOLS if name in content["protocols"]]
        order += [name for name in content["protocols"] if name not in PROTOCOLS]
        rows = [_row(target, method, name, content["protocols"][name], of_subjects.get(name, {})) for name in order]
        return Evaluation(
            target=target,
            method=method,
            windowing=str(content["windowing"]),
            seed=int(content["seed"]),
            classes=tuple(content["classes"]["names"]),
            class_trials=tuple(content["classes"]["trials"]),
            definition=str(content["classes"]["definition"]),
            not_applicable=content["not_applicable"],
            store=content["hashes"]["store"],
            model=content["hashes"]["model"],
            predictions=str(content["files"]["predictions"]),
            settings=content["settings"],
            # Sorting is stable: within both, the strictest protocol stays first.
            rows=tuple(sorted(rows, key=lambda row: not row.leak_free)),
            confusion=_confusion(plots / "confusion.csv", target, method, tuple(content["classes"]["names"])),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        text = f"something unreadable ({error.__class__.__name__}: {error})"
        raise DataProblem(where, text, "metrics of `eegpipe evaluate`", "Run the evaluate stage again.") from None


def _row(target: str, method: str, protocol: str, entry: Mapping[str, Any], per_subject: Mapping[str, float]) -> Row:
    groups = entry["balanced_accuracy"]["groups"]
    return Row(
        target=target,
        method=method,
        protocol=protocol,
        summary=entry["summary"],
        leak_free=entry["leak_free"],
        leaks=tuple(entry["leaks"]),
        uses=tuple(entry["transductive"].values()),
        notes=tuple(entry["notes"]),
        balanced=_score(entry["balanced_accuracy"]),
        accuracy=_score(entry["accuracy"]),
        trial_accuracy=_score(entry["trial_level"]["accuracy"]),
        auroc=entry["auroc"]["value"],
        group_spread=(groups["n"], groups["std"]),
        uniform=entry["chance"]["uniform"],
        dealt=entry["chance"]["dealt"],
        majority=entry["chance"]["majority"],
        subjects=entry["n_subjects"],
        trials=entry["n_trials"],
        segments=entry["n_segments"],
        per_subject=per_subject,
        ratings={name: _rating(one) for name, one in entry.get("ratings", {}).items()},
        split=entry["split"],
    )


def _score(entry: Mapping[str, Any]) -> Score:
    interval = entry["interval"] or {"low": None, "high": None}
    return Score(entry["value"], interval["low"], interval["high"])


def _rating(entry: Mapping[str, Any]) -> Rating:
    return Rating(
        concordance=_score(entry["concordance"]),
        rank_correlation=_score(entry["rank_correlation"]),
        within_subject=_score(entry["within_subject_rank_correlation"]),
        subjects=entry["n_subjects"],
        trials=entry["n_trials"],
    )


def _per_subject(path: Path) -> dict[str, dict[str, float]]:
    """Protocol -> subject -> balanced accuracy; empty without the file."""
    scores: dict[str, dict[str, float]] = {}
    for row in _rows(path):
        if row["balanced_accuracy"]:
            scores.setdefault(row["protocol"], {})[row["subject"]] = float(row["balanced_accuracy"])
    return scores


def _confusion(path: Path, target: str, method: str, classes: tuple[str, ...]) -> Confusion | None:
    rows = _rows(path)
    if not rows:
        return None
    counts = np.zeros((len(classes), len(classes)), dtype=int)
    for row in rows:
        counts[classes.index(row["actual"]), classes.index(row["predicted"])] += 1
    return Confusion(target, method, rows[0]["protocol"], classes, counts)


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def leak_gaps(evaluations: Sequence[Evaluation]) -> list[Gap]:
    """Every protocol with leaks against its leak-free counterpart, per target and method.

    The counterpart is :func:`protocols.clean_counterpart` or, where that was not run, the strictest leak-free protocol
    of the same kind.
    """
    gaps = []
    for evaluation in evaluations:
        clean = {row.protocol: row for row in evaluation.rows if row.leak_free and row.protocol in PROTOCOLS}
        of_kind: dict[str, Row] = {}
        for row in clean.values():
            of_kind.setdefault(PROTOCOLS[row.protocol].kind, row)
        for row in evaluation.rows:
            if row.leak_free or row.protocol not in PROTOCOLS:
                continue
            name = clean_counterpart(row.protocol, clean)
            rival = clean[name] if name else of_kind.get(PROTOCOLS[row.protocol].kind)
            gap = _gap(rival, row) if rival else None
            gaps += [gap] if gap else []
    return gaps


def baseline_gaps(evaluations: Sequence[Evaluation], baseline: str = "de") -> list[Gap]:
    """Every pre-trained method against the baseline, under each leak-free protocol that both have."""
    gaps = []
    bases = (baseline, baseline + _ACROSS)
    base = {(row.target, row.protocol): row for one in evaluations if one.method in bases for row in one.rows}
    for evaluation in evaluations:
        for row in evaluation.rows:
            rival = base.get((row.target, row.protocol))
            if (
                evaluation.method not in (*NOT_PRETRAINED, *bases)
                and row.leak_free
                and rival
                and rival.leak_free
                and rival.split == row.split
            ):
                gap = _gap(rival, row)
                gaps += [gap] if gap else []
    return gaps


def _gap(lower: Row, upper: Row) -> Gap | None:
    if lower.balanced.value is None or upper.balanced.value is None:
        return None
    both = sorted(lower.per_subject.keys() & upper.per_subject.keys())
    return Gap(
        lower,
        upper,
        upper.balanced.value - lower.balanced.value,
        sum(upper.per_subject[name] > lower.per_subject[name] for name in both),
        len(both),
    )

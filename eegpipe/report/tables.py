"""The small tables beside the predictions: curves, maps of features, clusters, graphs, a sweep."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from eegpipe.errors import DataProblem

T = TypeVar("T")


@dataclass(frozen=True)
class CurvePoint:
    """Balanced accuracy with so many training subjects."""

    subjects: int
    trials: float
    score: float
    low: float | None
    high: float | None
    chance: float
    protocol: str


@dataclass(frozen=True)
class MapPoint:
    """One segment in the plane of t-SNE."""

    data_set: str
    seen: bool
    subject: str
    emotion: str
    valence: str
    x: float
    y: float


@dataclass(frozen=True)
class Measure:
    """One score of features beside chance; ``high``: what one deal of names in twenty exceeds."""

    name: str
    by: str
    over: str
    value: float
    chance: float
    high: float
    n: int

    @property
    def above(self) -> bool:
        return self.value > self.high


@dataclass(frozen=True)
class Pair:
    """Two classes of one data set: their distance in the valence-arousal plane and in the features."""

    data_set: str
    seen: bool
    first: str
    second: str
    affect: float
    features: float


@dataclass(frozen=True)
class Features:
    """What the stage ``embed`` wrote about one method; ``clusters`` : (cluster, emotion) -> number of segments."""

    target: str
    method: str
    points: tuple[MapPoint, ...]
    pairs: tuple[Pair, ...]
    clusters: Mapping[tuple[int, str], int]
    measures: tuple[Measure, ...]

    def measure(self, name: str, by: str, over: str) -> Measure | None:
        """The score of this name, if it is defined."""
        return next((one for one in self.measures if (one.name, one.by, one.over) == (name, by, over)), None)


@dataclass(frozen=True)
class EmotionGraph:
    """Edges (channel, channel, attention) of one emotion, and of each channel: degree, share of attention received."""

    emotion: str
    segments: int
    edges: tuple[tuple[str, str, float], ...]
    channels: Mapping[str, tuple[int, float]]


@dataclass(frozen=True)
class SweepRow:
    """One experiment of a sweep over one setting."""

    setting: str
    value: float
    target: str
    method: str
    protocol: str
    score: float
    low: float | None
    high: float | None
    chance: float


def read_curve(root: Path, target: str, method: str) -> list[CurvePoint]:
    """``fewshot.csv``; empty without it."""
    return _read(
        root,
        Path("plots", target, method, "fewshot.csv"),
        lambda row: CurvePoint(
            int(row["subjects"]),
            float(row["train_trials"]),
            float(row["balanced_accuracy"]),
            _number(row["low"]),
            _number(row["high"]),
            float(row["chance"]),
            row["protocol"],
        ),
    )


def read_features(root: Path, target: str) -> list[Features]:
    """What the stage ``embed`` wrote for a target, by method; empty without it."""
    folder = Path("plots", target, "embedding")
    points = _read(
        root,
        folder / "points.csv",
        lambda row: (
            row["method"],
            MapPoint(
                row["data_set"],
                row["seen"] == "1",
                row["subject"],
                row["emotion"],
                row["valence"],
                float(row["x"]),
                float(row["y"]),
            ),
        ),
    )
    pairs = _read(
        root,
        folder / "pairs.csv",
        lambda row: (
            row["method"],
            Pair(
                row["data_set"],
                row["seen"] == "1",
                row["first"],
                row["second"],
                float(row["affect_distance"]),
                float(row["feature_distance"]),
            ),
        ),
    )
    clusters = _read(
        root,
        folder / "clusters.csv",
        lambda row: (row["method"], (int(row["cluster"]), row["emotion"]), int(row["segments"])),
    )
    measures = _read(
        root,
        folder / "scores.csv",
        lambda row: (
            row["method"],
            Measure(
                row["measure"],
                row["by"],
                row["over"],
                float(row["value"]),
                float(row["chance"]),
                float(row["chance_high"]),
                int(row["n"]),
            ),
        ),
    )
    return [
        Features(
            target,
            method,
            tuple(point for name, point in points if name == method),
            tuple(pair for name, pair in pairs if name == method),
            {cell: count for name, cell, count in clusters if name == method},
            tuple(one for name, one in measures if name == method),
        )
        for method in dict.fromkeys(name for name, _ in points)
    ]


def read_graphs(root: Path, target: str, method: str) -> list[EmotionGraph]:
    """The graphs of a fine-tuned method, one for each emotion; empty without them."""
    folder = Path("plots", target, method)
    edges = _read(
        root,
        folder / "attention_edges.csv",
        lambda row: (row["emotion"], (row["first"], row["second"], float(row["attention"]))),
    )
    channels = _read(
        root,
        folder / "attention_degree.csv",
        lambda row: (
            row["emotion"],
            int(row["n_segments"]),
            row["channel"],
            (int(row["degree"]), float(row["received"])),
        ),
    )
    return [
        EmotionGraph(
            emotion,
            segments,
            tuple(edge for name, edge in edges if name == emotion),
            {channel: values for name, _, channel, values in channels if name == emotion},
        )
        for emotion, segments in dict.fromkeys((name, count) for name, count, _, _ in channels)
    ]


def read_sweep(root: Path) -> list[SweepRow]:
    """``plots/sweep.csv``, which `eegpipe sweep` writes; empty without it."""
    return _read(
        root,
        Path("plots", "sweep.csv"),
        lambda row: SweepRow(
            row["setting"],
            float(row["value"]),
            row["target"],
            row["method"],
            row["protocol"],
            float(row["balanced_accuracy"]),
            _number(row["low"]),
            _number(row["high"]),
            float(row["chance"]),
        ),
    )


def _number(text: str) -> float | None:
    return float(text) if text else None


def _read(root: Path, path: Path, make: Callable[[Mapping[str, str]], T]) -> list[T]:
    if not (root / path).is_file():
        return []
    try:
        with (root / path).open(encoding="utf-8", newline="") as lines:
            return [make(row) for row in csv.DictReader(lines)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        text = f"something unreadable ({error.__class__.__name__}: {error})"
        raise DataProblem(path.as_posix(), text, "the table of its stage", "Run that stage again.") from None


def likeness(graphs: Sequence[EmotionGraph]) -> float | None:
    """Lowest rank correlation between two emotions of the attention that channels receive; None: fewer than two."""
    from scipy.stats import rankdata

    names = list(graphs[0].channels) if graphs else []
    if len(graphs) < 2 or len(names) < 3:
        return None
    ranks = np.array([rankdata([graph.channels[name][1] for name in names]) for graph in graphs])
    if (np.ptp(ranks, axis=1) == 0).any():
        return None
    return float(np.corrcoef(ranks).min())

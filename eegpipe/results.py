"""What an evaluation leaves behind: entries of the metrics file, data of plots, stored predictions, rows of a table."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eegpipe import metrics
from eegpipe.arrays import arrays_digest
from eegpipe.connectivity import Graph
from eegpipe.fewshot_curve import Point
from eegpipe.fingerprint import digest, file_digest
from eegpipe.predictions import EvaluateSettings, Predictions
from eegpipe.protocols import COVERED_BY, PROTOCOLS, TRANSDUCTIVE
from eegpipe.ratings import RATINGS
from eegpipe.writing import table_text, write_file

if TYPE_CHECKING:
    from eegpipe.loader import Segments

PREDICTIONS, CURVE = "predictions.npz", "training_curve.csv"
FEWSHOT, EDGES, DEGREE = "fewshot.csv", "attention_edges.csv", "attention_degree.csv"


def _trial_of(result: Predictions, segments: Segments) -> np.ndarray:
    """(n,) one number per trial: the same for all its segments, in every group."""
    columns = (segments.subject, segments.session, segments.trial, segments.stimulus)
    table = np.stack([column[result.row] for column in columns])
    return np.unique(table, axis=1, return_inverse=True)[1].reshape(-1)


def entry(result: Predictions, segments: Segments, settings: EvaluateSettings, seed: int) -> dict[str, Any]:
    """What the metrics file says of one protocol. Scores are of segments; those of trials are in ``trial_level``."""
    split = result.split
    subject = segments.subject[result.row]
    trial = _trial_of(result, segments)
    options: dict[str, Any] = {"resamples": settings.resamples, "confidence": settings.confidence, "seed": seed}
    first, truth, probabilities = _by_trial(result, trial)
    answers = (result.truth, result.probabilities.argmax(axis=1), result.group, result.fold)
    beyond = [TRANSDUCTIVE[name] for name in result.done if COVERED_BY.get(name, name) not in split.transductive]
    leaks = [*split.leaks, *(f"not foreseen by the split: {text}" for text in beyond)]
    return {
        "summary": split.summary,
        "leak_free": not leaks,
        "leaks": leaks,
        "disjoint": dict(split.disjoint),
        "transductive": {name: TRANSDUCTIVE[name] for name in result.done},
        "test_selects": split.test_selects,
        "notes": list(split.notes),
        "split": split.hash,
        "n_subjects": len(np.unique(subject)),
        "n_trials": len(np.unique(trial)),
        "n_segments": len(np.unique(result.row)),
        "n_groups": len(np.unique(result.group)),
        "n_folds": len(split.folds),
        "chance": {**result.chance, "dealt": round(metrics.dealt_anew(*answers, result.probabilities.shape[1]), 6)},
        **metrics.summarise(result.truth, result.probabilities, result.group, subject, **options),
        "trial_level": metrics.summarise(truth, probabilities, result.group[first], subject[first], **options),
        **_ratings(result, trial, subject, options),
    }


def _ratings(
    result: Predictions, trial: np.ndarray, subject: np.ndarray, options: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """The entry ``ratings``, of trials, or nothing where none were predicted."""
    if result.rated is None:
        return {}
    entries = {}
    for number, name in enumerate(RATINGS):
        known = ~np.isnan(result.rated.reported[:, number])
        unit = (result.group * (trial.max() + 1) + trial)[known]
        first, reported, predicted = metrics.by_trial(
            unit, result.rated.reported[known, number], result.rated.predicted[known, number : number + 1]
        )
        group, who = result.group[known][first], subject[known][first]
        entries[name] = {
            "n_subjects": len(np.unique(who)),
            "n_trials": len(np.unique(trial[known])),
            "chance": 0.0,
            **metrics.agreement(reported, predicted[:, 0], group, who, **options),
        }
    return {"ratings": entries}


def _by_trial(result: Predictions, trial: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions of first segments, truth and mean probabilities of each trial in each group."""
    return metrics.by_trial(result.group * (trial.max() + 1) + trial, result.truth, result.probabilities)


def write_plots(
    out: Path, results: Sequence[Predictions], segments: Segments, protocols: Mapping[str, Mapping[str, Any]]
) -> dict[str, str]:
    """``confusion.csv``, ``per_subject.csv``, ``training_curve.csv``, ``predictions.npz`` in ``out``.

    ``protocols`` : the entries of the metrics file.

    Returns
    -------
    dict
        Digests of what cannot be computed again: ``predictions`` (:func:`arrays_digest`) and ``training_curve``.
    """
    for name, text in tables(results, segments, protocols).items():
        write_file(out / name, text.encode())
    rows = [row for result in results for row in _curve_rows(result)]
    text = table_text(("protocol", "epoch", "loss", "watched_accuracy", "n_folds"), rows)
    write_file(out / CURVE, text.encode())
    arrays = _arrays(results, segments)
    # numpy dates the members of an archive 1980, so equal predictions are equal bytes.
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write_file(out / PREDICTIONS, buffer.getvalue())
    return {"predictions": arrays_digest(arrays), "training_curve": file_digest(out / CURVE)}


def tables(
    results: Sequence[Predictions], segments: Segments, protocols: Mapping[str, Mapping[str, Any]]
) -> dict[str, str]:
    """Name -> text of the tables that follow from the predictions alone. Parameters: :func:`write_plots`."""
    strictest = strictest_of(results, protocols)
    header = ("accuracy", "balanced_accuracy", "trial_accuracy", "n_trials", "n_segments", "n_groups")
    rows = [row for result in results for row in _subject_rows(result, segments)]
    return {
        "confusion.csv": table_text(("actual", "predicted", "protocol"), _confusion_rows(strictest, segments)),
        "per_subject.csv": table_text(("protocol", "subject", *header), rows),
    }


def strictest_of(results: Sequence[Predictions], protocols: Mapping[str, Mapping[str, Any]]) -> Predictions:
    """The first of the leak-free protocols, or of all if each one leaks. ``protocols``: :func:`write_plots`."""
    order = list(PROTOCOLS)
    return min(
        results, key=lambda one: (not protocols[one.split.protocol]["leak_free"], order.index(one.split.protocol))
    )


def write_curve(out: Path, points: Sequence[Point]) -> None:
    """``fewshot.csv`` in ``out``: one row for each number of training subjects."""
    header = [field.name for field in dataclasses.fields(Point)]
    rows = [["" if value is None else value for value in dataclasses.astuple(point)] for point in points]
    write_file(out / FEWSHOT, table_text(header, rows).encode())


def write_graphs(out: Path, graphs: Sequence[Graph]) -> None:
    """``attention_edges.csv`` (the strongest pairs) and ``attention_degree.csv`` (every channel) in ``out``."""
    edges = [
        (graph.emotion, graph.channels[first], graph.channels[second], f"{weight:.6f}")
        for graph in graphs
        for (first, second), weight in zip(graph.pairs.tolist(), graph.weights, strict=True)
    ]
    channels = [
        (graph.emotion, graph.segments, name, int(degree), f"{received:.4f}")
        for graph in graphs
        for name, degree, received in zip(graph.channels, graph.degree, graph.received, strict=True)
    ]
    write_file(out / EDGES, table_text(("emotion", "first", "second", "attention"), edges).encode())
    header = ("emotion", "n_segments", "channel", "degree", "received")
    write_file(out / DEGREE, table_text(header, channels).encode())


def _confusion_rows(result: Predictions, segments: Segments) -> list[tuple]:
    names = result.split.classes["names"]
    _, truth, probabilities = _by_trial(result, _trial_of(result, segments))
    answers = probabilities.argmax(axis=1)
    return [
        (names[actual], names[answer], result.split.protocol) for actual, answer in zip(truth, answers, strict=True)
    ]


def _subject_rows(result: Predictions, segments: Segments) -> list[tuple]:
    subject = segments.subject[result.row]
    trial = _trial_of(result, segments)
    first, truth, probabilities = _by_trial(result, trial)
    of_segments = metrics.per_subject(result.truth, result.probabilities, result.group, subject)
    of_trials = metrics.per_subject(truth, probabilities, result.group[first], subject[first])
    rows = []
    for index, scores in of_segments.items():
        mine = subject == index
        counts = (len(np.unique(column[mine])) for column in (trial, result.row, result.group))
        name = segments.subject_names[index]
        values = (scores["accuracy"], scores["balanced_accuracy"], of_trials[index]["accuracy"])
        rows.append((result.split.protocol, name, *values, *counts))
    return rows


def _curve_rows(result: Predictions) -> list[tuple]:
    """Means over the folds that reached an epoch; the watched accuracy is empty where no epoch was chosen."""
    rows = []
    for epoch in range(max(map(len, result.curves), default=0)):
        reached = [curve[epoch] for curve in result.curves if len(curve) > epoch]
        watched = [accuracy for _, accuracy in reached if accuracy is not None]
        loss = round(float(np.mean([loss for loss, _ in reached])), 6)
        accuracy = round(float(np.mean(watched)), 6) if watched else ""
        rows.append((result.split.protocol, epoch + 1, loss, accuracy, len(reached)))
    return rows


def _arrays(results: Sequence[Predictions], segments: Segments) -> dict[str, np.ndarray]:
    """Arrays named ``<protocol>/<column>``; ``row`` is the position in the store, names stand beside indices."""
    arrays: dict[str, np.ndarray] = {
        "classes": np.array(results[0].split.classes["names"]),
        "subject_names": np.array(segments.subject_names),
    }
    for result in results:
        columns = {
            "group": result.group.astype(np.int16),
            "fold": result.fold.astype(np.int32),
            "fold_names": np.array([fold.name for fold in result.split.folds]),
            "row": result.row.astype(np.int64),
            "subject": segments.subject[result.row].astype(np.int32),
            "session": segments.session[result.row].astype(np.int32),
            "trial": segments.trial[result.row].astype(np.int32),
            "stimulus": segments.stimulus[result.row].astype(np.int64),
            "truth": result.truth.astype(np.int16),
            "probabilities": result.probabilities.astype(np.float32),
        }
        if result.rated is not None:
            for number, name in enumerate(RATINGS):
                columns[name] = result.rated.predicted[:, number].astype(np.float32)
                columns[f"rated_{name}"] = result.rated.reported[:, number].astype(np.float32)
        arrays |= {f"{result.split.protocol}/{name}": values for name, values in columns.items()}
    return arrays


def content_hash(content: Mapping[str, Any]) -> str:
    """SHA-256 of a metrics file's content but for its own entry ``hash``."""
    return digest({name: value for name, value in content.items() if name != "hash"})


def summary_rows(contents: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row per target, protocol and method for a table of comparison, sorted so that rivals stand together.

    Parameters
    ----------
    contents : sequence of mapping
        What :func:`evaluate` returned or wrote; anything else is passed over.
    """
    rows = []
    for content in contents:
        if not {"method", "target", "protocols"} <= set(content):
            continue
        for protocol, entry in content["protocols"].items():
            # Classes are rarely of one size, so the balanced score and its chances come first.
            interval = entry["balanced_accuracy"]["interval"] or {"low": None, "high": None}
            rows.append(
                {
                    "target": content["target"],
                    "protocol": protocol,
                    "method": content["method"],
                    "leak_free": entry["leak_free"],
                    "balanced_accuracy": entry["balanced_accuracy"]["value"],
                    "low": interval["low"],
                    "high": interval["high"],
                    "chance": entry["chance"]["uniform"],
                    "own_chance": entry["chance"]["dealt"],
                    "accuracy": entry["accuracy"]["value"],
                    "most_frequent": entry["chance"]["majority"],
                    "trial_accuracy": entry["trial_level"]["accuracy"]["value"],
                    "auroc": entry["auroc"]["value"],
                    "classes": len(content["classes"]["names"]),
                    "subjects": entry["n_subjects"],
                    "trials": entry["n_trials"],
                }
            )
    order = {protocol: number for number, protocol in enumerate(PROTOCOLS)}
    return sorted(rows, key=lambda row: (row["target"], order.get(row["protocol"], len(order)), row["method"]))

"""Why a row of the central test lies off chance: what its answers, and other labels, score without knowing anything.

    python benchmarks/no_affect_null.py METHOD PROTOCOL DATASET --cache FOLDER ... [--models FOLDER] [--deals 6]

Over the simulations without affect in the caches of ``no_affect.py --every``. *Answers dealt anew*: the same answers,
dealt anew among the segments of each fold: what the choice of answers gives, whatever the signal says. *Labels dealt
anew*: everything is trained and tested again with the labels of each session dealt anew among its clips; only for
frozen encoders and ``de``. docs/evaluation.md, "Every protocol, every method".
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from measure import end_cleanly, print_machine, table
from no_affect_plans import EVERY

from eegpipe import metrics, params
from eegpipe.errors import UsageProblem
from eegpipe.loader import Segments, load
from eegpipe.predictions import FeatureCache, predict
from eegpipe.progress import bar
from eegpipe.results import PREDICTIONS
from eegpipe.splits import make
from eegpipe.terminal import exit_code
from eegpipe.train import load_pretrained

ROOT = Path(__file__).resolve().parents[1]
_SHUFFLES = 200


def scored(truth: np.ndarray, answers: np.ndarray, n_classes: int) -> float:
    """Balanced accuracy over all folds, as the metrics have it for one training group."""
    one = np.zeros(len(truth), dtype=int)
    counts = metrics.confusions(truth, answers, one, one, (1, 1, n_classes))
    return float(metrics.balanced_accuracy(counts[0, 0]))


def answers_dealt(
    truth: np.ndarray, answers: np.ndarray, fold: np.ndarray, n_classes: int, rng: np.random.Generator
) -> float:
    """Mean score of the answers in other orders within each fold."""
    values = []
    for _ in range(_SHUFFLES):
        order = np.lexsort((rng.random(len(fold)), fold))
        values.append(scored(truth[np.argsort(fold, kind="stable")], answers[order], n_classes))
    return float(np.mean(values))


def labels_dealt(segments: Segments, rng: np.random.Generator) -> Segments:
    """The labels of each session dealt anew among its clips."""
    label = segments.label.copy()
    for session in np.unique(segments.session):
        mine = segments.session == session
        clips, first = np.unique(segments.stimulus[mine], return_index=True)
        dealt = rng.permutation(segments.label[mine][first])
        label[mine] = dealt[np.searchsorted(clips, segments.stimulus[mine])]
    return replace(segments, label=label)


def scores_of_labels(store: Path, options: argparse.Namespace, rng: np.random.Generator) -> Iterator[float]:
    """The score with the labels as they are, then with ``--deals`` others. Features are computed once."""
    settings = params.load(options.params)
    terms = replace(settings.evaluate[settings.size], resamples=0)
    (target,) = {world.encoders for world in EVERY.worlds if world.dataset == options.dataset}
    frozen = options.method in settings.methods
    encoder = load_pretrained(options.models / options.method / target) if frozen else None
    known = load(store)
    features = FeatureCache(known, encoder, terms)
    for deal in range(options.deals + 1):
        segments = labels_dealt(known, rng) if deal else known
        features.segments = segments
        split = make(options.protocol, segments, settings=settings.split)
        found = predict(split, segments, features, terms, settings.seed, lambda *_, **__: None)
        yield scored(found.truth, found.probabilities.argmax(axis=1), found.probabilities.shape[1])


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a line a simulation, and means."""
    options = _options(arguments)
    end_cleanly()
    name = f"world-*-{options.dataset}-none-*"
    found = [
        path for cache in options.cache for path in sorted(cache.glob(f"{name}/{options.method}.out/{PREDICTIONS}"))
    ]
    if not found:
        raise UsageProblem(f"No predictions of {options.method} on {options.dataset} there. Run no_affect.py --every.")
    print_machine()
    rng = np.random.default_rng(0)
    again = options.method in ("mdjpt", "emod", "art", "de")
    rows = []
    with bar("simulations", len(found)) as advance:
        for path in found:
            with np.load(path, allow_pickle=False) as stored:
                columns = {one: stored[f"{options.protocol}/{one}"] for one in ("truth", "fold", "probabilities")}
            truth, fold = columns["truth"].astype(int), columns["fold"].astype(int)
            answers, n_classes = columns["probabilities"].argmax(axis=1), columns["probabilities"].shape[1]
            row = [scored(truth, answers, n_classes), answers_dealt(truth, answers, fold, n_classes, rng)]
            if again:
                store = path.parents[1] / f"{'mdjpt' if options.method == 'de' else options.method}.zarr"
                own, *others = scores_of_labels(store, options, rng)
                row += [own, float(np.mean(others))]
            rows.append(row)
            advance(1)
    head = ["simulation", "score", "answers dealt anew"] + ["again, own labels", "labels dealt anew"] * again
    cells = [[str(number), *(f"{value:.3f}" for value in row)] for number, row in enumerate(rows, 1)]
    values = np.array(rows)
    cells.append(["mean", *(f"{value:.3f}" for value in values.mean(axis=0))])
    if len(rows) > 1:
        error = values.std(axis=0, ddof=1) / np.sqrt(len(rows))
        cells.append(["standard error", *(f"{value:.3f}" for value in error)])
    print("\n" + table(head, cells))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What do answers and labels score that know nothing?")
    parser.add_argument("method")
    parser.add_argument("protocol")
    parser.add_argument("dataset", choices=[world.dataset for world in EVERY.worlds])
    parser.add_argument(
        "--cache", type=Path, nargs="+", required=True, metavar="FOLDER", help="of no_affect.py --every"
    )
    parser.add_argument("--models", type=Path, default=ROOT / "models", metavar="FOLDER", help="of the pipeline")
    parser.add_argument("--params", type=Path, default=ROOT / "params.yaml", metavar="FILE")
    parser.add_argument("--deals", type=int, default=6, metavar="N", help="of labels, in each simulation")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(exit_code(main))

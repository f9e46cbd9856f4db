"""Which of several methods differ: paired tests over test subjects, corrected for the number of comparisons.

Everything is by trial: the probabilities of a trial's segments are averaged and each trial counts once, because
segments of methods with different windowings are not the same things. docs/evaluation.md, "Which differences hold".
"""

from __future__ import annotations

import json
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from math import ceil, log2
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from eegpipe import metrics
from eegpipe.arrays import arrays_digest
from eegpipe.errors import DataProblem, UsageProblem, did_you_mean
from eegpipe.protocols import PROTOCOLS
from eegpipe.terminal import print_table

# A corrected p below this is called a difference that holds.
LEVEL = 0.05
# Up to 15 people every flip of signs is counted, with more so many are drawn.
RESAMPLES = 2**15
_BATCH = 2048  # flips at a time, for the sake of memory
_SEED = 0
_TRIAL = ("subject", "session", "trial", "stimulus")
# What numpy and zipfile raise for archives that are cut off, altered, encrypted or made up.
_UNREADABLE = (
    *(OSError, ValueError, EOFError, KeyError, IndexError, TypeError, AttributeError, RuntimeError, MemoryError),
    *(BadZipFile, zlib.error),
)
_AGAIN = "Run the stage that writes it again."


# -- stored predictions ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Predicted:
    """Predictions of one method under one protocol, n of them.

    subject : (n,) str
    group : (n,) int, training groups
    trial : (n, k) int, equal rows: segments of one trial
    truth : (n,) int; probabilities : (n, class)
    """

    subject: np.ndarray
    group: np.ndarray
    trial: np.ndarray
    truth: np.ndarray
    probabilities: np.ndarray


def read_predictions(
    path: Path, where: str, protocols: Sequence[str], digest: str | None = None
) -> dict[str, Predicted]:
    """Protocol -> its predictions, of those that a ``predictions.npz`` holds. ``where``: what a message calls it.

    ``digest``: of the arrays, as the metrics name it; None: whatever lies there is taken.

    Raises
    ------
    DataProblem
        If the file is missing, is none, or is that of another evaluation.
    """
    expected = "predictions of an evaluation"
    if not path.is_file():
        raise DataProblem(where, "no file", expected, _AGAIN)
    try:
        with np.load(path, allow_pickle=False) as stored:
            if digest is not None and (found := arrays_digest(stored)) != digest:
                cure = "Restore it (dvc checkout), or evaluate again."
                raise DataProblem(where, f"arrays {found[:12]}", f"{digest[:12]}, as the metrics say", cure)
            names = stored["subject_names"]
            return {one: _predicted(stored, names, one) for one in protocols if f"{one}/truth" in stored.files}
    except _UNREADABLE as error:
        raise DataProblem(where, f"something unreadable ({error.__class__.__name__})", expected, _AGAIN) from None


def _predicted(stored: Mapping[str, np.ndarray], names: np.ndarray, protocol: str) -> Predicted:
    columns = {name: stored[f"{protocol}/{name}"].astype(np.int64) for name in ("group", "truth", *_TRIAL)}
    probabilities = stored[f"{protocol}/probabilities"].astype(np.float64)
    n, n_classes = probabilities.shape
    if any(column.shape != (n,) or column.min() < 0 for column in columns.values()):
        raise ValueError("columns of different lengths, or codes below zero")
    if columns["truth"].max() >= n_classes or not np.isfinite(probabilities).all():
        raise ValueError("a class that has no probability, or a probability that is no number")
    trial = np.column_stack([columns[name] for name in _TRIAL])
    return Predicted(names[columns["subject"]], columns["group"], trial, columns["truth"], probabilities)


def subject_scores(predicted: Predicted) -> dict[str, float]:
    """Test subject -> balanced accuracy by trial, the mean over the training groups that tested the subject."""
    table = np.column_stack([predicted.group, predicted.trial])
    unit = np.unique(table, axis=0, return_inverse=True)[1].reshape(-1)
    first, truth, probabilities = metrics.by_trial(unit, predicted.truth, predicted.probabilities)
    groups, group = np.unique(predicted.group[first], return_inverse=True)
    names, subject = np.unique(predicted.subject[first], return_inverse=True)
    shape = (len(groups), len(names), probabilities.shape[1])
    counts = metrics.confusions(truth, probabilities.argmax(axis=1), group, subject, shape)
    scores = np.nanmean(metrics.balanced_accuracy(counts), axis=0)
    return {str(name): float(score) for name, score in zip(names, scores, strict=True)}


# -- tests -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Comparison:
    """Two methods on the people whom both tested.

    higher, lower : the method with the higher and the one with the lower mean over these people
    people : how many they are; with fewer than two there is no test, and ``p`` and ``corrected`` are None
    difference : mean over them of the difference in balanced accuracy by trial, 0 or above; None without people
    p : two-sided, of this pair alone
    corrected : Holm's, over all pairs that were tested together
    """

    higher: str
    lower: str
    people: int
    difference: float | None
    p: float | None
    corrected: float | None = None

    @property
    def holds(self) -> bool:
        """Whether the two were told apart."""
        return self.corrected is not None and self.corrected < LEVEL


def compare(scores: Mapping[str, Mapping[str, float]]) -> list[Comparison]:
    """Every pair of methods, the clearest difference first.

    Parameters
    ----------
    scores : mapping
        Method -> test subject -> score (:func:`subject_scores`). The order of both changes nothing but the order of
        ties.
    """
    pairs = [_pair(first, second, scores) for first, second in combinations(scores, 2)]
    tested = [pair for pair in pairs if pair.p is not None]
    corrected = holm([pair.p for pair in tested if pair.p is not None])
    done = [replace(pair, corrected=value) for pair, value in zip(tested, corrected, strict=True)]
    done.sort(key=lambda pair: (pair.corrected, pair.p, -(pair.difference or 0)))
    return done + [pair for pair in pairs if pair.p is None]


def _pair(first: str, second: str, scores: Mapping[str, Mapping[str, float]]) -> Comparison:
    people = sorted(scores[first].keys() & scores[second].keys())
    if not people:
        return Comparison(first, second, 0, None, None)
    differences = np.array([scores[first][one] - scores[second][one] for one in people])
    if differences.mean() < 0:
        first, second, differences = second, first, -differences
    p = sign_flip(differences) if len(people) > 1 else None
    return Comparison(first, second, len(people), float(differences.mean()), p)


def sign_flip(differences: np.ndarray) -> float:
    """Two-sided p of the mean of paired differences, if each had either sign with equal chance.

    Exact where all 2^n flips are at most ``RESAMPLES``, else of that many drawn ones with a fixed seed.

    Parameters
    ----------
    differences : (n,)
        One for each person, n at least 2.
    """
    from scipy.stats import permutation_test

    found = permutation_test(
        (differences,),
        # Sums of the same numbers in another order are equal, whatever their last bit.
        lambda values, axis: np.round(np.mean(values, axis=axis), 12),
        permutation_type="samples",
        n_resamples=RESAMPLES,
        batch=_BATCH,
        vectorized=True,
        random_state=np.random.default_rng(_SEED),
    )
    return float(found.pvalue)


def holm(p: Sequence[float]) -> list[float]:
    """Holm's step-down correction: at most the level is the chance of any false difference among all of them."""
    values = np.asarray(p, dtype=float)
    order = np.argsort(values, kind="stable")
    steps = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    corrected = np.empty(len(values))
    corrected[order] = np.minimum(steps, 1)
    return corrected.tolist()


def smallest_p(people: int) -> float:
    """The smallest p that :func:`sign_flip` can give: all people agree, and all flips but two are less extreme."""
    return 2 / min(2**people, RESAMPLES + 1)


def resolution(comparisons: Sequence[Comparison]) -> str:
    """What so few people cannot show, in words; empty where a pair could be told apart."""
    tested = [one for one in comparisons if one.p is not None]
    if not tested:
        return "Fewer than two people were tested by any two methods, so there is no test."
    people, number = max(one.people for one in tested), len(tested)
    least = min(1.0, smallest_p(people) * number)
    if least < LEVEL:
        return ""
    needed = ceil(log2(2 * number / LEVEL))
    smallest, several = f"{smallest_p(people):.2g}", number > 1
    return (
        f"With {people} people no two methods can be told apart{' after correction' if several else ''}, however far "
        f"apart they lie: the smallest p that the test can give is {smallest}"
        + (f", and {least:.2g} after the correction for {number} comparisons." if several else ".")
        + (f" It takes {needed} people or more." if needed > people else "")
    )


def p_text(p: float | None) -> str:
    """For a table."""
    return "–" if p is None else "< 0.0001" if p < 0.0001 else f"{p:.4f}"


# -- files -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Compared:
    """Every pair of methods of one target under one protocol. ``left_out``: files without this protocol."""

    target: str
    protocol: str
    leak_free: bool
    comparisons: tuple[Comparison, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class _File:
    path: Path
    target: str
    method: str
    protocols: Mapping[str, tuple[str, bool]]  # name -> hash of the split, whether the row is leak free
    arrays: str  # digest of the predictions

    @property
    def predictions(self) -> Path:
        """Where they lie: beside the file, or in the project folder that ``metrics/`` lies in."""
        folder = self.path.absolute().parent
        if folder.parent.name == "metrics":
            folder = folder.parents[1] / "plots" / self.target / self.method
        return folder / "predictions.npz"


def compare_files(paths: Sequence[Path], protocol: str | None = None) -> Compared:
    """Every pair of methods of the metrics files of one target.

    Parameters
    ----------
    paths : sequence of Path
        Metrics files of ``eegpipe evaluate``; their predictions lie beside them or in ``plots/<target>/<method>``.
    protocol : str or None
        None: the one that is leak free in all of them or, where there is none, in most; of several the strictest.

    Raises
    ------
    UsageProblem
        Files of several targets, fewer than two methods under this protocol.
    DataProblem
        A file or its predictions are missing or unreadable, or were made under other splits than the first.
    """
    files = [_read(path) for path in {path.resolve(): path for path in paths}.values()]
    targets = list(dict.fromkeys(one.target for one in files))
    if len(targets) > 1:
        raise UsageProblem(f"Metrics of several targets: {', '.join(targets)}. Make a table of each.")
    if len(files) < 2:
        raise UsageProblem(f"Only one method: {files[0].path}. Name the metrics of two or more.")
    chosen = _protocol(files, protocol)
    tested = [one for one in files if chosen in one.protocols and (protocol or one.protocols[chosen][1])]
    if len(tested) < 2:
        raise UsageProblem(f"Only one method under '{chosen}': {tested[0].path}. Name the metrics of two or more.")
    times = Counter(one.method for one in tested)
    scores = {}
    for one in tested:
        split, first = one.protocols[chosen][0], tested[0].protocols[chosen][0]
        if split != first:
            cure = f"Evaluate both under the same splits ({tested[0].path})."
            raise DataProblem(f"{one.path}: protocols.{chosen}.split", split[:12], first[:12], cure)
        where = str(one.predictions)
        found = read_predictions(one.predictions, where, [chosen], one.arrays).get(chosen)
        if found is None:
            raise DataProblem(where, "other protocols", f"predictions of {chosen}", _AGAIN)
        scores[one.method if times[one.method] == 1 else f"{one.method} ({one.path})"] = subject_scores(found)
    leak_free = all(one.protocols[chosen][1] for one in tested)
    left_out = tuple(str(one.path) for one in files if one not in tested)
    return Compared(targets[0], chosen, leak_free, tuple(compare(scores)), left_out)


def _read(path: Path) -> _File:
    if not path.is_file():
        raise UsageProblem(f"{path}: does not exist, expected a metrics file of `eegpipe evaluate`.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        protocols = {name: (str(row["split"]), bool(row["leak_free"])) for name, row in content["protocols"].items()}
        arrays = str(content["files"]["predictions"])
        return _File(path, str(content["target"]), str(content["method"]), protocols, arrays)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        text = f"something unreadable ({error.__class__.__name__}: {error})"
        raise DataProblem(str(path), text, "metrics of `eegpipe evaluate`", _AGAIN) from None


def _protocol(files: Sequence[_File], name: str | None) -> str:
    known = dict.fromkeys(protocol for one in files for protocol in one.protocols)
    if name is not None:
        if name not in known:
            raise UsageProblem(f"No protocol '{name}' in these metrics.{did_you_mean(name, known)}")
        return name
    clean = Counter(protocol for one in files for protocol, (_, leak_free) in one.protocols.items() if leak_free)
    # Of equally many the first: protocols stand from the strictest to the loosest.
    best = max((one for one in PROTOCOLS if one in clean), key=lambda one: clean[one], default=None)
    if best is None or clean[best] < 2:
        raise UsageProblem(f"No leak-free protocol that two of these methods share. Tested: {', '.join(known)}.")
    return best


def show(found: Compared, *, as_json: bool = False) -> None:
    """Print the table of pairs and how to read it."""
    limit = resolution(found.comparisons)
    if as_json:
        print(json.dumps(asdict(found) | {"level": LEVEL, "resolution": limit}, indent=2, ensure_ascii=False))
        return
    rows: list[dict[str, Any]] = [
        {
            "higher": one.higher,
            "lower": one.lower,
            "difference": "–" if one.difference is None else f"{one.difference:.3f}",
            "people": one.people,
            "p": p_text(one.p),
            "corrected p": p_text(one.corrected),
            "holds": one.holds if one.p is not None else "fewer than two people",
        }
        for one in found.comparisons
    ]
    kind = "leak free" if found.leak_free else "with leaks: no evidence about new people"
    print_table(f"{found.target}, {found.protocol} ({kind})", rows)
    print("Difference: balanced accuracy by trial, mean over the people whom both methods tested.")
    tested = sum(one.p is not None for one in found.comparisons)
    if tested > 1:
        rule = f"It holds if p, corrected for {tested} pairs (Holm), is below {LEVEL}."
    else:
        rule = f"It holds below {LEVEL}, if this pair was chosen before any result was seen."
    print(f"p: sign-flip test over these people. {rule}")
    if limit:
        print(limit)
    if found.left_out:
        print(f"Not under this protocol{' without a leak' if found.leak_free else ''}: {', '.join(found.left_out)}")

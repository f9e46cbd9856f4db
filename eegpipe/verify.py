"""Is a metrics file what its predictions, splits, segment store and model make it?

Everything in the file that follows from the stored predictions is computed again; everything that was read is compared
with the digest that the file names; and the assertions against leaks run once more. Nothing is trained. A check that
needs something that is itself wrong is not made and says so. docs/evaluation.md.
"""

from __future__ import annotations

import csv
import json
import math
import sys
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from string import hexdigits
from typing import Any

import numpy as np

from eegpipe import across, methods, metrics, ratings
from eegpipe.affect import LIMIT
from eegpipe.arrays import arrays_digest
from eegpipe.errors import DataProblem, UsageProblem
from eegpipe.evaluate import METHODS, MODEL_FILES, family
from eegpipe.finetune import SUFFIX
from eegpipe.fingerprint import file_digest
from eegpipe.loader import PER_SEGMENT, Segments, load_labels
from eegpipe.models.baseline_settings import BASELINES, RAW_NETWORKS
from eegpipe.models.baselines import class_prior
from eegpipe.predictions import EvaluateSettings, Predictions, fold_rows, group_names, mean_chance, told_to_all, uses_of
from eegpipe.results import CURVE, PREDICTIONS, content_hash, entry, tables
from eegpipe.splits import LeakError, Split, assert_disjoint, assert_unseen, knows_tested
from eegpipe.terminal import print_table
from eegpipe.trials import Classes, find_classes

# Scores are stored with six digits; the last one may round otherwise on another machine.
_TOLERANCE = 1.5e-6
# Fields of one protocol that are named one by one when they differ.
_NAMED = 3
# In a table: hexadecimal digits of a digest, characters of a cell.
_DIGEST, _CELL = 64, 60
_COLUMNS = ("group", "fold", "fold_names", "row", "subject", "session", "trial", "stimulus", "truth", "probabilities")
# Where ratings were predicted: all of them or none.
_PREDICTED = ratings.RATINGS
_RATED = tuple(f"rated_{name}" for name in _PREDICTED)
# What numpy and zipfile raise for archives that are cut off, altered, encrypted or made up.
_UNREADABLE = (OSError, ValueError, EOFError, KeyError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error)
_AGAIN = "Run the evaluation again."
_RESTORE = "Restore it (dvc checkout) or run its stage again, and then the evaluation."


@dataclass(frozen=True)
class Check:
    """One comparison. ``ok`` None: not made, because what it needs is wrong or missing itself.

    file : where a person looks, relative to the project folder
    what : the field, or what was compared
    expected, found : as texts
    cure : what to do if it is not ok
    """

    file: str
    what: str
    expected: str
    found: str
    ok: bool | None
    cure: str = ""

    def __str__(self) -> str:
        return f"{self.file}: {self.what}: expected {self.expected}, found {self.found}. {self.cure}".rstrip()


@dataclass(frozen=True)
class Places:
    """Where the files of one evaluation lie.

    root : the project folder, to which names in checks are relative
    others : data set -> its store, of those that trained; beside ``store`` where it is not named
    """

    root: Path
    metrics: Path
    plots: Path
    splits: Path
    store: Path
    model: Path
    others: Mapping[str, Path]

    def name(self, path: Path) -> str:
        """How a check calls this path."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)


def verify(
    path: Path,
    *,
    root: Path | None = None,
    plots: Path | None = None,
    splits: Path | None = None,
    store: Path | None = None,
    model: Path | None = None,
    others: Sequence[Path] = (),
) -> list[Check]:
    """Every check of one metrics file, in the order in which a person asks.

    Parameters
    ----------
    path : Path
        A metrics file of ``eegpipe evaluate``.
    root : Path or None
        The project folder. Default: the one whose ``metrics/<target>/<method>.json`` this is, else the file's folder.
    plots, splits, store, model : Path or None
        Folder of the predictions, folder of the manifests, segment store, folder of the pre-trained model. Default:
        their places in the project folder (``predictions.npz`` also beside the file).
    others : sequence of Path
        Stores of other data sets, which a method ``*_across`` has learned from. Default: beside the target's.

    Returns
    -------
    list of Check
        The file is confirmed if every one is ``ok``.

    Raises
    ------
    UsageProblem
        ``path`` is no file.
    """
    path = Path(path).absolute()
    if not path.is_file():
        raise UsageProblem(f"{path}: does not exist, expected a metrics file of `eegpipe evaluate`.")
    checks: list[Check] = []
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        method, target, windowing = (str(content[name]) for name in ("method", "target", "windowing"))
        if method not in METHODS:
            raise ValueError(f"the unknown method '{method}'")
        protocols, hashes = dict(content["protocols"]), dict(content["hashes"])
        files = dict(content.get("files") or {})
        in_project = path.parent.parent.name == "metrics"
        base = (root or (path.parents[2] if in_project else path.parent)).absolute()
        beside = not in_project and (path.parent / PREDICTIONS).is_file()
        places = Places(
            root=base,
            metrics=path,
            plots=(plots or (path.parent if beside else base / "plots" / target / method)).absolute(),
            splits=(splits or base / "data" / "splits" / across.folder(target, method)).absolute(),
            store=(store or base / "data" / "segments" / windowing / f"{target}.zarr").absolute(),
            model=(model or base / "models" / family(method) / target).absolute(),
            others={load_labels(one, "").dataset: one.absolute() for one in others},
        )
        checks.extend(_Evaluation(content, method, protocols, hashes, files, places).checks())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        # An entry is missing or of another type; extend() has kept the checks before it.
        found = f"something unreadable ({type(error).__name__}: {error})"
        checks.append(Check(path.name, "content", "metrics of `eegpipe evaluate`", found, False, _AGAIN))
    return checks


def confirmed(checks: Sequence[Check]) -> bool:
    """Whether every check was made and is good."""
    return all(check.ok for check in checks)


def verify_all(paths: Sequence[Path], **places: Any) -> dict[str, list[Check]]:
    """Path -> its checks. ``places``: the options of :func:`verify`."""
    return {str(path): verify(path, **places) for path in paths}


def show(found: Mapping[str, Sequence[Check]], *, as_json: bool = False) -> int:
    """Print a table a file and one line a mismatch; return the exit code: 0 only if every file is confirmed."""
    good = all(confirmed(checks) for checks in found.values())
    if as_json:
        content = {path: [asdict(check) for check in checks] for path, checks in found.items()}
        print(json.dumps({"ok": good, "files": content}, indent=2, ensure_ascii=False))
        return 0 if good else 1
    for path, checks in found.items():
        rows = [
            {
                "what": check.what if check.file == Path(path).name else f"{check.file}: {check.what}",
                "expected": _short(check.expected),
                "found": _short(check.found),
                "ok": check.ok,
            }
            for check in checks
        ]
        print_table(path, rows)
        for check in checks:
            if check.ok is False:
                print(f"MISMATCH {check}", file=sys.stderr)
        wrong, skipped = (sum(check.ok is state for check in checks) for state in (False, None))
        more = f", {skipped} not made" if skipped else ""
        print(f"{path}: {len(checks)} checks, " + (f"{wrong} failed{more}" if wrong or skipped else "all good"))
    return 0 if good else 1


def _short(text: str) -> str:
    """For a table: the first digits of a digest, the start of a long text."""
    if len(text) == _DIGEST and set(text) <= set(hexdigits):
        return text[:12]
    return text if len(text) <= _CELL else text[: _CELL - 4] + " ..."


class _Evaluation:
    """One metrics file and what is read on the way through the checks; None: wrong or missing."""

    def __init__(
        self,
        content: Mapping[str, Any],
        method: str,
        protocols: Mapping[str, Mapping[str, Any]],
        hashes: Mapping[str, Any],
        files: Mapping[str, Any],
        places: Places,
    ) -> None:
        self.content = content
        self.method = method
        self.protocols = protocols
        self.hashes = hashes
        self.files = files
        self.places = places
        self.here = places.name(places.metrics)
        self.store: Segments | None = None
        self.manifest: Mapping[str, Any] | None = None
        self.across: bool | None = None
        self.arrays: dict[str, np.ndarray] | None = None
        self.splits: dict[str, Split] = {}

    def checks(self) -> Iterator[Check]:
        named = self.content.get("hash")
        yield _same(
            self.here, "hash of the content", named, content_hash(self.content), "The file was edited. " + _AGAIN
        )
        yield from self.check_store()
        yield from self.check_model()
        yield from self.check_predictions()
        yield from self.check_curve()
        results = []
        for protocol in self.protocols:
            yield from self.check_split(protocol)
            result, checks = self.recompute(protocol)
            yield from checks
            results += [result] if result else []
        yield from self.check_tables(results)
        yield from self.check_not_applicable()

    # -- files ---------------------------------------------------------------------------------------------------------

    def check_store(self) -> Iterator[Check]:
        from eegpipe.store import store_digest

        path, name = self.places.store, self.places.name(self.places.store)
        cure = "This is another store than the evaluated one, or a file of it changed. " + _RESTORE
        if not path.is_dir():
            yield _missing(name, "digest", self.hashes.get("store"), "--store")
            return
        check = _same(name, "digest", self.hashes.get("store"), store_digest(path), cure)
        yield check
        if check.ok:
            self.store = load_labels(path, str(self.hashes["store"]))
            told = f"{self.content['target']}, windowing {self.content['windowing']}"
            found = f"{self.store.dataset}, windowing {self.store.windowing}"
            yield Check(name, "data set", told, found, told == found, _AGAIN)
            if self.method.endswith(across.SUFFIX):
                yield from self.check_others(self.store)

    def check_others(self, target: Segments) -> Iterator[Check]:
        """The stores that trained. Only with all of them are there labels to compare with."""
        from eegpipe.store import store_digest

        self.store = None
        named = dict(self.content.get("learned_from") or {})
        if not named:
            yield Check(self.here, "learned_from", "the data sets that trained", "none recorded", False, _AGAIN)
        others = []
        for other, digest in named.items():
            path = self.places.others.get(other, self.places.store.parent / f"{other}.zarr")
            name = self.places.name(path)
            if not path.is_dir():
                yield _missing(name, "digest", digest, "--from")
                continue
            cure = "This is another store than the one that trained, or a file of it changed. " + _RESTORE
            check = _same(name, "digest", digest, store_digest(path), cure)
            yield check
            if check.ok:
                others.append(load_labels(path, str(digest)))
        if named and len(others) == len(named):
            try:
                self.store = across.joined(target, others)
            except (DataProblem, UsageProblem) as problem:
                yield Check(self.here, "learned_from", "the other data sets, each once", str(problem), False, _AGAIN)

    def check_model(self) -> Iterator[Check]:
        named, weights = self.files.get("model"), self.hashes.get("model")
        if family(self.method) in BASELINES:
            found = "a model is named" if weights or named else "none"
            yield Check(self.here, "model", "none, as a baseline has none", found, found == "none", _AGAIN)
            self.across = False
            return
        if not named:
            cure = "Evaluate from the folder of a pre-trained model: `eegpipe evaluate --model`."
            yield Check(self.here, "files.model", "digests of the model's files", "none recorded", False, cure)
            return
        yield _same(self.here, "hashes.model", named.get("weights.safetensors"), weights, _AGAIN)
        good = True
        for file in MODEL_FILES:
            path = self.places.model / file
            name = self.places.name(path)
            if not path.is_file():
                check = _missing(name, "digest", named.get(file), "--model")
            else:
                cure = "This is another model than the evaluated one, or the file changed. " + _RESTORE
                check = _same(name, "digest", named.get(file), file_digest(path), cure)
            good &= bool(check.ok)
            yield check
        if good:
            self.manifest = json.loads((self.places.model / "manifest.json").read_text(encoding="utf-8"))
            config = json.loads((self.places.model / "config.json").read_text(encoding="utf-8"))
            known = methods.get(family(self.method))
            self.across = known.across(known.read_config(config))

    def check_predictions(self) -> Iterator[Check]:
        path = self.places.plots / PREDICTIONS
        name = self.places.name(path)
        if not path.is_file():
            yield _missing(name, "digest", self.files.get("predictions"), "--plots")
            return
        try:
            arrays = _read_arrays(path)
        except _UNREADABLE as error:
            found = f"something unreadable ({type(error).__name__}: {' '.join(str(error).split())[:100]})"
            yield Check(name, "content", "arrays without pickles, all of them whole", found, False, _RESTORE)
            return
        named = self.files.get("predictions")
        yield _same(name, "digest of the arrays", named, arrays_digest(arrays), "A prediction was altered. " + _RESTORE)
        problem = _malformed(arrays, list(self.protocols), len(self.content["classes"]["names"]))
        if problem:
            yield Check(name, "arrays", "predictions of every protocol in the metrics", problem, False, _RESTORE)
        else:
            self.arrays = arrays

    def check_curve(self) -> Iterator[Check]:
        path = self.places.plots / CURVE
        named = self.files.get("training_curve")
        if not path.is_file():
            yield _missing(self.places.name(path), "digest", named, "--plots")
        else:
            yield _same(
                self.places.name(path), "digest", named, file_digest(path), "The table was altered. " + _RESTORE
            )

    def check_split(self, protocol: str) -> Iterator[Check]:
        path = self.places.splits / f"{protocol}.json"
        name, named = self.places.name(path), self.protocols[protocol].get("split")
        if not path.is_file():
            yield _missing(name, "hash", named, "--splits")
            return
        try:
            split = Split.load(path)
        except DataProblem as problem:
            what = "hash" if problem.where.endswith(": hash") else "content"
            yield Check(name, what, problem.expected, problem.found, False, "The manifest was altered. " + _RESTORE)
            return
        cure = "This is another split than the evaluated one. " + _RESTORE
        check = _same(name, "hash", named, split.hash, cure)
        yield check
        if check.ok:
            self.splits[protocol] = split

    def check_tables(self, results: Sequence[Predictions]) -> Iterator[Check]:
        whole = len(results) == len(self.protocols) and self.arrays is not None
        texts = tables(results, _tested(self.arrays or {}, self.content), self.protocols) if whole else {}
        for table in ("confusion.csv", "per_subject.csv"):
            path = self.places.plots / table
            name, what = self.places.name(path), "computed again from the predictions"
            if not path.is_file():
                yield _missing(name, what, "the table", "--plots")
            elif table not in texts:
                yield _not_made(name, what, "predictions and splits as evaluated")
            else:
                expected = texts[table].splitlines()
                found = path.read_text(encoding="utf-8").splitlines()
                differing = sum(one != other for one, other in zip(expected, found, strict=False))
                differing += abs(len(expected) - len(found))
                text = "the same" if not differing else f"{differing} other lines"
                yield Check(
                    name, what, f"{len(expected)} lines", text, not differing, "The table was altered. " + _RESTORE
                )

    def check_not_applicable(self) -> Iterator[Check]:
        path = self.places.splits / "not_applicable.tsv"
        if not path.is_file():
            return
        with path.open(encoding="utf-8", newline="") as lines:
            reasons = {row["protocol"]: row["reason"] for row in csv.DictReader(lines, delimiter="\t")}
        recorded = self.content["not_applicable"]
        other = [name for name, reason in reasons.items() if recorded.get(name) != reason]
        found = f"another reason for {', '.join(other)}" if other else "the same"
        yield Check(self.here, "not_applicable", f"the reasons in {path.name}", found, not other, _AGAIN)

    # -- what follows from the predictions -----------------------------------------------------------------------------

    def recompute(self, protocol: str) -> tuple[Predictions | None, list[Check]]:
        """The predictions of a protocol, and every check that needs them."""
        split, recorded = self.splits.get(protocol), self.protocols[protocol]
        what = f"{protocol}: values"
        if split is None or self.arrays is None:
            needed = "predictions that can be read" if self.arrays is None else "its split as evaluated"
            return None, [_not_made(self.here, what, needed)]
        segments = _tested(self.arrays, self.content)
        columns = {name: self.arrays[f"{protocol}/{name}"] for name in _COLUMNS}
        checks: list[Check] = []
        chance = recorded["chance"]
        if self.store is None:
            checks.append(_not_made(self.here, f"{protocol}: chance, test parts, leaks", "the store as evaluated"))
        else:
            classes = find_classes(self.store, split.settings["target"])
            chance = _chance(split, self.store, classes)
            predicted = self.places.name(self.places.plots / PREDICTIONS)
            checks += _against_store(predicted, protocol, columns, split, self.store, classes, self.arrays)
            checks += self.check_ratings(split, self.store, columns["row"])
            checks += self.check_leaks(split, self.store)
            checks += self.check_uses(split, self.store, columns["row"])
        rows = np.unique(np.concatenate([self.arrays[f"{name}/row"] for name in self.protocols]))
        result = Predictions(
            split=split,
            done=tuple(recorded["transductive"]),
            group=columns["group"].astype(np.int64),
            fold=columns["fold"].astype(np.int64),
            row=np.searchsorted(rows, columns["row"]),
            truth=columns["truth"].astype(np.int64),
            probabilities=columns["probabilities"].astype(np.float64),
            chance=chance,
            curves=[],
            rated=_rated(self.arrays, protocol),
        )
        settings = self.content["settings"]
        terms = EvaluateSettings(resamples=settings["resamples"], confidence=settings["confidence"])
        again = json.loads(json.dumps(entry(result, segments, terms, self.content["seed"])))
        checks += self.compare(protocol, dict(_flat(again)), dict(_flat(recorded)))
        if split.classes != self.content["classes"]:
            checks.append(Check(self.here, "classes", "those of the split", "others", False, _AGAIN))
        return result, checks

    def compare(self, protocol: str, again: Mapping[str, Any], recorded: Mapping[str, Any]) -> Iterator[Check]:
        """One good check of all fields, or one bad one for each of the first few that differ."""
        names = list(dict.fromkeys([*again, *recorded]))
        differing = [
            name for name in names if not _equal(again.get(name, "no such field"), recorded.get(name, "no such field"))
        ]
        if not differing:
            yield Check(self.here, f"{protocol}: values", f"{len(names)} fields", "the same", True)
        cure = "The file was edited, or the predictions were: see the hashes. " + _AGAIN
        for name in differing[:_NAMED]:
            expected, found = (_text(values.get(name, "no such field")) for values in (again, recorded))
            yield Check(self.here, f"{protocol}.{name}", f"{expected} (computed again)", found, False, cure)
        if len(differing) > _NAMED:
            rest = f"{len(differing) - _NAMED} more of {len(names)} fields differ"
            yield Check(self.here, f"{protocol}: values", "the same as computed again", rest, False, cure)

    def check_ratings(self, split: Split, store: Segments, rows: np.ndarray) -> Iterator[Check]:
        """Whether ratings were predicted where they are due, of what the store's participants said."""
        shared = not self.method.endswith(SUFFIX) and (
            family(self.method) not in BASELINES or family(self.method) == "de"
        )
        told = told_to_all(split, store, find_classes(store, split.settings["target"])) if shared else None
        due = None if told is None else told.values[rows[rows < len(store)]]
        if due is not None and np.isnan(due).all():
            due = None
        found = _rated(self.arrays or {}, split.protocol)
        if due is None and found is None:
            return
        name, what = self.places.name(self.places.plots / PREDICTIONS), f"{split.protocol}: the participants' ratings"
        expected = "none" if due is None else "those of the store"
        if due is None or found is None:
            text, ok = "some" if found else "none", False
        else:
            ok = np.array_equal(found.reported, due, equal_nan=True)
            text = expected if ok else "others"
        yield Check(name, what, expected, text, ok, "The ratings were altered. " + _RESTORE)

    def check_leaks(self, split: Split, store: Segments) -> Iterator[Check]:
        """The assertions of the evaluation, once more."""
        what = f"{split.protocol}: assertions against leaks"
        needs_model = family(self.method) not in BASELINES
        if needs_model and self.manifest is None:
            yield _not_made(self.here, what, "the model as evaluated")
            return
        found = "passed"
        try:
            split.check(store)
            for fold in split.folds:
                assert_disjoint(fold, store, [kind for kind, apart in split.disjoint.items() if apart is True])
                if self.manifest is not None:
                    assert_unseen(self.manifest, store, fold, split)
        except (LeakError, DataProblem) as problem:
            found = str(problem)
        yield Check(self.here, what, "passed", found, found == "passed", "Make the split again, and evaluate again.")

    def check_uses(self, split: Split, store: Segments, rows: np.ndarray) -> Iterator[Check]:
        """Whether the row declares the uses of test data that follow from its settings and the model."""
        what = f"{split.protocol}.transductive"
        if self.across is None:
            yield _not_made(self.here, what, "the model as evaluated")
            return
        declared = list(self.protocols[split.protocol]["transductive"])
        due: Sequence[str] = ()
        if self.method not in ("majority", "prior"):
            tested = np.zeros(len(store), dtype=bool)
            tested[rows[(rows >= 0) & (rows < len(store))]] = True
            knows = self.manifest is not None and knows_tested(self.manifest, store, tested)
            reads_past = self.method == "de_lstm"
            due = uses_of(split.protocol, self.treatment(), across=self.across, knows=knows, reads_past=reads_past)
        cure = "The row does not say what was done with test data. " + _AGAIN
        expected, found = (", ".join(sorted(names)) or "nothing" for names in (due, declared))
        yield Check(self.here, what, expected, found, expected == found, cure)

    def treatment(self) -> EvaluateSettings | None:
        """How features were treated; None where a method trains on segments itself."""
        if self.method.endswith(SUFFIX) or self.method in RAW_NETWORKS:
            return None
        settings = self.content["settings"]
        return EvaluateSettings(**{name: settings[name] for name in ("normalisation", "smoothing", "encoder_batch")})


# -- reading -----------------------------------------------------------------------------------------------------------


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Every array of an archive, decoded and checked by its CRC. A pickle is refused, never loaded."""
    archive = np.load(path, allow_pickle=False)
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise ValueError("one array, no archive of arrays")
    with archive:
        return {name: archive[name] for name in archive.files}


def _malformed(arrays: Mapping[str, np.ndarray], protocols: Sequence[str], n_classes: int) -> str:
    """What is wrong with the form of the arrays, in words; empty: nothing."""
    if missing := [name for name in ("classes", "subject_names") if name not in arrays]:
        return f"no {missing[0]}"
    for protocol in protocols:
        if missing := [name for name in _COLUMNS if f"{protocol}/{name}" not in arrays]:
            return f"no {protocol}/{missing[0]}"
        columns = {name: arrays[f"{protocol}/{name}"] for name in _COLUMNS if name != "fold_names"}
        probabilities = columns.pop("probabilities")
        count = len(columns["row"])
        if not count or any(values.shape != (count,) or values.dtype.kind != "i" for values in columns.values()):
            return f"columns of {protocol} that are not as long as each other, or no whole numbers"
        if probabilities.shape != (count, n_classes) or probabilities.dtype.kind != "f":
            return f"probabilities of {protocol} of shape {probabilities.shape}"
        if not np.isfinite(probabilities).all() or any(values.min() < 0 for values in columns.values()):
            return f"values of {protocol} that are not finite or below zero"
        if columns["truth"].max() >= n_classes or columns["subject"].max() >= len(arrays["subject_names"]):
            return f"a class or subject of {protocol} without a name"
        if problem := _malformed_ratings(arrays, protocol, count):
            return problem
    return ""


def _malformed_ratings(arrays: Mapping[str, np.ndarray], protocol: str, count: int) -> str:
    """As :func:`_malformed`, of the columns that only some predictions have."""
    given = {name: arrays.get(f"{protocol}/{name}") for name in (*_PREDICTED, *_RATED)}
    columns = {name: values for name, values in given.items() if values is not None}
    if not columns:
        return ""
    if len(columns) < len(given):
        return f"some ratings of {protocol}, but not {', '.join(given.keys() - columns.keys())}"
    if any(values.shape != (count,) or values.dtype.kind != "f" for values in columns.values()):
        return f"ratings of {protocol} that are not as long as its other columns, or no numbers"
    # Only what a person did not say may be missing.
    within = {name: np.abs(values) <= LIMIT for name, values in columns.items()}
    if not all((within[name] | (np.isnan(columns[name]) if name in _RATED else False)).all() for name in columns):
        return f"ratings of {protocol} that are not on the scale"
    return ""


def _rated(arrays: Mapping[str, np.ndarray], protocol: str) -> ratings.Rated | None:
    """Predicted and given ratings of well-formed arrays; None: there are none."""
    if f"{protocol}/{_PREDICTED[0]}" not in arrays:
        return None
    predicted, reported = (
        np.stack([arrays[f"{protocol}/{name}"] for name in names], axis=1).astype(np.float64)
        for names in (_PREDICTED, _RATED)
    )
    return ratings.Rated(predicted, reported)


def _segments(columns: Mapping[str, Any], shape: tuple[int, ...], **names: Any) -> Segments:
    """Segments without a signal: ``eeg`` has its shape and takes no memory."""
    return Segments(eeg=np.broadcast_to(np.float32(0), shape), **columns, **names)


def _tested(arrays: Mapping[str, np.ndarray], content: Mapping[str, Any]) -> Segments:
    """What the predictions themselves say of the tested segments, in order of their position in the store."""
    protocols = list(content["protocols"])
    joined = {
        name: np.concatenate([arrays[f"{protocol}/{name}"] for protocol in protocols])
        for name in ("row", "subject", "session", "trial", "stimulus")
    }
    rows, first = np.unique(joined.pop("row"), return_index=True)
    columns = {name: values[first].astype(np.int64) for name, values in joined.items()}
    unknown = {name: np.zeros(len(rows)) for name in PER_SEGMENT if name not in columns and name != "eeg"}
    return _segments(
        columns | unknown,
        (len(rows), 1, 1),
        dataset=content["target"],
        windowing=content["windowing"],
        rate_hz=1.0,
        channels=(),
        subject_names=tuple(arrays["subject_names"].tolist()),
        session_names=(),
        stimulus_names={},
        labels=(),
        digest="",
    )


# -- comparing ---------------------------------------------------------------------------------------------------------


def _chance(split: Split, store: Segments, classes: Classes) -> dict[str, float]:
    """The entry ``chance`` of a protocol, from the labels of training and test parts."""
    n_classes = len(classes.names)
    chances = []
    for fold in split.folds:
        train, test = (classes.of_segment[fold_rows(fold, part, store, classes)] for part in ("train", "test"))
        guess = metrics.chance(class_prior(train, n_classes), class_prior(test, n_classes))
        chances.append((fold.group, len(test), guess))
    return mean_chance(chances)


def _against_store(
    name: str,
    protocol: str,
    columns: Mapping[str, np.ndarray],
    split: Split,
    store: Segments,
    classes: Classes,
    arrays: Mapping[str, np.ndarray],
) -> Iterator[Check]:
    """Whether exactly the test parts of the split were predicted, with the store's labels, subjects and trials."""
    groups = group_names(split)
    tested = [fold_rows(fold, "test", store, classes) for fold in split.folds]
    rows = np.concatenate(tested)
    expected = {
        "row": rows,
        "fold": np.repeat(np.arange(len(tested)), [len(part) for part in tested]),
        "group": np.repeat([groups.index(fold.group) for fold in split.folds], [len(part) for part in tested]),
        "truth": classes.of_segment[rows],
        **{one: getattr(store, one)[rows] for one in ("subject", "session", "trial", "stimulus")},
        "fold_names": np.array([fold.name for fold in split.folds]),
        "classes": np.array(classes.names),
        "subject_names": np.array(store.subject_names),
    }
    found = {one: arrays[one] if one in arrays else columns[one] for one in expected}
    other = [one for one, values in expected.items() if not np.array_equal(values, found[one])]
    what = f"{protocol}: segments, classes, subjects and trials"
    text = f"others ({', '.join(other)})" if other else "the same"
    cure = "The predictions are of other segments than the split's test parts. " + _RESTORE
    yield Check(name, what, "those of the test parts", text, not other, cure)


def _same(file: str, what: str, named: Any, found: Any, cure: str) -> Check:
    """A digest that the metrics name, against the one that is found."""
    if not named:
        return Check(file, what, "recorded in the metrics", "not recorded there", False, _AGAIN)
    return Check(file, what, str(named), str(found), named == found, cure)


def _missing(file: str, what: str, named: Any, option: str) -> Check:
    return Check(file, what, str(named), "no such file or folder", False, f"{_RESTORE} Or name it with {option}.")


def _not_made(file: str, what: str, needed: str) -> Check:
    return Check(file, what, needed, "not checked", None, "Mend that first.")


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """``accuracy.interval.low`` and its value, for every value that is no mapping."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flat(item, f"{name}.{key}" if name else str(key))
    else:
        yield name, value


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=0, abs_tol=_TOLERANCE)
    return type(one) is type(other) and bool(one == other)


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)

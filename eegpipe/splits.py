"""Who and what is trained on and tested on: decided before any training, stored as JSON, hashed.

A split names subjects and stimuli, never positions in an array, and depends only on the table of trials (subject,
session, trial, stimulus, class), the settings and the seed. docs/evaluation.md explains the protocols and the rule for
``leak_free``.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eegpipe.errors import DataProblem, UsageProblem, did_you_mean
from eegpipe.fingerprint import digest
from eegpipe.protocols import (
    CLEAN_MAY_USE,
    PROTOCOLS,
    PUBLISHED_USES,
    TRANSDUCTIVE,
    NotApplicable,
    Protocol,
    SplitSettings,
    clip_folds,
    shuffled,
    too_few,
    training_groups,
)
from eegpipe.trials import Trial, find_classes, label_is_condition, trial_table

if TYPE_CHECKING:
    from eegpipe.loader import Segments


class LeakError(UsageProblem):
    """Test data would reach training: the same subject, clip or trial on both sides, or known to the encoder."""


@dataclass(frozen=True)
class Part:
    """Every trial of these subjects with these stimuli, by name."""

    subjects: tuple[str, ...]
    stimuli: tuple[str, ...]


@dataclass(frozen=True)
class Fold:
    """One training and one test part. The folds of a group test each of their trials once."""

    name: str
    group: str
    train: Part
    validation: Part | None
    test: Part


@dataclass(frozen=True)
class Split:
    """A manifest. ``disjoint`` says for subject, stimulus and trial whether no unit of it is on both sides.

    ``leak_free`` is true if test data selects nothing, no test subject and no test clip is in a training part, and
    unlabelled test data is used in no way other than those named in ``transductive``.
    """

    protocol: str
    summary: str
    dataset: str
    settings: Mapping[str, Any]
    classes: Mapping[str, Any]
    counts: Mapping[str, int]
    trials_digest: str
    disjoint: Mapping[str, bool | str]
    transductive: tuple[str, ...]
    test_selects: bool
    leak_free: bool
    leaks: tuple[str, ...]
    notes: tuple[str, ...]
    folds: tuple[Fold, ...]

    @property
    def hash(self) -> str:
        """SHA-256 of the content."""
        return digest(self)

    def save(self, path: Path) -> None:
        """Write the manifest as JSON, its hash last."""
        content = dataclasses.asdict(self) | {"hash": self.hash}
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(path.name + ".part")
        beside.write_text(_pretty(content) + "\n", encoding="utf-8")
        beside.replace(path)

    @classmethod
    def load(cls, path: Path) -> Split:
        """Read a manifest; :class:`DataProblem` if its content is not what its hash says."""
        cure = "Make the split again with `eegpipe split`."
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            stored = content.pop("hash")
            for name in ("transductive", "leaks", "notes"):
                content[name] = tuple(content[name])
            content["folds"] = tuple(_fold(fold) for fold in content["folds"])
            split = cls(**content)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataProblem(path.name, f"no split manifest ({error})", "JSON of `eegpipe split`", cure) from None
        if split.hash != stored:
            raise DataProblem(f"{path.name}: hash", f"content {split.hash[:12]}", f"{str(stored)[:12]}", cure)
        return split

    def check(self, segments: Segments) -> None:
        """Raise :class:`DataProblem` unless ``segments`` holds exactly the trials that the split was made from."""
        found = digest(trial_table(segments, find_classes(segments, self.settings["target"])))
        if segments.dataset != self.dataset or found != self.trials_digest:
            raise DataProblem(
                f"split {self.protocol} of {self.dataset}: trials",
                f"those of {segments.dataset} ({found[:12]})",
                f"{self.trials_digest[:12]}",
                "The store has changed since the split was made, or its windows are longer than some trials. "
                "Make the split again with `eegpipe split`, or use shorter windows.",
            )


def _fold(fold: Mapping[str, Any]) -> Fold:
    def part(value: Mapping[str, Any]) -> Part:
        return Part(tuple(value["subjects"]), tuple(value["stimuli"]))

    validation = part(fold["validation"]) if fold["validation"] else None
    return Fold(fold["name"], fold["group"], part(fold["train"]), validation, part(fold["test"]))


def _pretty(value: Any, indent: str = "") -> str:
    """JSON that a person can read: lists of plain values on one line."""
    inner = indent + "  "
    if isinstance(value, Mapping) and value:
        rows = (f"{inner}{json.dumps(key)}: {_pretty(item, inner)}" for key, item in value.items())
        return "{\n" + ",\n".join(rows) + f"\n{indent}}}"
    if isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
        return "[\n" + ",\n".join(inner + _pretty(item, inner) for item in value) + f"\n{indent}]"
    return json.dumps(value, allow_nan=False)


# -- making splits -----------------------------------------------------------------------------------------------------


def make(protocol: str, segments: Segments, *, seed: int | None = None, settings: SplitSettings | None = None) -> Split:
    """Draw the folds of ``protocol`` for the data set in ``segments``. ``seed`` takes the place of ``settings.seed``.

    Raises
    ------
    UsageProblem
        Unknown protocol.
    NotApplicable
        The data set cannot have this protocol (clips apart where the label is the condition, or one clip per class).
    DataProblem
        Too few subjects, or a part that lacks a class.
    """
    if protocol not in PROTOCOLS:
        raise UsageProblem(f"No protocol '{protocol}'.{did_you_mean(protocol, PROTOCOLS)}")
    settings = settings or SplitSettings()
    if seed is not None:
        settings = dataclasses.replace(settings, seed=seed)
    plan = PROTOCOLS[protocol]
    classes = find_classes(segments, settings.target)
    everything = trial_table(segments, classes)
    table = [trial for trial in everything if trial.label >= 0]
    occurring = {name for trial in table for name in (trial.subject, trial.stimulus)}
    subjects = [name for name in segments.subject_names if name in occurring]
    stimuli = [name for name in segments.stimulus_names.values() if name in occurring]
    condition = label_is_condition(stimuli, classes.names)
    if condition and plan.clips_apart:
        raise NotApplicable(
            f"{protocol} does not apply to {segments.dataset}: its class is the condition, there are no clips."
        )
    folds, note = _folds(plan, segments.dataset, table, subjects, stimuli, classes.names, settings)
    _assert_classes(folds, table, classes.names, plan, segments.dataset)

    leaks = []
    stimulus_apart: bool | str = "not applicable" if condition else plan.clips_apart
    if stimulus_apart is False:
        leaks.append("the same clips are on both sides: recognising a clip is as good as recognising its emotion")
    if plan.published:
        leaks += ["the epoch is chosen by accuracy on the test subjects", TRANSDUCTIVE["priors_over_all_subjects"]]
    notes = [note]
    if condition:
        notes.append("the class is the condition: any difference between the recordings of two conditions can score")
    return Split(
        protocol=protocol,
        summary=plan.summary,
        dataset=segments.dataset,
        settings=dataclasses.asdict(settings),
        classes={
            "names": list(classes.names),
            "definition": classes.definition,
            "trials": [sum(trial.label == index for trial in table) for index in range(len(classes.names))],
            "trials_left_out": len(everything) - len(table),
        },
        counts={"subjects": len(subjects), "stimuli": len(stimuli), "trials": len(table)},
        trials_digest=digest(everything),
        disjoint={"subject": True, "stimulus": stimulus_apart, "trial": True},
        transductive=PUBLISHED_USES if plan.published else CLEAN_MAY_USE,
        test_selects=plan.published,
        leak_free=not leaks,
        leaks=tuple(leaks),
        notes=tuple(notes),
        folds=folds,
    )


def _folds(
    plan: Protocol,
    dataset: str,
    table: Sequence[Trial],
    subjects: Sequence[str],
    stimuli: Sequence[str],
    names: Sequence[str],
    settings: SplitSettings,
) -> tuple[tuple[Fold, ...], str]:
    """The folds, and a note on where they come from."""
    if plan.kind == "fewshot":
        groups, origin = training_groups(dataset, subjects, settings)
        note = f"training groups: {origin}"
        sides = [(f"group-{number}", f"group-{number}", group) for number, group in enumerate(groups, 1)]
    else:
        if len(subjects) < 2:
            raise too_few(dataset, len(subjects), 2)
        note = "labels of the neighbours are read: nearest-neighbour evaluation, nothing is trained on the target"
        sides = [("all", f"sub-{name}", tuple(other for other in subjects if other != name)) for name in subjects]
    dealt = [tuple(stimuli)]
    if plan.clips_apart:
        dealt = clip_folds(dataset, table, stimuli, names, settings)
    folds = []
    for group, name, trained in sides:
        tested = tuple(subject for subject in subjects if subject not in trained)
        watching: tuple[str, ...] = ()
        if settings.validation == "subject" and plan.kind == "fewshot" and not plan.published:
            watching = tuple(shuffled(trained, dataset, settings.seed, "validation", group)[:1])
        learning = tuple(subject for subject in trained if subject not in watching)
        for number, clips in enumerate(dealt, 1):
            known = tuple(clip for clip in stimuli if clip not in clips) if plan.clips_apart else clips
            folds.append(
                Fold(
                    f"{name}_clips-{number}" if plan.clips_apart else name,
                    group,
                    Part(learning, known),
                    Part(watching, known) if watching else None,
                    Part(tested, clips),
                )
            )
    return tuple(folds), note


def write_all(
    segments: Segments, out: Path, *, seed: int | None = None, settings: SplitSettings | None = None
) -> list[Path]:
    """Write ``<protocol>.json`` for every protocol that applies, and the reasons for others in a table.

    The table is ``not_applicable.tsv`` (protocol, reason). Manifests of an earlier run that are no longer made go.
    """
    made: list[Path] = []
    refused: list[tuple[str, str]] = []
    out.mkdir(parents=True, exist_ok=True)
    for protocol in PROTOCOLS:
        path = out / f"{protocol}.json"
        try:
            split = make(protocol, segments, seed=seed, settings=settings)
        except NotApplicable as reason:
            path.unlink(missing_ok=True)
            refused.append((protocol, str(reason)))
            continue
        split.save(path)
        made.append(path)
    rows = "".join(f"{protocol}\t{reason}\n" for protocol, reason in refused)
    (out / "not_applicable.tsv").write_text("protocol\treason\n" + rows, encoding="utf-8")
    return made


def _assert_classes(
    folds: Sequence[Fold], table: Sequence[Trial], names: Sequence[str], plan: Protocol, dataset: str
) -> None:
    """Every training part holds every class, and so does every test part that is scored by itself.

    A zero-shot fold tests one subject, who may have rated everything as pleasant: there, the folds are scored together.
    """

    def require(part: Part, where: str) -> None:
        known, clips = set(part.subjects), set(part.stimuli)
        present = {trial.label for trial in table if trial.subject in known and trial.stimulus in clips}
        lacking = [name for index, name in enumerate(names) if index not in present]
        if lacking:
            cure = "Use fewer clip folds or larger training groups, or predict valence instead (target: valence)."
            raise DataProblem(f"split of {dataset}: {where}", f"no trial of {', '.join(lacking)}", "every class", cure)

    for fold in folds:
        require(fold.train, f"training part of {fold.name}")
        if fold.validation:
            require(fold.validation, f"validation part of {fold.name}")
        if plan.kind == "fewshot":
            require(fold.test, f"test part of {fold.name}")


# -- using splits ------------------------------------------------------------------------------------------------------


def part_mask(fold: Fold, part: str, segments: Segments) -> np.ndarray:
    """(segment,) bool: the segments of ``"train"``, ``"validation"`` or ``"test"``; all false for an absent part."""
    chosen: Part | None = getattr(fold, part)
    if chosen is None:
        return np.zeros(len(segments.subject), dtype=bool)
    unknown = set(chosen.subjects) - set(segments.subject_names)
    unknown |= set(chosen.stimuli) - set(segments.stimulus_names.values())
    if unknown:
        name = min(unknown)
        cure = "Make the split again with `eegpipe split`."
        raise DataProblem(
            f"split, {part} part of {fold.name}", f"the name {name}", f"names of {segments.dataset}", cure
        )
    subjects = [index for index, name in enumerate(segments.subject_names) if name in chosen.subjects]
    stimuli = [key for key, name in segments.stimulus_names.items() if name in chosen.stimuli]
    return np.isin(segments.subject, subjects) & np.isin(segments.stimulus, stimuli)


def _units(segments: Segments, mask: np.ndarray, kind: str) -> set[str]:
    if kind == "subject":
        return {segments.subject_names[index] for index in np.unique(segments.subject[mask])}
    if kind == "stimulus":
        return {segments.stimulus_names[int(key)] for key in np.unique(segments.stimulus[mask])}
    if kind == "trial":
        columns = (segments.subject, segments.session, segments.trial, segments.stimulus)
        return {
            f"{segments.subject_names[subject]}/{segments.session_names[session]}/{trial}/{segments.stimulus_names[clip]}"
            for subject, session, trial, clip in set(zip(*(column[mask].tolist() for column in columns), strict=True))
        }
    raise UsageProblem(f"No kind of unit '{kind}'.{did_you_mean(kind, ('subject', 'stimulus', 'trial'))}")


def assert_disjoint(fold: Fold, segments: Segments, kinds: Sequence[str] = ("subject", "stimulus", "trial")) -> None:
    """Raise :class:`LeakError` if a unit of ``kinds`` has segments in training or validation and in test."""
    tested = part_mask(fold, "test", segments)
    learned = part_mask(fold, "train", segments) | part_mask(fold, "validation", segments)
    for kind in kinds:
        shared = _units(segments, learned, kind) & _units(segments, tested, kind)
        if shared:
            where = f"{segments.dataset}, fold {fold.name}"
            raise LeakError(f"{where}: {len(shared)} {kind}(s) both in training and in test: {_some(shared)}.")


def assert_unseen(model_manifest: Mapping[str, Any], segments: Segments, fold: Fold, split: Split) -> None:
    """Raise :class:`LeakError` if the encoder was pre-trained on a test subject or, where clips are apart, a test clip.

    Parameters
    ----------
    model_manifest : mapping
        ``{"datasets": {name: {"store": digest, "subjects": [names], "stimuli": [names]}}}``. Subjects are compared
        within the target's data set, recognised by its name or by the digest of its store; stimuli, whose names carry
        their data set, over everything that the encoder has seen.
    """
    tested = part_mask(fold, "test", segments)
    try:
        seen = {
            name: (entry["store"], set(entry["subjects"]), set(entry["stimuli"]))
            for name, entry in model_manifest["datasets"].items()
        }
    except (KeyError, TypeError, AttributeError) as error:
        cure = "Pre-train the model again: without a manifest nobody can say what it has seen."
        raise DataProblem("model manifest.json: datasets", f"no {error}", "store, subjects, stimuli", cure) from None
    where = f"{segments.dataset}, fold {fold.name}: the encoder was pre-trained on"
    for name, (store, subjects, stimuli) in seen.items():
        shared = subjects & _units(segments, tested, "subject")
        if shared and (name == segments.dataset or store == segments.digest):
            cure = f"Use one whose pre-training left {segments.dataset} out."
            raise LeakError(f"{where} {len(shared)} subject(s) of the test part: {_some(shared)}. {cure}")
        shared = stimuli & _units(segments, tested, "stimulus")
        if shared and split.disjoint["stimulus"] is True:
            raise LeakError(f"{where} {len(shared)} clip(s) of the test part: {_some(shared)}.")


def _some(names: Iterable[str]) -> str:
    first = sorted(names)
    return ", ".join(first[:3]) + (", ..." if len(first) > 3 else "")

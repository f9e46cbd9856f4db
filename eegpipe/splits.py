"""Who and what is trained on and tested on: decided before any training, stored as JSON, hashed.

A split names subjects, sessions, trials and stimuli, never positions in an array, and depends only on the table of
trials (subject, session, trial, stimulus, class), the settings and the seed. docs/evaluation.md explains the protocols
and the rule for ``leak_free``.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eegpipe import folds as draws
from eegpipe.errors import DataProblem, UsageProblem, did_you_mean
from eegpipe.fingerprint import digest
from eegpipe.parts import (
    SEPARATOR,
    UNITS,
    Fold,
    Part,
    WindowDraw,
    part_mask,
    plain_part,
    read_fold,
    shared_units,
    units,
)
from eegpipe.protocols import (
    CLEAN_MAY_USE,
    PROTOCOLS,
    PUBLISHED_USES,
    TRANSDUCTIVE,
    NotApplicable,
    Protocol,
    SplitSettings,
)
from eegpipe.trials import Trial, find_classes, label_is_condition, trial_table
from eegpipe.writing import write_file

if TYPE_CHECKING:
    import numpy as np

    from eegpipe.loader import Segments

__all__ = [
    "Fold",
    "LeakError",
    "Part",
    "Split",
    "WindowDraw",
    "assert_claims",
    "assert_disjoint",
    "assert_unseen",
    "knows_tested",
    "make",
    "may_know",
    "meant_to_know",
    "part_mask",
    "write_all",
]

# Settings that stand in every manifest.
_COMMON_SETTINGS = ("seed", "target", "groups", "training_fraction", "clip_folds", "validation")
# Protocols whose manifests were defined before there were others; theirs say no more than these units.
_FIRST = (
    "fewshot_subject_stimulus",
    "fewshot_subject",
    "zeroshot_subject_stimulus",
    "zeroshot_subject",
    "mdjpt_fewshot",
)
_FIRST_UNITS = ("subject", "stimulus", "trial")


class LeakError(UsageProblem):
    """Test data would reach training: the same subject, clip or trial on both sides, or known to the encoder."""


@dataclass(frozen=True)
class Split:
    """A manifest. ``disjoint`` says for subject, session, stimulus, trial and window whether both sides share none.

    ``leak_free`` is true if test data selects nothing, no test clip and, unless a subject's own data train by design,
    no test subject is in a training part, and unlabelled test data is used in no way other than those named in
    ``transductive``.
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
        return digest(self._content())

    def _content(self) -> dict[str, Any]:
        content = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        content["folds"] = [
            {
                "name": fold.name,
                "group": fold.group,
                "train": plain_part(fold.train),
                "validation": plain_part(fold.validation) if fold.validation else None,
                "test": plain_part(fold.test),
            }
            for fold in self.folds
        ]
        return content

    def save(self, path: Path) -> None:
        """Write the manifest as JSON, its hash last."""
        content = self._content() | {"hash": self.hash}
        write_file(path, f"{_pretty(content)}\n".encode())

    @classmethod
    def load(cls, path: Path) -> Split:
        """Read a manifest; :class:`DataProblem` if its content is not what its hash says."""
        cure = "Make the split again with `eegpipe split`."
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            stored = content.pop("hash")
            for name in ("transductive", "leaks", "notes"):
                content[name] = tuple(content[name])
            content["folds"] = tuple(read_fold(fold) for fold in content["folds"])
            split = cls(**content)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataProblem(path.name, f"no split manifest ({error})", "JSON of `eegpipe split`", cure) from None
        if split.hash != stored:
            raise DataProblem(f"{path.name}: hash", f"content {split.hash[:12]}", f"{str(stored)[:12]}", cure)
        return split

    def check(self, segments: Segments) -> None:
        """Raise :class:`DataProblem` unless ``segments`` holds exactly the trials that the split was made from.

        :class:`LeakError` if it claims less than its protocol promises, or hides a leak (:func:`assert_claims`).
        """
        classes = find_classes(segments, self.settings["target"])
        table = trial_table(segments, classes)
        found = digest(table)
        if segments.dataset != self.dataset or found != self.trials_digest:
            raise DataProblem(
                f"split {self.protocol} of {self.dataset}: trials",
                f"those of {segments.dataset} ({found[:12]})",
                f"{self.trials_digest[:12]}",
                "The store has changed since the split was made, its windows are longer than some trials, or the split "
                "is of other data sets (--from). "
                "Make the split again with `eegpipe split`, or use shorter windows.",
            )
        condition = label_is_condition(list({trial.stimulus for trial in table if trial.label >= 0}), classes.names)
        assert_claims(self, condition=condition)


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


def check_name(protocol: str) -> None:
    """Raise :class:`UsageProblem` if there is no such protocol."""
    if protocol not in PROTOCOLS:
        raise UsageProblem(f"No protocol '{protocol}'.{did_you_mean(protocol, PROTOCOLS)}")


def make(protocol: str, segments: Segments, *, seed: int | None = None, settings: SplitSettings | None = None) -> Split:
    """Draw the folds of ``protocol`` for the data set in ``segments``. ``seed`` takes the place of ``settings.seed``.

    Raises
    ------
    UsageProblem
        Unknown protocol.
    NotApplicable
        The data set cannot have this protocol: clips apart where the label is the condition, one clip per class, one
        session, parts that are another data set's.
    DataProblem
        Too few subjects, or a part that lacks a class.
    """
    check_name(protocol)
    settings = settings or SplitSettings()
    if seed is not None:
        settings = dataclasses.replace(settings, seed=seed)
    settings = dataclasses.replace(settings, target=settings.target_of.get(segments.dataset, settings.target))
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
    target = draws.Target(segments.dataset, table, subjects, segments.session_names, stimuli, classes.names, settings)
    folds, notes = draws.draw(plan, target)
    _assert_classes(folds, target, plan)
    disjoint = _disjoint(protocol, folds, table, condition=condition)
    leaks = _leaks(plan, disjoint)
    if condition:
        notes.append("the class is the condition: any difference between the recordings of two conditions can score")
    return Split(
        protocol=protocol,
        summary=plan.summary,
        dataset=segments.dataset,
        settings={name: getattr(settings, name) for name in (*_COMMON_SETTINGS, *plan.own_settings)},
        classes={
            "names": list(classes.names),
            "definition": classes.definition,
            "trials": [sum(trial.label == index for trial in table) for index in range(len(classes.names))],
            "trials_left_out": len(everything) - len(table),
        },
        counts={"subjects": len(subjects), "stimuli": len(stimuli), "trials": len(table)},
        trials_digest=digest(everything),
        disjoint=disjoint,
        transductive=_may_use(plan),
        test_selects=plan.test_selects,
        leak_free=not leaks,
        leaks=tuple(leaks),
        notes=tuple(notes),
        folds=folds,
    )


def _disjoint(
    protocol: str, folds: Sequence[Fold], table: Sequence[Trial], *, condition: bool
) -> dict[str, bool | str]:
    """What no fold has on both sides, counted in the trials that the folds name.

    Raises
    ------
    LeakError
        A fold shares what the protocol promises to keep apart.
    """
    of_unit = {
        "subject": lambda trial: trial.subject,
        "session": lambda trial: (trial.subject, trial.session),
        "stimulus": lambda trial: trial.stimulus,
        "trial": lambda trial: trial[:4],
    }
    apart: dict[str, bool | str] = dict.fromkeys(UNITS, True)
    for fold in folds:
        parts = [part for part in (fold.train, fold.validation) if part]
        learned = [trial for part in parts for trial in draws.trials_of(part, table)]
        tested = draws.trials_of(fold.test, table)
        for unit, name in of_unit.items():
            if not {name(one) for one in learned}.isdisjoint(name(one) for one in tested):
                apart[unit] = False
    apart["window"] = apart["trial"]  # windows are cut within trials
    broken = [unit for unit in PROTOCOLS[protocol].apart if not apart[unit]]
    if broken:
        raise LeakError(f"{protocol}: the folds share what the protocol keeps apart: {', '.join(broken)}.")
    if condition:
        apart["stimulus"] = "not applicable"
    return {unit: apart[unit] for unit in _units_of(protocol)}


def _units_of(protocol: str) -> tuple[str, ...]:
    """What manifests of this protocol speak about."""
    return _FIRST_UNITS if protocol in _FIRST else UNITS


def _may_use(plan: Protocol) -> tuple[str, ...]:
    """The uses of unlabelled test data that a split of this protocol allows, keys of ``TRANSDUCTIVE``."""
    may_use = PUBLISHED_USES if plan.as_mdjpt else CLEAN_MAY_USE
    return (*may_use, "encoder_knows_target") if plan.draw == "windows" else may_use


def _leaks(plan: Protocol, disjoint: Mapping[str, bool | str]) -> list[str]:
    """Why a row under this protocol is not leak free, in words."""
    leaks = []
    if not disjoint["stimulus"]:
        leaks.append("the same clips are on both sides: recognising a clip is as good as recognising its emotion")
    if not disjoint["subject"] and plan.kind != "within":
        leaks.append("the same subjects are on both sides: what was learned of a person's own habits scores")
    if not disjoint["trial"]:
        leaks.append(
            "windows of one trial are on both sides: recognising a trial is as good as recognising its emotion"
        )
        leaks.append("windows on both sides may have samples in common, where a windowing's windows overlap")
    if plan.test_selects:
        leaks.append("the epoch is chosen by accuracy on the test subjects")
    if plan.as_mdjpt:
        leaks.append(TRANSDUCTIVE["priors_over_all_subjects"])
    return leaks


def write_all(
    segments: Segments,
    out: Path,
    *,
    protocols: Sequence[str] | None = None,
    seed: int | None = None,
    settings: SplitSettings | None = None,
) -> list[Path]:
    """Write ``<protocol>.json`` for each wanted protocol that applies, and the reasons for others in a table.

    The table is ``not_applicable.tsv`` (protocol, reason). Manifests of an earlier run that are no longer made go.

    Parameters
    ----------
    protocols : sequence of str or None
        None: those of ``settings``.
    """
    settings = settings or SplitSettings()
    wanted = settings.protocols if protocols is None else protocols
    for protocol in wanted:
        check_name(protocol)
    made: list[Path] = []
    refused: list[tuple[str, str]] = []
    out.mkdir(parents=True, exist_ok=True)
    for protocol in PROTOCOLS:
        path = out / f"{protocol}.json"
        if protocol not in wanted:
            path.unlink(missing_ok=True)
            continue
        try:
            split = make(protocol, segments, seed=seed, settings=settings)
        except NotApplicable as reason:
            path.unlink(missing_ok=True)
            refused.append((protocol, str(reason)))
            continue
        split.save(path)
        made.append(path)
    rows = "".join(f"{protocol}\t{reason}\n" for protocol, reason in refused)
    write_file(out / "not_applicable.tsv", f"protocol\treason\n{rows}".encode())
    return made


def _assert_classes(folds: Sequence[Fold], target: draws.Target, plan: Protocol) -> None:
    """Every training part holds every class, and so does every test part that is scored by itself.

    Where each subject or session is tested by itself it may have rated everything as pleasant: there, the folds are
    scored together.
    """

    def require(part: Part, where: str) -> None:
        lacking = target.lacking(draws.trials_of(part, target.table))
        if lacking:
            cure = "Use fewer clip folds or larger training groups, or predict valence instead (target: valence)."
            where = f"split of {target.dataset}: {where}"
            raise DataProblem(where, f"no trial of {', '.join(lacking)}", "every class", cure)

    for fold in folds:
        require(fold.train, f"training part of {fold.name}")
        if fold.validation:
            require(fold.validation, f"validation part of {fold.name}")
        if plan.kind in ("fewshot", "parts"):
            require(fold.test, f"test part of {fold.name}")


def assert_claims(split: Split, *, condition: bool) -> None:
    """Raise :class:`LeakError` if a manifest says less about its leaks than its own content implies.

    A hash only shows that a manifest is as it was written. This compares what it claims with the protocol whose name it
    bears: what is kept apart, who chooses the epoch, which uses of test data are allowed, and the leaks that follow.

    Parameters
    ----------
    condition : bool
        Whether the class is what the participant was asked to do: only then may clips be "not applicable".
    """
    check_name(split.protocol)
    plan = PROTOCOLS[split.protocol]
    where = f"split {split.protocol} of {split.dataset}"
    cure = "Make the split again with `eegpipe split`."
    for unit in _units_of(split.protocol):
        claim = split.disjoint.get(unit)
        if claim is not True and claim is not False and not (condition and unit == "stimulus"):
            raise LeakError(f"{where}: it says '{claim}' of {unit}s, expected whether both sides share one. {cure}")
        if unit in plan.apart and not claim:
            raise LeakError(f"{where}: the folds share what the protocol keeps apart: {unit}. {cure}")
    if split.test_selects != plan.test_selects:
        chosen = "chooses" if split.test_selects else "does not choose"
        raise LeakError(f"{where}: test data {chosen} the epoch, otherwise than the protocol says. {cure}")
    if beyond := sorted(set(split.transductive) - set(_may_use(plan))):
        raise LeakError(f"{where}: it allows {', '.join(beyond)}, which the protocol does not. {cure}")
    if plan.draw == "datasets":
        parts = [part for fold in split.folds for part in (fold.train, fold.validation) if part]
        if own := sorted({name for part in parts for name in part.subjects if SEPARATOR not in name}):
            raise LeakError(f"{where}: {_some(own)} of the target among those who train. {cure}")
        if strange := sorted({name for fold in split.folds for name in fold.test.subjects if SEPARATOR in name}):
            raise LeakError(f"{where}: {_some(strange)} of another data set among the tested. {cure}")
    hidden = [leak for leak in _leaks(plan, split.disjoint) if leak not in split.leaks]
    if hidden:
        raise LeakError(f"{where}: it does not name the leak '{hidden[0]}'. {cure}")
    if split.leak_free != (not split.leaks):
        raise LeakError(f"{where}: leak_free is {split.leak_free} beside {len(split.leaks)} leak(s). {cure}")


# -- using splits ------------------------------------------------------------------------------------------------------


def assert_disjoint(fold: Fold, segments: Segments, kinds: Sequence[str] = ("subject", "stimulus", "trial")) -> None:
    """Raise :class:`LeakError` if training or validation and test share a unit of ``kinds``.

    Kinds are those of ``parts.UNITS``. ``window``: no window of the test part has a sample in common with one of the
    training or validation part.
    """
    tested = part_mask(fold, "test", segments)
    learned = part_mask(fold, "train", segments) | part_mask(fold, "validation", segments)
    for kind in kinds:
        shared = shared_units(segments, learned, tested, kind)
        if shared:
            what = "trial(s) with windows that share samples" if kind == "window" else f"{kind}(s)"
            where = f"{segments.dataset}, fold {fold.name}"
            raise LeakError(f"{where}: {len(shared)} {what} both in training and in test: {_some(shared)}.")


def assert_unseen(model_manifest: Mapping[str, Any], segments: Segments, fold: Fold, split: Split) -> None:
    """Raise :class:`LeakError` if the encoder was pre-trained on a test subject or, where clips are apart, a test clip.

    A split that names ``encoder_knows_target`` as transductive allows an encoder that has seen signals of the test
    subjects on purpose (``tested_too`` in its manifest), but none that has read labels.

    Parameters
    ----------
    model_manifest : mapping
        ``{"datasets": {name: {"store": digest, "subjects": [names], "stimuli": [names]}}}``. Subjects are compared
        within the target's data set, recognised by its name or by the digest of its store; stimuli, whose names carry
        their data set, over everything that the encoder has seen.
    """
    tested = part_mask(fold, "test", segments)
    where = f"{segments.dataset}, fold {fold.name}: the encoder was pre-trained on"
    allowed = meant_to_know(model_manifest, segments) and may_know(split)
    for name, (store, subjects, stimuli) in _seen(model_manifest).items():
        shared = subjects & units(segments, tested, "subject")
        if shared and not allowed and (name == segments.dataset or store == segments.digest):
            cure = f"Use one whose pre-training left {segments.dataset} out."
            raise LeakError(f"{where} {len(shared)} subject(s) of the test part: {_some(shared)}. {cure}")
        shared = stimuli & units(segments, tested, "stimulus")
        if shared and split.disjoint["stimulus"] is True:
            raise LeakError(f"{where} {len(shared)} clip(s) of the test part: {_some(shared)}.")


def meant_to_know(model_manifest: Mapping[str, Any], segments: Segments) -> bool:
    """Whether pre-training learned from this target by request, without reading labels."""
    return model_manifest.get("tested_too") == segments.dataset and model_manifest.get("labels") == "none"


def may_know(split: Split) -> bool:
    """Whether the protocol allows an encoder that was pre-trained on the test subjects."""
    return "encoder_knows_target" in split.transductive


def knows_tested(model_manifest: Mapping[str, Any], segments: Segments, tested: np.ndarray) -> bool:
    """Whether the encoder was pre-trained on a subject with segments under ``tested``, (segment,) bool."""
    return any(
        (name == segments.dataset or store == segments.digest) and bool(subjects & units(segments, tested, "subject"))
        for name, (store, subjects, _) in _seen(model_manifest).items()
    )


def _seen(model_manifest: Mapping[str, Any]) -> dict[str, tuple[str, set[str], set[str]]]:
    """Data set -> digest of its store, names of subjects and of stimuli that pre-training has seen."""
    try:
        return {
            name: (entry["store"], set(entry["subjects"]), set(entry["stimuli"]))
            for name, entry in model_manifest["datasets"].items()
        }
    except (KeyError, TypeError, AttributeError) as error:
        cure = "Pre-train the model again: without a manifest nobody can say what it has seen."
        raise DataProblem("model manifest.json: datasets", f"no {error}", "store, subjects, stimuli", cure) from None


def _some(names: Iterable[str]) -> str:
    first = sorted(names)
    return ", ".join(first[:3]) + (", ..." if len(first) > 3 else "")

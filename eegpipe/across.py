"""Trained on other data sets, tested on the target: one table of the trials of all, features in one space.

Data sets differ in classes, montage and number of people. What they share is the valence of a trial, so that is what
is predicted (``find_classes``, "affect"), and features of a frozen encoder or of channels that all of them have.
Nothing of the target trains anything: its subjects are only tested. docs/evaluation.md, "From one data set to another".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from eegpipe.errors import DataProblem, UsageProblem
from eegpipe.loader import PER_SEGMENT, Segments
from eegpipe.parts import SEPARATOR
from eegpipe.predictions import EvaluateSettings, FeatureCache, Head
from eegpipe.protocols import PROTOCOLS, SplitSettings
from eegpipe.splits import Split, make
from eegpipe.trials import TargetName, find_classes

if TYPE_CHECKING:
    from eegpipe.train import Encoder

# What a method's results are called when its classifier has learned from other data sets.
SUFFIX = "_across"
PROTOCOL = "cross_dataset"
CLASSES: TargetName = "affect"


def joined(target: Segments, others: Sequence[Segments]) -> Segments:
    """One table of all segments, the target's first, in the order of their own stores.

    Without signals: ``eeg`` has the length of the longest window and is 0 everywhere. Subjects of the others bear the
    name of their data set (``deap/01``), those of the target their own, so that whoever compares them with what an
    encoder has seen of the target compares the same names; ``dataset`` and ``digest`` are the target's for the same
    reason.

    Raises
    ------
    UsageProblem
        No other data set, one named twice, or stores of several windowings.
    DataProblem
        Two stores have a key for different clips, or one does not have both classes.
    """
    parts = [target, *sorted(others, key=lambda one: one.dataset)]
    names = [one.dataset for one in parts]
    if len(parts) < 2 or len(set(names)) < len(names):
        found = ", ".join(names)
        raise UsageProblem(f"{PROTOCOL}: found the data sets {found}, expected the target and others, each once.")
    if other := [one for one in parts if one.windowing != target.windowing]:
        raise UsageProblem(
            f"{PROTOCOL}: {other[0].dataset} has the windowing '{other[0].windowing}', {target.dataset} "
            f"'{target.windowing}'. Name stores of one windowing."
        )
    for one in parts:
        try:
            find_classes(one, CLASSES)
        except DataProblem as problem:
            cure = "Name other data sets to learn from (across_from in params.yaml, --from)."
            raise DataProblem(problem.where, problem.found, problem.expected, cure) from None
    sessions = list(dict.fromkeys(name for one in parts for name in one.session_names))
    subjects: list[str] = []
    stimuli: dict[int, str] = {}
    columns: dict[str, list[np.ndarray]] = {name: [] for name in PER_SEGMENT if name != "eeg"}
    for one in parts:
        place = np.array([sessions.index(name) for name in one.session_names])
        moved = {"subject": one.subject + len(subjects), "session": place[one.session]}
        # Native labels mean another thing in each data set.
        moved["label"] = np.full(len(one), -1, dtype=np.int16)
        for name, pieces in columns.items():
            pieces.append(moved.get(name, getattr(one, name)))
        subjects += [name if one is target else f"{one.dataset}{SEPARATOR}{name}" for name in one.subject_names]
        for key, name in one.stimulus_names.items():
            if stimuli.setdefault(key, name) != name:
                cure = "Segment the data sets again with this version."
                raise DataProblem(f"segments of {one.dataset}: stimulus {key}", name, stimuli[key], cure)
    count, longest = sum(map(len, parts)), max(one.eeg.shape[-1] for one in parts)
    return Segments(
        dataset=target.dataset,
        windowing=target.windowing,
        rate_hz=target.rate_hz,
        channels=(),
        eeg=np.broadcast_to(np.float32(0), (count, 1, longest)),
        subject_names=tuple(subjects),
        session_names=tuple(sessions),
        stimulus_names=stimuli,
        labels=(),
        digest=target.digest,
        **{name: np.concatenate(pieces) for name, pieces in columns.items()},
    )


def folder(target: str, method: str) -> str:
    """Where under ``data/splits`` the manifests of this method lie."""
    return f"{target}{SUFFIX}/{method.removesuffix(SUFFIX)}" if method.endswith(SUFFIX) else target


def split_across(target: Segments, others: Sequence[Segments], settings: SplitSettings | None = None) -> Split:
    """The manifest: everybody of the other data sets trains, everybody of the target is tested."""
    settings = settings or SplitSettings()
    settings = dataclasses.replace(settings, target=CLASSES, target_of={})
    return make(PROTOCOL, joined(target, others), settings=settings)


def write_split(target: Segments, others: Sequence[Segments], out: Path, settings: SplitSettings | None = None) -> Path:
    """``cross_dataset.json`` in the folder ``out``, which is for this manifest alone; its path."""
    made = split_across(target, others, settings)
    out.mkdir(parents=True, exist_ok=True)
    for name in (*(f"{one}.json" for one in PROTOCOLS if one != PROTOCOL), "not_applicable.tsv"):
        (out / name).unlink(missing_ok=True)
    path = out / f"{PROTOCOL}.json"
    made.save(path)
    return path


class JoinedFeatures(FeatureCache):
    """Features of all data sets in one space; only of segments that have a class.

    An encoder whose number of features depends on the montage (ART) is averaged over channels. Differential entropy is
    that of the channels that all data sets have. An encoder that looks at a subject's segments together is given those
    of one subject, as everywhere; none is on both sides.

    Parameters
    ----------
    joint : Segments
        :func:`joined` of the same ``target`` and ``others``.
    encoder : Encoder or None
        None: differential entropy.
    head : Head or None
        What classifies them; None: what all methods share.

    Raises
    ------
    UsageProblem
        Differential entropy, and no channel that all have.
    """

    def __init__(
        self,
        joint: Segments,
        target: Segments,
        others: Sequence[Segments],
        encoder: Encoder | None,
        settings: EvaluateSettings,
        head: Head | None = None,
    ) -> None:
        super().__init__(joint, encoder, settings, head)
        self._network = encoder
        self._parts = [target, *sorted(others, key=lambda one: one.dataset)]
        self._common = [name for name in target.channels if all(name in one.channels for one in self._parts)]
        if encoder is None and not self._common:
            raise UsageProblem(f"{PROTOCOL}: {', '.join(one.dataset for one in self._parts)} share no channel.")
        self._values: np.ndarray | None = None

    def fill(self, parts: Sequence[np.ndarray], workers: int) -> None:
        # All of them at the first call, which comes after the assertions against leaks.
        if self._values is None:
            self._values = np.concatenate([self._features_of(one, workers) for one in self._parts])
        super().fill(parts, 1)

    def _features_of(self, one: Segments, workers: int) -> np.ndarray:
        rows = np.flatnonzero(find_classes(one, CLASSES).of_segment >= 0)
        cache = FeatureCache(one, self._network, self.settings)
        cache.fill([rows], workers)
        features = cache(rows)
        if self._network is None:
            of_channel = features.reshape(len(rows), len(one.channels), -1)
            features = of_channel[:, [one.channels.index(name) for name in self._common]].reshape(len(rows), -1)
        elif self._network.width is None:
            features = features.reshape(len(rows), -1, self._network.model.config.width).mean(axis=1)
        every = np.zeros((len(one), features.shape[1]), dtype=np.float32)
        every[rows] = features
        return every

    def _compute(self, rows: np.ndarray) -> np.ndarray:
        assert self._values is not None, "fill() comes first"
        return self._values[rows]

"""What is predicted: the class of every segment, and the table of trials from which splits are made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import numpy as np

from eegpipe.affect import AffectSource
from eegpipe.errors import DataProblem, UsageProblem, did_you_mean

if TYPE_CHECKING:
    from eegpipe.loader import Segments


# What can be predicted (:func:`find_classes`).
TargetName = Literal["auto", "label", "valence", "affect"]
TARGETS: tuple[str, ...] = get_args(TargetName)


class Trial(NamedTuple):
    """One trial, by names; ``label`` is an index into the names of the classes, -1 takes no part."""

    subject: str
    session: str
    number: int
    stimulus: str
    label: int


@dataclass(frozen=True, eq=False)
class Classes:
    """What is predicted. ``of_segment`` : (segment,) int, index into ``names``, -1 takes no part."""

    names: tuple[str, ...]
    definition: str
    of_segment: np.ndarray


def find_classes(segments: Segments, target: str = "auto") -> Classes:
    """Native labels where the data set has them, else high or low valence by the participant's own rating.

    "affect": high or low valence by the rating or, where there is none, by the norm of the clip or its word. That is
    what data sets with ratings and data sets with labels have in common.

    A rating in the middle of the scale (valence 0) takes no part. For two classes the second one, ``high valence``, is
    the positive class of AUROC.

    Raises
    ------
    DataProblem
        Fewer than two classes.
    UsageProblem
        ``target`` is none of ``TARGETS``.
    """
    if target not in TARGETS:
        raise UsageProblem(f"No target '{target}'.{did_you_mean(target, TARGETS)}")
    where = f"segments of {segments.dataset}"
    if target == "label" or (target == "auto" and bool((segments.label >= 0).any())):
        present = np.unique(segments.label[segments.label >= 0])
        if len(present) < 2:
            cure = "Predict valence instead (target: valence), or check the events of the BIDS data set."
            raise DataProblem(f"{where}: label", f"{len(present)} classes", "at least 2", cure)
        of_segment = np.where(segments.label >= 0, np.searchsorted(present, segments.label), -1)
        return Classes(tuple(segments.labels[index] for index in present), "native label", of_segment.astype(np.int64))
    norms, source = target == "affect", segments.affect_source
    rated = source != AffectSource.UNKNOWN if norms else source == AffectSource.SELF_REPORT
    of_segment = np.where(rated & (segments.valence > 0), 1, np.where(rated & (segments.valence < 0), 0, -1))
    if len(np.unique(of_segment[of_segment >= 0])) < 2:
        found = "no self-reports on both sides of the middle"
        cure = "Only data sets with native labels or with the participants' own ratings can be evaluated."
        if norms:
            found = "no values on both sides of the middle"
            cure = "Only data sets whose trials have a valence can be evaluated so: a rating, or the norm of a word."
        raise DataProblem(f"{where}: valence", found, "some on each", cure)
    definition = "valence by self-report, above or below the middle of the scale; trials at the middle are left out"
    if norms:
        definition = (
            "valence, above or below the middle of the scale: the participant's own rating or, without one, the norm "
            "of the clip or of its word; trials at the middle are left out"
        )
    return Classes(("low valence", "high valence"), definition, of_segment.astype(np.int64))


def trial_table(segments: Segments, classes: Classes) -> list[Trial]:
    """Every trial once, sorted. :class:`DataProblem` if a trial has more than one class."""
    columns = (segments.subject, segments.session, segments.trial, segments.stimulus, classes.of_segment)
    rows = set(zip(*(column.tolist() for column in columns), strict=True))
    table = sorted(
        Trial(
            segments.subject_names[subject],
            segments.session_names[session],
            number,
            segments.stimulus_names[stimulus],
            label,
        )
        for subject, session, number, stimulus, label in rows
    )
    twice = [unit for unit, count in Counter(trial[:4] for trial in table).items() if count > 1]
    if twice:
        subject, session, number, stimulus = twice[0]
        where = f"segments of {segments.dataset}: subject {subject}, session {session}, trial {number} ({stimulus})"
        raise DataProblem(where, "more than one class", "one class per trial", "Segment the data set again.")
    return table


def label_is_condition(stimuli: Sequence[str], names: Sequence[str]) -> bool:
    """Whether the class is what the participant was asked to do (``eegmat/rest``), so that there are no clips.

    Recognised by one stimulus per class that carries the name of the class. The number alone would not do: a data set
    with one clip per class has clips.
    """
    return sorted(stimulus.rpartition("/")[2] for stimulus in stimuli) == sorted(names)

"""The evaluation protocols: their names, what each may do with test data, and how subjects and clips are drawn.

Everything "random" here is an order by SHA-256 of the data set, the seed and the names themselves, so a draw is the
same in every process, on every machine and with every version of every package.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, comb
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le, Lt, MinLen

from eegpipe.errors import DataProblem, UsageProblem
from eegpipe.fingerprint import digest
from eegpipe.trials import TargetName, Trial


class NotApplicable(UsageProblem):
    """The protocol makes no sense for this data set, by its design rather than by a fault in the data."""


@dataclass(frozen=True)
class Protocol:
    """What a protocol does, whoever the subjects are.

    kind
        ``fewshot``: a few subjects train. ``zeroshot``: nearest neighbour. ``cross``: all other subjects train.
        ``within``: a subject's own data train. ``parts``: one training, one validation and one test part, as EMOD's.
    draw
        Which function of ``folds.py`` makes the folds.
    apart
        The units that training and test part never share, the coarsest one and, if so, ``stimulus``. Subjects apart
        keep their sessions, trials and windows apart; trials apart keep their windows apart.
    summary
        One line for people.
    paper
        The paper whose evaluation this repeats, faults included; empty for this project's own.
    counterpart
        The next stricter protocol of the same question: the difference to it is what the leak is worth. Which one is
        leak free may depend on the data set: :func:`clean_counterpart`.
    as_mdjpt
        Features are treated as in the mdJPT code: the priors of the online normalisation come from all subjects, and
        features are smoothed.
    test_selects
        The epoch is the one with the best accuracy on the test subjects.
    own_settings
        Settings that this protocol reads beside those that stand in every manifest.
    """

    kind: Literal["fewshot", "zeroshot", "cross", "within", "parts"]
    draw: str
    apart: tuple[str, ...]
    summary: str
    paper: str = ""
    counterpart: str | None = None
    as_mdjpt: bool = False
    test_selects: bool = False
    own_settings: tuple[str, ...] = ()

    @property
    def clips_apart(self) -> bool:
        """Training and test part share no clip."""
        return "stimulus" in self.apart


# From the strictest to the loosest of each kind; tables of results keep this order.
PROTOCOLS: Mapping[str, Protocol] = {
    "fewshot_subject_stimulus": Protocol(
        "fewshot",
        "groups",
        ("subject", "stimulus"),
        "a classifier trained on a few subjects, tested on other subjects and other clips",
    ),
    "fewshot_subject": Protocol(
        "fewshot",
        "groups",
        ("subject",),
        "a classifier trained on a few subjects, tested on others in the same conditions",
        counterpart="fewshot_subject_stimulus",
    ),
    "zeroshot_subject_stimulus": Protocol(
        "zeroshot",
        "neighbours",
        ("subject", "stimulus"),
        "nearest neighbour among other subjects and other clips of the target data set",
    ),
    "zeroshot_subject": Protocol(
        "zeroshot",
        "neighbours",
        ("subject",),
        "nearest neighbour among other subjects of the target data set",
        counterpart="zeroshot_subject_stimulus",
    ),
    "mdjpt_fewshot": Protocol(
        "fewshot",
        "groups",
        ("subject",),
        "as fewshot_subject, but as published: test data picks the epoch and sets the priors",
        paper="mdJPT",
        counterpart="fewshot_subject_stimulus",
        as_mdjpt=True,
        test_selects=True,
    ),
    "mdjpt_zeroshot": Protocol(
        "zeroshot",
        "neighbours",
        ("subject",),
        "as zeroshot_subject, with features treated as in the mdJPT code: test data sets the priors",
        paper="mdJPT",
        counterpart="zeroshot_subject_stimulus",
        as_mdjpt=True,
    ),
    "loso_stimulus": Protocol(
        "cross",
        "loso",
        ("subject", "stimulus"),
        "each subject in turn tested by a classifier trained on all others with other clips",
    ),
    "loso": Protocol(
        "cross",
        "loso",
        ("subject",),
        "each subject in turn tested by a classifier trained on all others",
        counterpart="loso_stimulus",
    ),
    "kfold_subject_stimulus": Protocol(
        "cross",
        "kfold",
        ("subject", "stimulus"),
        "each fold of subjects tested by a classifier trained on the others with other clips",
        own_settings=("subject_folds",),
    ),
    "kfold_subject": Protocol(
        "cross",
        "kfold",
        ("subject",),
        "each fold of subjects tested by a classifier trained on the others",
        counterpart="kfold_subject_stimulus",
        own_settings=("subject_folds",),
    ),
    "cross_dataset": Protocol(
        "cross",
        "datasets",
        ("subject", "stimulus"),
        "the target's subjects tested by a classifier trained on other data sets, high against low valence",
    ),
    "within_session_blocked_stimulus": Protocol(
        "within",
        "sessions",
        ("session", "stimulus"),
        "each session of a subject tested by a classifier trained on the subject's others with other clips",
    ),
    "within_session_blocked": Protocol(
        "within",
        "sessions",
        ("session",),
        "each session of a subject tested by a classifier trained on the subject's others",
        counterpart="within_session_blocked_stimulus",
    ),
    "within_trial_blocked_stimulus": Protocol(
        "within",
        "trials",
        ("trial", "stimulus"),
        "some clips of a subject tested by a classifier trained on the subject's trials of other clips",
        own_settings=("trial_folds",),
    ),
    "within_trial_blocked": Protocol(
        "within",
        "trials",
        ("trial",),
        "some whole trials of a subject tested by a classifier trained on the subject's others",
        counterpart="within_trial_blocked_stimulus",
        own_settings=("trial_folds",),
    ),
    "art_within": Protocol(
        "within",
        "windows",
        (),
        "a fifth of a subject's windows, drawn at random, tested by a classifier trained on the rest",
        paper="ART + GAT",
        counterpart="within_trial_blocked",
    ),
    "emod_faced_stimulus": Protocol(
        "parts",
        "faced",
        ("subject", "stimulus"),
        "the subjects of emod_faced, with other clips in training than in test",
    ),
    "emod_faced": Protocol(
        "parts",
        "faced",
        ("subject",),
        "FACED by subjects, 80 to train, 20 to choose the epoch, 23 to test",
        paper="EMOD",
        counterpart="emod_faced_stimulus",
    ),
    "emod_seedv_subject": Protocol(
        "parts",
        "seed_v",
        ("subject", "stimulus"),
        "the trials of emod_seedv, with other subjects in training than in test",
        own_settings=("subject_folds",),
    ),
    "emod_seedv": Protocol(
        "parts",
        "seed_v",
        ("trial",),
        "SEED-V by trials of each session, 1-5 to train, 6-10 to choose the epoch, 11-15 to test; all subjects",
        paper="EMOD",
        counterpart="emod_seedv_subject",
    ),
    "emod_seed_subject_stimulus": Protocol(
        "parts",
        "seed",
        ("subject", "stimulus"),
        "the sessions of emod_seed, with other subjects and other clips in training than in test",
        own_settings=("subject_folds",),
    ),
    "emod_seed": Protocol(
        "parts",
        "seed",
        ("session",),
        "SEED by sessions, 1 to train, 2 to choose the epoch, 3 to test; all subjects",
        paper="EMOD",
        counterpart="emod_seed_subject_stimulus",
    ),
}

# Those that are made and evaluated unless the settings name others: cheap enough for every method.
USUAL = (
    "fewshot_subject_stimulus",
    "fewshot_subject",
    "zeroshot_subject_stimulus",
    "zeroshot_subject",
    "mdjpt_fewshot",
)


def clean_counterpart(protocol: str, leak_free: Collection[str]) -> str | None:
    """The protocol that a leaky one is compared with: the first of its counterparts that is among ``leak_free``.

    Parameters
    ----------
    leak_free : collection of str
        Protocols whose rows of this target are leak free.
    """
    plan = PROTOCOLS.get(protocol)
    while plan is not None and plan.counterpart is not None:
        if plan.counterpart in leak_free:
            return plan.counterpart
        plan = PROTOCOLS[plan.counterpart]
    return None


# The ways in which unlabelled test data may be used, in words.
TRANSDUCTIVE: Mapping[str, str] = {
    "causal_normalisation": "features of a test subject are normalised on that subject's segments up to the present",
    "earlier_segments": "an answer for a segment also reads the earlier segments of its trial",
    "encoder_batch": "the encoder normalises over the test segments of one session of a subject, later ones included",
    "encoder_whole_session": "the encoder normalises over a whole session, clips of the other part included",
    "lds_smoothing": "features are smoothed within a test trial, so a segment sees later segments of its trial",
    "priors_over_all_subjects": "the start of the normalisation is computed over all subjects, tested ones included",
    "encoder_knows_target": "the encoder was pre-trained, without labels, on signals of the tested subjects",
}
# A use that another one covers: who may normalise on a subject's segments up to the present may read a trial's.
COVERED_BY: Mapping[str, str] = {"earlier_segments": "causal_normalisation"}
CLEAN_MAY_USE = ("causal_normalisation", "encoder_batch")
PUBLISHED_USES = ("causal_normalisation", "encoder_batch", "lds_smoothing", "priors_over_all_subjects")

# Training groups of the mdJPT code: number of subjects, then positions in the natural order of subjects. Used when the
# number of subjects is the paper's, so that results stand beside the published ones.
_PUBLISHED_GROUPS: Mapping[str, tuple[int, tuple[tuple[int, ...], ...]]] = {
    "seed": (15, ((5, 6, 4), (10, 8, 14), (1, 3, 11), (2, 7, 0), (4, 13, 1), (14, 11, 12))),
    "deap": (
        32,
        (
            (28, 1, 10, 13, 30, 6, 15, 0),
            (13, 30, 24, 8, 12, 18, 28, 17),
            (18, 17, 25, 2, 11, 3, 30, 27),
            (13, 17, 15, 27, 5, 1, 16, 31),
            (12, 30, 22, 9, 31, 7, 18, 26),
            (26, 28, 6, 10, 29, 9, 24, 1),
        ),
    ),
    "faced": (
        20,
        (
            (3, 4, 5, 6, 10),
            (2, 5, 11, 13, 15),
            (15, 16, 17, 18, 19),
            (0, 3, 6, 9, 12),
            (0, 1, 2, 17, 19),
            (0, 9, 11, 12, 18),
        ),
    ),
}
_FRACTION_ELSEWHERE = 0.25  # the paper's share for most data sets


@dataclass(frozen=True)
class SplitSettings:
    """How splits are drawn."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    # Names of PROTOCOLS: which are made. What else is made changes no split, so this stands in no manifest.
    protocols: Annotated[tuple[str, ...], MinLen(1)] = USUAL
    # Of the draws of subjects and clips; apart from the seed of training, which then does not change who is tested.
    seed: Annotated[int, Ge(0)] = 0
    # What is predicted: the native label, high or low valence by self-report, or the first of these that exists;
    # "affect": high or low valence, by the norm of the clip or of its word where there is no self-report.
    target: TargetName = "auto"
    # The same for single data sets. The field predicts DREAMER's ratings, not the nine emotions of its clips' makers.
    target_of: Mapping[str, TargetName] = field(default_factory=lambda: {"dreamer": "valence"})
    # Training groups of the few-shot protocols (mdJPT: 6).
    groups: Annotated[int, Ge(1), Le(100)] = 6
    # Share of the subjects in a training group, rounded up, at least 2 subjects. None: the paper's share.
    training_fraction: Annotated[float, Gt(0), Lt(1)] | None = None
    # Clip folds of the protocols that keep clips apart; fewer where a class has fewer clips. None: of 3, 5, 4 and 2 the
    # first that leaves each class equally often in all folds. With 2, 2 and 1 clips of a class a classifier that only
    # counts would prefer the class that is tested less, and score below chance.
    clip_folds: Annotated[int, Ge(2), Le(20)] | None = None
    # Trial folds within a subject (5: 80 % train); fewer where a class has fewer trials.
    trial_folds: Annotated[int, Ge(2), Le(20)] = 5
    # Subject folds of the protocols that go round the subjects in folds; fewer where there are fewer subjects.
    subject_folds: Annotated[int, Ge(2), Le(50)] = 5
    # "none": the classifier trains for a fixed number of epochs. "subject": one training subject picks the epoch or,
    # where a subject's own data train, one training trial of each class. EMOD's protocols have a part for it.
    validation: Literal["none", "subject"] = "none"


def shuffled(names: Iterable[str], *purpose: Any) -> list[str]:
    """The names in an order that depends on nothing but themselves and ``purpose``."""
    return sorted(names, key=lambda name: digest(*purpose, name))


def too_few(dataset: str, found: int, needed: int) -> DataProblem:
    """The error for a data set with fewer subjects than a protocol needs."""
    cure = "Convert and clean more recordings, or leave this data set out of the targets."
    return DataProblem(f"segments of {dataset}: subjects", f"{found} with a class", f"at least {needed}", cure)


def training_groups(
    dataset: str, subjects: Sequence[str], settings: SplitSettings
) -> tuple[list[tuple[str, ...]], str]:
    """Different training groups of equal size, each in the order of ``subjects``, and a text that says their origin."""
    n_published, published = _PUBLISHED_GROUPS.get(dataset, (0, ()))
    if settings.training_fraction is None and settings.groups == len(published) and len(subjects) == n_published:
        groups = [tuple(subjects[index] for index in sorted(group)) for group in published]
        return groups, "those of the mdJPT code"
    fraction = settings.training_fraction
    if fraction is None:
        fraction = len(published[0]) / n_published if published else _FRACTION_ELSEWHERE
    size = max(2, ceil(round(fraction * len(subjects), 9)))  # 0.2 x 35 is a little above 7 in floating point
    if size >= len(subjects):
        raise too_few(dataset, len(subjects), size + 1)
    wanted = min(settings.groups, comb(len(subjects), size))
    chosen: dict[tuple[str, ...], None] = {}
    turn = 0
    while len(chosen) < wanted:
        # Groups are cut from one order of all subjects after the other, so each subject trains about equally often.
        order = shuffled(subjects, dataset, settings.seed, "groups", turn)
        for first in range(0, len(order) - size + 1, size):
            chosen.setdefault(tuple(sorted(order[first : first + size], key=subjects.index)))
        turn += 1
    return list(chosen)[:wanted], f"{wanted} random groups of {size} of {len(subjects)} subjects"


# In order of preference: two thirds train, unless another number deals out the clips more evenly.
_CLIP_FOLDS = (3, 5, 4, 2)


def clip_folds(
    dataset: str, table: Sequence[Trial], stimuli: Sequence[str], names: Sequence[str], settings: SplitSettings
) -> list[tuple[str, ...]]:
    """Clips dealt into folds in order of class, so that each fold holds each class about equally often.

    Where the class of a clip differs between subjects (self-report), its mean class takes the place of the class.

    Raises
    ------
    NotApplicable
        A class has one clip only.
    """
    wanted = settings.clip_folds or _CLIP_FOLDS[0]
    of_clip: dict[str, list[int]] = {}
    for trial in table:
        of_clip.setdefault(trial.stimulus, []).append(trial.label)
    if all(len(set(labels)) == 1 for labels in of_clip.values()):
        clips_of_class = Counter(labels[0] for labels in of_clip.values())
        rarest = min(clips_of_class, key=lambda label: (clips_of_class[label], label))
        if clips_of_class[rarest] < 2:
            raise NotApplicable(
                f"{dataset} has one clip of the class '{names[rarest]}', so no clip of it is left to test on."
            )
        if settings.clip_folds is None:
            possible = [count for count in _CLIP_FOLDS if count <= clips_of_class[rarest]]
            wanted = min(possible, key=lambda folds: sum(count % folds for count in clips_of_class.values()))
        wanted = min(wanted, clips_of_class[rarest])
    order = sorted(
        shuffled(of_clip, dataset, settings.seed, "clips"), key=lambda clip: sum(of_clip[clip]) / len(of_clip[clip])
    )
    return [tuple(sorted(order[first::wanted], key=stimuli.index)) for first in range(wanted)]

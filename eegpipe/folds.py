"""How each protocol draws its folds from the table of trials; ``protocols.py`` says what each one is for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from eegpipe.parts import SEPARATOR, Fold, Part, WindowDraw, trial_name
from eegpipe.protocols import (
    NotApplicable,
    Protocol,
    SplitSettings,
    clip_folds,
    shuffled,
    too_few,
    training_groups,
)
from eegpipe.trials import Trial

# ART: 80 % of a subject's windows train, 20 % test.
_ART_TEST_SHARE = 0.2
# EMOD on FACED: subjects to train, to choose the epoch, to test, in their natural order.
_FACED_PARTS = (80, 20, 23)
# EMOD on SEED-V: numbers of the trials of each session, in the same order of parts.
_SEED_V_TRIALS = (range(1, 6), range(6, 11), range(11, 16))


@dataclass(frozen=True)
class Target:
    """What folds are drawn from: the trials that have a class, and all names in natural order."""

    dataset: str
    table: Sequence[Trial]
    subjects: Sequence[str]
    sessions: Sequence[str]
    stimuli: Sequence[str]
    classes: Sequence[str]
    settings: SplitSettings

    def clips_of(self, trials: Iterable[Trial]) -> tuple[str, ...]:
        known = {trial.stimulus for trial in trials}
        return tuple(name for name in self.stimuli if name in known)

    def lacking(self, trials: Iterable[Trial]) -> list[str]:
        """Classes without a trial."""
        present = {trial.label for trial in trials}
        return [name for index, name in enumerate(self.classes) if index not in present]


Drawn = tuple[tuple[Fold, ...], list[str]]


def draw(plan: Protocol, target: Target) -> Drawn:
    """The folds, and notes on where they come from.

    Raises
    ------
    NotApplicable
        The data set cannot have this protocol by its design.
    DataProblem
        Too few subjects.
    """
    return _DRAWS[plan.draw](plan, target)


def trials_of(part: Part, table: Iterable[Trial]) -> list[Trial]:
    """The trials of a table that a part holds, all or some of their windows."""
    subjects, clips = set(part.subjects), set(part.stimuli)
    sessions = None if part.sessions is None else set(part.sessions)
    trials = None if part.trials is None else set(part.trials)
    return [
        trial
        for trial in table
        if trial.subject in subjects
        and trial.stimulus in clips
        and (sessions is None or trial.session in sessions)
        and (trials is None or _name(trial) in trials)
    ]


def _name(trial: Trial) -> str:
    return trial_name(trial.session, trial.number, trial.stimulus)


# -- across subjects ---------------------------------------------------------------------------------------------------


def _groups(plan: Protocol, target: Target) -> Drawn:
    groups, origin = training_groups(target.dataset, target.subjects, target.settings)
    sides = [(f"group-{number}", f"group-{number}", group) for number, group in enumerate(groups, 1)]
    return _across(plan, target, sides), [f"training groups: {origin}"]


def _neighbours(plan: Protocol, target: Target) -> Drawn:
    note = "labels of the neighbours are read: nearest-neighbour evaluation, nothing is trained on the target"
    notes = [note]
    if plan.paper:
        notes.append("no code of the published evaluation is known: neighbours from other subjects are a reading of it")
    return _across(plan, target, _leave_one_out(target)), notes


def _loso(plan: Protocol, target: Target) -> Drawn:
    return _across(plan, target, _leave_one_out(target)), ["each subject is tested once, by all others"]


def _leave_one_out(target: Target) -> list[tuple[str, str, tuple[str, ...]]]:
    if len(target.subjects) < 2:
        raise too_few(target.dataset, len(target.subjects), 2)
    return [("all", f"sub-{name}", tuple(one for one in target.subjects if one != name)) for name in target.subjects]


def _kfold(plan: Protocol, target: Target) -> Drawn:
    folds = _subject_folds(target, 2)
    sides = [
        ("all", f"subjects-{number}", tuple(name for name in target.subjects if name not in tested))
        for number, tested in enumerate(folds, 1)
    ]
    return _across(plan, target, sides), [f"{len(folds)} random folds of {len(target.subjects)} subjects"]


def _subject_folds(target: Target, least: int) -> list[tuple[str, ...]]:
    if len(target.subjects) < least:
        raise too_few(target.dataset, len(target.subjects), least)
    count = min(max(target.settings.subject_folds, least), len(target.subjects))
    order = shuffled(target.subjects, target.dataset, target.settings.seed, "subject folds")
    return [tuple(sorted(order[first::count], key=target.subjects.index)) for first in range(count)]


def _datasets(_: Protocol, target: Target) -> Drawn:
    """Everybody of the other data sets trains, everybody of the target is tested."""
    learning = [name for name in target.subjects if SEPARATOR in name]
    tested = tuple(name for name in target.subjects if SEPARATOR not in name)
    if not learning:
        raise NotApplicable(f"{target.dataset} alone has no other data set to learn from. Name some with --from.")
    if not tested:
        raise too_few(target.dataset, 0, 1)
    watching: list[str] = []
    if target.settings.validation == "subject":
        watching = shuffled(learning, target.dataset, target.settings.seed, "validation")[:1]

    def part(subjects: Iterable[str]) -> Part:
        chosen = tuple(subjects)
        return Part(chosen, target.clips_of(one for one in target.table if one.subject in chosen))

    train = part(name for name in learning if name not in watching)
    fold = Fold("others", "all", train, part(watching) if watching else None, part(tested))
    of = ", ".join(dict.fromkeys(name.partition(SEPARATOR)[0] for name in learning))
    return (fold,), [
        f"all of {of} train",
        "whether two data sets share people or clips under other names cannot be seen in names",
    ]


def _across(plan: Protocol, target: Target, sides: Sequence[tuple[str, str, tuple[str, ...]]]) -> tuple[Fold, ...]:
    """Folds from (group, name, training subjects); all other subjects are tested. Those without a test trial go."""
    dealt = _dealt_clips(plan, target)
    folds = []
    for group, name, trained in sides:
        tested = tuple(subject for subject in target.subjects if subject not in trained)
        watching: tuple[str, ...] = ()
        if target.settings.validation == "subject" and plan.kind != "zeroshot" and not plan.as_mdjpt:
            watching = tuple(shuffled(trained, target.dataset, target.settings.seed, "validation", name)[:1])
        learning = tuple(subject for subject in trained if subject not in watching)
        for suffix, known, clips in dealt:
            test = Part(tested, clips)
            if not trials_of(test, target.table):  # nobody tested here saw, or rated, a clip of this fold
                continue
            validation = Part(watching, known) if watching else None
            folds.append(Fold(name + suffix, group, Part(learning, known), validation, test))
    return tuple(folds)


def _dealt_clips(plan: Protocol, target: Target) -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """(suffix of the fold's name, clips to train with, clips to test with)."""
    stimuli = tuple(target.stimuli)
    if not plan.clips_apart:
        return [("", stimuli, stimuli)]
    folds = clip_folds(target.dataset, target.table, stimuli, target.classes, target.settings)
    return [
        (f"_clips-{number}", tuple(clip for clip in stimuli if clip not in clips), clips)
        for number, clips in enumerate(folds, 1)
    ]


# -- within a subject --------------------------------------------------------------------------------------------------


def _trials(plan: Protocol, target: Target) -> Drawn:
    """Whole trials (or all trials of a clip) dealt into folds, each class on both sides of each fold."""
    clips_count = plan.clips_apart
    own = _by_subject(target)
    if clips_count and all(len({one.stimulus for one in mine}) == len(mine) for mine in own.values()):
        raise _apart_anyway(target, "no subject saw a clip twice", "within_trial_blocked")
    folds: list[Fold] = []
    left_out = []
    for subject, mine in own.items():
        sides = _sides(_dealt(mine, subject, target, clips_count), target)
        if not sides:
            left_out.append(subject)
        for number, (train, test) in enumerate(sides, 1):
            folds.append(_within(f"sub-{subject}_trials-{number}", target, train, test))
    if not folds:
        unit = "clips" if clips_count else "trials"
        raise NotApplicable(f"{target.dataset} has no subject with two {unit} of every class.")
    unit = "all trials of a clip on one side" if clips_count else "whole trials"
    return tuple(folds), [f"{unit}, each class on both sides", *_left_out(left_out, "two trials of a class")]


def _dealt(mine: Sequence[Trial], subject: str, target: Target, by_clip: bool) -> list[list[Trial]]:
    """A subject's trials in folds; empty if a class is too rare."""
    pieces: dict[str, list[Trial]] = {}
    for trial in mine:
        pieces.setdefault(trial.stimulus if by_clip else _name(trial), []).append(trial)
    labels = {name: sum(one.label for one in trials) / len(trials) for name, trials in pieces.items()}
    of_class = Counter(labels.values())
    rarest = min(of_class.get(float(index), 0) for index in range(len(target.classes)))
    # A clip that the subject rated twice and differently belongs to no one class.
    sure = all(label.is_integer() for label in labels.values())
    count = min(target.settings.trial_folds, rarest if sure else max(rarest, 2), len(pieces))
    if count < 2:
        return []
    order = sorted(shuffled(pieces, target.dataset, target.settings.seed, "trials", subject), key=labels.__getitem__)
    return [[trial for name in order[first::count] for trial in pieces[name]] for first in range(count)]


def _sides(dealt: Sequence[Sequence[Trial]], target: Target) -> list[tuple[list[Trial], list[Trial]]]:
    """Training and test trials of each fold; none if a side of any lacks a class."""
    sides = [([trial for other in dealt if other is not tested for trial in other], list(tested)) for tested in dealt]
    if any(target.lacking(part) for both in sides for part in both):
        return []
    return sides


def _sessions(plan: Protocol, target: Target) -> Drawn:
    """Train on all sessions of a subject but one, test on that one; with clip folds on top if clips are apart."""
    own = _by_subject(target)
    several = {subject: mine for subject, mine in own.items() if len({trial.session for trial in mine}) > 1}
    if not several:
        raise NotApplicable(f"{target.dataset} has one session of each subject, so there is no other one to test on.")
    shown: dict[tuple[str, str], set[str]] = {}
    for mine in several.values():
        for one in mine:
            shown.setdefault((one.subject, one.stimulus), set()).add(one.session)
    if plan.clips_apart and all(len(sessions) == 1 for sessions in shown.values()):
        raise _apart_anyway(target, "no subject saw a clip in two sessions", "within_session_blocked")
    dealt = _dealt_clips(plan, target)
    folds: list[Fold] = []
    left_out = [subject for subject in own if subject not in several]
    for subject, mine in several.items():
        sides = []
        for session in [name for name in target.sessions if any(trial.session == name for trial in mine)]:
            for suffix, known, clips in dealt:
                train = [one for one in mine if one.session != session and one.stimulus in known]
                test = [one for one in mine if one.session == session and one.stimulus in clips]
                if test:
                    sides.append((f"sub-{subject}_ses-{session}{suffix}", train, test))
        if any(target.lacking(train) for _, train, _ in sides):
            left_out.append(subject)
        else:
            folds += [_within(name, target, train, test, by_session=True) for name, train, test in sides]
    if not folds:
        raise NotApplicable(f"{target.dataset} has no subject whose other sessions hold every class.")
    notes = _left_out(left_out, "a second session, or have other sessions without some class")
    return tuple(folds), ["each session in turn is tested by the subject's others", *notes]


def _windows(_: Protocol, target: Target) -> Drawn:
    own = {subject: mine for subject, mine in _by_subject(target).items() if not target.lacking(mine)}
    if not own:
        raise NotApplicable(f"{target.dataset} has no subject with every class.")
    left_out = [subject for subject in target.subjects if subject not in own]
    folds = []
    for subject, mine in own.items():
        parts = [
            Part(
                (subject,),
                target.clips_of(mine),
                windows=WindowDraw(side, _ART_TEST_SHARE, target.settings.seed, target.settings.target),
            )
            for side in ("rest", "drawn")
        ]
        folds.append(Fold(f"sub-{subject}", "all", parts[0], None, parts[1]))
    notes = [
        "80 % of a subject's windows of each class train, 20 % are tested; the paper does not say what it drew, "
        "single windows are a reading of it",
        "the paper does not say what chooses its checkpoints; here test data chooses nothing",
    ]
    return tuple(folds), notes + _left_out(left_out, "every class")


def _by_subject(target: Target) -> dict[str, list[Trial]]:
    return {subject: [one for one in target.table if one.subject == subject] for subject in target.subjects}


def _apart_anyway(target: Target, why: str, plain: str) -> NotApplicable:
    return NotApplicable(f"in {target.dataset} {why}: {plain} keeps clips apart already.")


def _left_out(subjects: Sequence[str], lacking: str) -> list[str]:
    return [f"left out, because they lack {lacking}: {', '.join(subjects)}"] if subjects else []


def _within(
    name: str, target: Target, train: Sequence[Trial], test: Sequence[Trial], *, by_session: bool = False
) -> Fold:
    """A fold of one subject. With ``validation`` a trial of each class is taken from the training part."""

    def part(trials: Sequence[Trial], whole_sessions: bool) -> Part:
        sessions = tuple(one for one in target.sessions if any(trial.session == one for trial in trials))
        chosen = None if whole_sessions else tuple(map(_name, sorted(trials)))
        return Part((trials[0].subject,), target.clips_of(trials), sessions if by_session else None, chosen)

    watching: list[Trial] = []
    if target.settings.validation == "subject":
        of_class = [[one for one in train if one.label == number] for number in range(len(target.classes))]
        if all(len(trials) > 1 for trials in of_class):
            purpose = (target.dataset, target.settings.seed, "validation", name)
            first = {shuffled(map(_name, trials), *purpose)[0] for trials in of_class}
            watching = [one for one in train if _name(one) in first]
    learning = [one for one in train if one not in watching]
    return Fold(
        name,
        "all",
        part(learning, by_session and not watching),
        part(watching, False) if watching else None,
        part(test, by_session),
    )


# -- EMOD's parts ------------------------------------------------------------------------------------------------------


def _faced(plan: Protocol, target: Target) -> Drawn:
    _only(target, "faced", "FACED")
    total = len(target.subjects)
    if total < 3:
        raise too_few(target.dataset, total, 3)
    watch, test = (max(1, round(total * share / sum(_FACED_PARTS))) for share in _FACED_PARTS[1:])
    train = total - watch - test
    subjects = tuple(target.subjects)
    bounds = (subjects[:train], subjects[train : train + watch], subjects[train + watch :])
    counts = f"{train} train, {watch} choose the epoch, {test} are tested"
    origin = "the paper's subjects" if total == sum(_FACED_PARTS) else "in the paper's proportion of 80 to 20 to 23"
    folds = tuple(
        Fold(f"parts{suffix}", "all", Part(bounds[0], known), Part(bounds[1], known), Part(bounds[2], clips))
        for suffix, known, clips in _dealt_clips(plan, target)
    )
    return folds, [f"{origin}, in their natural order: of {total}, {counts}"]


def _seed_v(plan: Protocol, target: Target) -> Drawn:
    _only(target, "seed_v", "SEED-V")
    numbers = [{trial.number for trial in target.table} & set(wanted) for wanted in _SEED_V_TRIALS]
    if not all(numbers):
        raise NotApplicable(f"{target.dataset} lacks trials of EMOD's parts: 1-5, 6-10, 11-15 of a session.")
    chosen = [[trial for trial in target.table if trial.number in wanted] for wanted in _SEED_V_TRIALS]

    def part(number: int, subjects: Sequence[str]) -> Part:
        mine = [trial for trial in chosen[number] if trial.subject in subjects]
        names = {_name(one): one for one in mine}
        ordered = sorted(names, key=lambda name: (target.sessions.index(names[name].session), names[name].number))
        return Part(tuple(subjects), target.clips_of(mine), None, tuple(ordered))

    note = "trials 1-5 of each session train, 6-10 choose the epoch, 11-15 are tested"
    folds = tuple(
        Fold(name, "all", *(part(number, subjects) for number, subjects in enumerate(sides)))
        for name, sides in _rotations(plan, target)
    )
    return folds, [note]


def _seed(plan: Protocol, target: Target) -> Drawn:
    _only(target, "seed", "SEED")
    sessions = [name for name in target.sessions if any(trial.session == name for trial in target.table)]
    if len(sessions) < 3:
        raise NotApplicable(f"EMOD's parts of SEED are three sessions, {target.dataset} has {len(sessions)} here.")
    folds = []
    for name, sides in _rotations(plan, target):
        for suffix, known, clips in _dealt_clips(plan, target):
            parts = [
                Part(tuple(subjects), allowed, (session,))
                for subjects, allowed, session in zip(sides, (known, known, clips), sessions, strict=False)
            ]
            folds.append(Fold(name + suffix, "all", *parts))
    return tuple(folds), [f"session {sessions[0]} trains, {sessions[1]} chooses the epoch, {sessions[2]} is tested"]


def _rotations(plan: Protocol, target: Target) -> list[tuple[str, tuple[tuple[str, ...], ...]]]:
    """Subjects of the training, validation and test part: everybody in all, or folds of subjects that rotate."""
    everybody = tuple(target.subjects)
    if "subject" not in plan.apart:
        return [("parts", (everybody, everybody, everybody))]
    folds = _subject_folds(target, 3)
    rotations: list[tuple[str, tuple[tuple[str, ...], ...]]] = []
    for number, tested in enumerate(folds):
        watching = folds[(number + 1) % len(folds)]
        learning = tuple(name for name in everybody if name not in tested and name not in watching)
        rotations.append((f"subjects-{number + 1}", (learning, watching, tested)))
    return rotations


def _only(target: Target, name: str, title: str) -> None:
    if target.dataset != name:
        raise NotApplicable(f"the parts are those of EMOD for {title} and mean nothing in {target.dataset}.")


_DRAWS: Mapping[str, Callable[[Protocol, Target], Drawn]] = {
    "groups": _groups,
    "neighbours": _neighbours,
    "loso": _loso,
    "kfold": _kfold,
    "datasets": _datasets,
    "trials": _trials,
    "sessions": _sessions,
    "windows": _windows,
    "faced": _faced,
    "seed_v": _seed_v,
    "seed": _seed,
}

"""EmoEEG-MC's folder: README with codes and orders, EDF files or the reordered arrays, tables of ratings.

Seven blocks of three stimuli; in each, the three films and the three imagined scenes in either order. Both variants
hold the same people, orders, ratings and brains.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eegpipe.affect import Affect, from_rating, from_word
from eegpipe.progress import Advance
from eegpipe.recording import RecordingId
from eegpipe.simulate.affective import WORDS, felt, rate
from eegpipe.simulate.biosemi import EDF_DIGITAL, Signal, counted, write_edf
from eegpipe.simulate.brain import Person, draw_person
from eegpipe.simulate.continuous import Continuous, Placed, record_continuously
from eegpipe.simulate.plan import Clip, Design, Plan
from eegpipe.simulate.record import Amplifier, Block, record
from eegpipe.simulate.streams import stream
from eegpipe.simulate.truth import Shown, Truth

_WORDS = {
    "sad": "sadness", "dis": "disgust", "fear": "fear", "neu": "neutral", "joy": "joy", "ten": "tenderness",
    "ins": "inspiration",
}  # fmt: skip
STIMULI = tuple(f"{start}{number}" for start in _WORDS for number in (4, 5, 8))
_FILM_S = (74, 110, 73, 73, 82, 255, 84, 91, 98, 106, 105, 112, 58, 122, 101, 116, 66, 111, 117, 108, 67)
_SCENE_S = 40
_EMOTIONS = ("joy", "inspiration", "tenderness", "sadness", "fear", "disgust")
SCALE = (0.0, 7.0)
_WINDOW_S = 30


def _clip(number: int) -> Clip:
    place = (number - 1) % len(STIMULI)
    word = _WORDS[STIMULI[place].rstrip("458")]
    return Clip(number, WORDS[word], word, _SCENE_S if number <= len(STIMULI) else _FILM_S[place])


_CLIPS = tuple(_clip(number) for number in range(1, 2 * len(STIMULI) + 1))  # scenes, then films
_EVERYBODY = tuple(range(1, 61))
# sub-02: 1200 Hz, one file. sub-08: half the rate in its header. sub-16: "fede". sub-20: a loose trigger, neutral films
# listed the wrong way round. sub-57: trials without a listed stimulus, ratings in another order.
DESIGN = Design("emoeeg_mc", _EVERYBODY[1:], 1, _CLIPS, trap_people=(2, 8, 16, 20, 57))
DERIVATIVE_DESIGN = Design("emoeeg_mc", _EVERYBODY, 1, _CLIPS, trap_people=(1, 57, 60))

_ONE_RUN = (2, 3, 4, 5, 6, 9, 11, 14, 15, 33, 39, 53, 55, 56, 60)
_FAST = (2, 3, 4, 5, 8, 55, 56)
# Places, of imagery and of video, that the README calls missing.
_MISSING: dict[int, tuple[tuple[int, ...], tuple[int, ...]]] = {
    55: ((19, 20, 21), (19, 20, 21)),
    56: ((20, 21), ()),
    57: ((6, 8, 13, 21), (2, 3, 15, 16, 17, 21)),
    58: ((9, 20, 21), ()),
    59: ((2, 4, 6, 12, 19, 21), (8, 16, 18, 21)),
    60: (tuple(range(8, 22)), tuple(range(10, 22))),
}
# The README's codes are fade, rating, ima and vid one after the other from a number that differs, and four exceptions.
_FIRST_CODE = {
    1: 28, 2: 30, 3: 30, 4: 48, 6: 21, 7: 48, 10: 21, 11: 21, 12: 30, 13: 21, 14: 21, 16: 21, 21: 33, 22: 53, 23: 33,
    24: 33, 28: 13, 29: 23, 30: 23, 33: 12, 38: 13, 39: 6, 41: 53, 42: 23, 43: 35, 44: 13, 45: 13, 46: 7, 47: 7,
    50: 13, 51: 23, 55: 27, 58: 23, 59: 23, 60: 33,
}  # fmt: skip
_ODD_CODES = {8: (37, 40, 41, 42), 53: (34, 33, 36, 38)}

AMPLIFIER = Amplifier(
    channels=(
        "Fp1", "Fpz", "Fp2", "AF7", "AF3", "AF4", "AF8", "F7", "F5", "F3", "F1", "Fz", "F2", "F4", "F6", "F8", "FT7",
        "FC5", "FC3", "FC1", "FCz", "FC2", "FC4", "FC6", "FT8", "T7", "C5", "C3", "C1", "Cz", "C2", "C4", "C6", "T8",
        "TP7", "CP5", "CP3", "CP1", "CPz", "CP2", "CP4", "CP6", "TP8", "P7", "P5", "P3", "P1", "Pz", "P2", "P4", "P6",
        "P8", "PO7", "PO3", "POz", "PO4", "PO8", "O1", "Oz", "O2", "F9", "F10", "TP9", "TP10",
    ),
    rate_hz=200.0,
    reference=("A1", "A2"),
    band_hz=(0.0, 90.0),
    noise_uv=0.5,
    line_uv=2.0,
    drift_uv=8.0,
    bad_channels=1.0,
)  # fmt: skip
_RANGE_UV = (-3276.8, 3276.7)


@dataclass(frozen=True)
class _Course:
    """What one person was shown. ``rows``: (context 0 or 1, place from 0) of each trial in order of time."""

    order: tuple[str, ...]
    rows: tuple[tuple[int, int], ...]
    missing: tuple[tuple[int, ...], tuple[int, ...]]

    def clip(self, plan: Plan, context: int, place: int) -> Clip:
        return plan.clips[context * len(STIMULI) + STIMULI.index(self.order[place])]

    def listed(self, context: int) -> list[str]:
        return [name for place, name in enumerate(self.order, 1) if place not in self.missing[context]]


def _course(plan: Plan, subject: int) -> _Course:
    random = stream(plan.settings.seed, "emoeeg_mc", subject, "order")
    groups = [["neu4", "neu8", "neu5"]]
    for side in (("sad", "dis", "fear"), ("joy", "ten", "ins")):
        names = [name for name in STIMULI if name.rstrip("458") in side]
        mixed = [names[place] for place in random.permutation(len(names))]
        groups += [mixed[at : at + 3] for at in (0, 3, 6)]
    order = tuple(name for group in random.permutation(len(groups)) for name in groups[group])
    rows: list[tuple[int, int]] = []
    for block in range(len(groups)):
        for context in (0, 1) if random.random() < 0.5 else (1, 0):
            rows += [(context, 3 * block + place) for place in range(3)]
    return _Course(order, tuple(rows), _MISSING.get(subject, ((), ())))


def _codes(subject: int) -> tuple[int, int, int, int]:
    """fade, rating, ima, vid"""
    first = _FIRST_CODE.get(subject, 3)
    return _ODD_CODES.get(subject, (first, first + 1, first + 2, first + 3))


def _ratings(plan: Plan, subject: int, clip: Clip) -> dict[str, float]:
    """Ten ratings from 0 to 7 with two digits: the target emotion is highest as a rule."""
    seed = plan.settings.seed
    valence, arousal, approach = felt(seed, "emoeeg_mc", subject, clip)
    random = stream(seed, "emoeeg_mc", subject, "ratings", clip.number)
    scores = {}
    for word in _EMOTIONS:
        away = np.linalg.norm(np.subtract(WORDS[word], (valence, arousal, approach)))
        scores[word] = rate(random, 1 - 1.6 * float(away) + (0.6 if word == clip.label else 0.0), SCALE)
    others = {"arousal": arousal, "valence": valence, "familiarity": -0.5, "liking": 0.6 * valence}
    scores |= {name: rate(random, feeling, SCALE) for name, feeling in others.items()}
    return {name: round(score, 2) for name, score in scores.items()}


def _own_affect(clip: Clip, ratings: dict[str, float]) -> Affect:
    return from_rating(ratings["valence"], ratings["arousal"], SCALE) if ratings else from_word(str(clip.label))


# --- texts beside the signal ------------------------------------------------------------------------------------------


def _write_texts(folder: Path, plan: Plan, courses: dict[int, _Course]) -> None:
    exchange = _exchanges(plan)
    lines = ["# EmoEEG-MC: A Multi-Context Emotional EEG Dataset (simulated)", "", "## Dataset Description", ""]
    lines += ["Details are in `sub-xx/sub-xx_channels.tsv` and `sub-xx/sub-xx_events.tsv`.", ""]
    for subject, course in courses.items():
        if any(course.missing):
            ima, vid = course.missing
            parts = [f"{len(ima)} imagery trials (Trials {_places(ima)})"] if ima else []
            parts += [f"{len(vid)} video trials (Trials {_places([place + 21 for place in vid])})"] if vid else []
            lines.append(f"- **sub{subject:02d}**: Missing {' and '.join(parts)}.")
    lines += ["", "### Trial Reordering", "", f"`reorder = {list(STIMULI)}`", "", "### Full Trial Participants", ""]
    for subject, course in courses.items():
        if not any(course.missing) and subject != 54:
            order = list(course.order)
            if subject in (6, 7, 8, 20) and exchange:
                order = [{"neu5": "neu8", "neu8": "neu5"}.get(name, name) for name in order]
            lines.append(f"{subject}. `{order}`")
    if 54 in courses:
        for name in ("Imagery", "Video"):
            lines += ["", f"- **sub54 {name} sequence**:  ", f"  `{list(courses[54].order)}`"]
    lines += ["", "### Participants with Missing Trials", ""]
    for subject, course in courses.items():
        if any(course.missing):
            lines += ["", f"- **sub{subject:02d}**:  "]
            for context, name in enumerate(("Imagery", "Video")):
                lines += [f"  - {name} sequence:  ", f"    `{course.listed(context)}`"]
    lines += ["", "## Preprocess Procedure", "First, the data were filtered to 0.1-47 Hz.", "", "## Guide for labels"]
    for subject in courses:
        fade, rating, scene, film = _codes(subject)
        name = "fede" if subject == 16 else "fade"
        lines.append(f"     sub-{subject:02d}: vid-{film} rating-{rating} ima-{scene} {name}-{fade}")
    (folder / "README.md").write_text("\n".join([*lines, ""]), encoding="utf-8")
    people = ["participant_id\tage\tgender", *(f"sub-{n:02d}\t{18 + n % 9}\t{'FM'[n % 2]}" for n in courses if n < 55)]
    (folder / "participants.tsv").write_text("\n".join([*people, ""]), encoding="utf-8")


def _places(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:-1])) + (", and " if len(numbers) > 1 else "") + str(numbers[-1])


def _exchanges(plan: Plan) -> bool:
    """Whether the irregular lists are written: only films of different lengths can betray them."""
    seconds = {name: plan.clips[len(STIMULI) + STIMULI.index(name)].stimulus_s for name in ("neu5", "neu8")}
    return plan.traps and seconds["neu5"] != seconds["neu8"]


def _write_behaviour(folder: Path, plan: Plan, subject: int, course: _Course) -> list[dict[str, float]]:
    """The table, rows in order of time; the ratings that a right reader gives each row (none if they are useless)."""
    ratings = [_ratings(plan, subject, course.clip(plan, *row)) for row in course.rows]
    written: list[dict[str, float]] = ratings
    if plan.traps and subject == 57:  # another person's order
        written = [ratings[(place + 17) % len(ratings)] for place in range(len(ratings))]
    columns = ["trial_number", "video_name", *(f"score_{number}" for number in range(1, 11))]
    lines = ["\t".join(columns)]
    names = (*_EMOTIONS[:3], "sadness", "fear", "disgust", "arousal", "valence", "familiarity", "liking")
    for number, row in enumerate(written, start=1):
        texts = [repr(row[name]) for name in names]
        if plan.traps and subject == 16 and number == 5:
            texts, ratings[number - 1] = ["n/a"] * len(texts), {}
        lines.append("\t".join([f"{number}.0" if subject >= 55 else str(number), str(subject % 40), *texts]))
    path = folder / f"sub-{subject:02d}" / "beh"
    path.mkdir(parents=True)
    (path / f"sub-{subject:02d}_task-emotion_beh.tsv").write_text("\n".join([*lines, ""]), encoding="utf-8")
    return [{} for _ in ratings] if written is not ratings else ratings


def _identifier(context: int, name: str) -> str:
    return f"emoeeg_mc/{('ima', 'vid')[context]}-{name}"


# --- raw --------------------------------------------------------------------------------------------------------------


def write_raw(folder: Path, plan: Plan, truth: Truth, advance: Advance) -> None:
    """Write README, tables and EDF files into ``folder``."""
    courses = {subject: _course(plan, subject) for subject in plan.people}
    _write_texts(folder, plan, courses)
    for subject, course in courses.items():
        _write_person(folder, plan, subject, course, truth)
        advance()
    if plan.traps:
        (folder / "sub-01" / "beh").mkdir(parents=True)
        (folder / "sub-01" / "beh" / "sub-01_task-emotion_beh.tsv").write_text("trial_number\n", encoding="utf-8")


def _write_person(folder: Path, plan: Plan, subject: int, course: _Course, truth: Truth) -> None:
    low, raise_by = round(AMPLIFIER.rate_hz), 6 if subject in _FAST else 3
    gap = 1 if plan.settings.trial_s else 20
    placed, at = [], 2 * gap * low
    cut_s = 0  # where the second run begins: in the gap before the fifth block
    for number, (context, place) in enumerate(course.rows):
        clip = course.clip(plan, context, place)
        if number == 24:
            cut_s, at = at // low, at + gap * low
        placed.append(Placed(Block(clip.stimulus_s * low, clip, key=clip.number), at))
        at += (clip.stimulus_s + 2 * gap) * low
    person = draw_person(plan.settings.seed, "emoeeg_mc", subject)
    recorded = record_continuously(
        AMPLIFIER, placed, at, person, 1, plan, raise_by=raise_by, offsets_uv=200.0, noise_uv=0.3
    )
    ratings = _write_behaviour(folder, plan, subject, course)
    marks, ends = _marks(plan, subject, course, placed, low)
    edges = [0, at // low] if subject in _ONE_RUN else [0, cut_s, at // low]
    hz = low * raise_by
    half = plan.traps and subject == 8  # the header's rate is half the true one, and with it all times are doubled
    signals = _write_runs(folder, subject, recorded, edges, marks, hz, 2 if half else 1)
    id = RecordingId(f"{subject:02d}")
    if half:
        truth.refuse(id, "between its marks")
        return
    shown = []
    for row, (context, place) in enumerate(course.rows):
        if place + 1 in course.missing[context]:
            continue
        clip, one = course.clip(plan, context, place), placed[row]
        affect = _own_affect(clip, ratings[row])
        trial, name = place + 1 + 21 * context, _identifier(context, course.order[place])
        samples = round((ends[row] - one.at / low) * hz)
        shown.append(Shown(clip, one.at * raise_by, samples, affect, ratings[row], trial, name))
    truth.add(
        id,
        plan,
        shown,
        rate_hz=float(hz),
        channels=AMPLIFIER.channels,
        signal_uv=signals,
        clean_uv=recorded.clean_uv,
        artefacts=recorded.artefacts,
        bad_channels=recorded.bad_channels,
    )


def _marks(
    plan: Plan, subject: int, course: _Course, placed: Sequence[Placed], hz: int
) -> tuple[list[tuple[float, int]], list[float]]:
    """(seconds, code) of every mark, and when each trial ends for a right reader."""
    fade, rating, ima, vid = _codes(subject)
    random = stream(plan.settings.seed, "emoeeg_mc", subject, "marks")
    marks = [(0.2, rating), (0.5, max(0, fade - 1))]  # of the practice, and one that means nothing
    ends = []
    for row, ((context, _), one) in enumerate(zip(course.rows, placed, strict=True)):
        start, end = one.at / hz, (one.at + one.block.samples) / hz
        marks.append((start, vid if context else ima))
        if plan.traps and subject == 20 and row == course.rows.index((0, 8)):
            end -= 1.0
            marks += [(end, code) for code in range(8)]
        elif context == 0 and random.random() < 0.8:
            marks += [(end, fade), (end + 0.25, fade), (end + 0.5, rating)]
        else:
            marks.append((end, rating))
        ends.append(end)
    return marks, ends


def _write_runs(
    folder: Path,
    subject: int,
    recorded: Continuous,
    edges: Sequence[int],
    marks: Sequence[tuple[float, int]],
    hz: int,
    slower: int,
) -> np.ndarray:
    """One EDF file a run; what they hold, joined, (channel, sample) microvolt."""
    path = folder / f"sub-{subject:02d}" / "eeg"
    path.mkdir(parents=True)
    held = []
    for run, (first, stop) in enumerate(itertools.pairwise(edges), start=1):
        part = recorded.signal_uv[:, first * hz : stop * hz]
        per_record = hz // slower
        signals = [
            Signal(name, "uV", _RANGE_UV, EDF_DIGITAL, per_record, counted(row, _RANGE_UV, EDF_DIGITAL))
            for name, row in zip(AMPLIFIER.channels, part, strict=True)
        ]
        held.append(np.stack([signal.values for signal in signals]).astype(np.float32))
        silent = np.zeros(part.shape[1], np.int32)
        signals += [Signal(f"TRIG{n}", "uV", _RANGE_UV, EDF_DIGITAL, per_record, silent) for n in range(1, 5)]
        own = [((time - first) * slower, None, str(code)) for time, code in marks if first <= time < stop]
        name = f"_run-{run:02d}" if len(edges) > 2 else ""
        file = path / f"sub-{subject:02d}_task-emotion{name}_eeg.edf"
        write_edf(file, signals, 1.0, annotations=own, start_date="01.01.23")
    return np.concatenate(held, axis=1)


# --- derivative -------------------------------------------------------------------------------------------------------


def write_derivative(folder: Path, plan: Plan, truth: Truth, advance: Advance) -> None:
    """Write README, tables and the reordered arrays into ``folder``."""
    courses = {subject: _course(plan, subject) for subject in plan.people}
    _write_texts(folder, plan, courses)
    for subject, course in courses.items():
        _write_behaviour(folder, plan, subject, course)
        _write_arrays(folder, plan, subject, course, truth)
        advance()


def _write_arrays(folder: Path, plan: Plan, subject: int, course: _Course, truth: Truth) -> None:
    hz = round(AMPLIFIER.rate_hz)
    window = hz * min(_WINDOW_S, *(clip.stimulus_s for clip in plan.clips))
    person: Person = draw_person(plan.settings.seed, "emoeeg_mc", subject)
    recorded = record(
        AMPLIFIER, [Block(clip.stimulus_s * hz, clip, key=clip.number) for clip in plan.clips], person, 1, plan
    )
    shown: list[Shown] = []
    signals: list[np.ndarray] = []
    cleans: list[np.ndarray] = []
    base = folder / "derivatives" / f"sub-{subject:02d}"
    for context, session in enumerate(("ima", "vid")):
        numbers = [
            context * len(STIMULI) + place for place, name in enumerate(STIMULI) if name in course.listed(context)
        ]
        trials = [_cleaned(recorded.blocks_uv[number], hz)[:, -window:] for number in numbers]
        array = np.stack(trials, axis=1)  # channel, trial, sample
        path = base / f"ses-{session}"
        path = path if subject >= 55 else path / "eeg"
        path.mkdir(parents=True)
        np.save(path / f"sub-{subject:02d}_ses-{session}_task-emotion_reorder.npy", array)
        for place, number in enumerate(numbers):
            clip = plan.clips[number]
            word = Shown(
                clip, len(signals) * window, window, from_word(str(clip.label)), {}, number + 1,
                _identifier(context, STIMULI[number % len(STIMULI)]),
            )  # fmt: skip
            shown.append(word)
            signals.append(array[:, place])
            cleans.append(_cleaned(recorded.clean_uv[number], hz)[:, -window:])
    if plan.traps:  # one of the odd arrays: trials of different lengths as Python objects
        odd = np.empty(2, dtype=object)
        odd[:] = [np.zeros((64, 5)), np.zeros((64, 7))]
        np.save(base / f"sub-{subject:02d}_task-emotion_filtered.npy", odd, allow_pickle=True)
    truth.add(
        RecordingId(f"{subject:02d}"),
        plan,
        shown,
        rate_hz=AMPLIFIER.rate_hz,
        channels=AMPLIFIER.channels,
        signal_uv=np.concatenate(signals, axis=1),
        clean_uv=np.concatenate(cleans, axis=1),
    )


def _cleaned(signal: np.ndarray, hz: int) -> np.ndarray:
    """0.5 to 47 Hz, average reference; float64."""
    spectrum = np.fft.rfft(signal - signal.mean(axis=1, keepdims=True))
    frequency = np.fft.rfftfreq(signal.shape[1], 1 / hz)
    kept: np.ndarray = np.fft.irfft(spectrum * ((frequency >= 0.5) & (frequency <= 47)), signal.shape[1])
    return kept - kept.mean(axis=0)

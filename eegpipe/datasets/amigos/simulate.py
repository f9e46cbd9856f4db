"""AMIGOS: ``Data_Preprocessed_P01.mat`` and ``Data_Original_P01.mat`` of the same people, and the workbook of ratings.

A person watches 16 short videos, and on another day 4 long ones. Every cell begins with 5 s of baseline. Preprocessed:
14 electrodes against their average, 4-45 Hz, then two electrocardiogram leads and skin resistance. Original: the
headset's 25 columns around the level of its converter, in order of presentation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from eegpipe.affect import UNKNOWN, from_rating
from eegpipe.datasets.amigos.workbook import write_xlsx
from eegpipe.progress import Advance
from eegpipe.recording import RecordingId
from eegpipe.simulate.affective import felt, rate
from eegpipe.simulate.brain import Person, draw_person
from eegpipe.simulate.containers import write_mat
from eegpipe.simulate.plan import Clip, Design, Plan
from eegpipe.simulate.record import Amplifier, Block, Recorded, record
from eegpipe.simulate.streams import stream
from eegpipe.simulate.truth import Shown, Truth

BASELINE_S = 5
SCALE = (1.0, 9.0)
SESSIONS = ("short", "long")
# In the order of the columns of labels_selfassessment.
RATINGS = (
    "arousal", "valence", "dominance", "liking", "familiarity",
    "neutral", "disgust", "happiness", "surprise", "anger", "fear", "sadness",
)  # fmt: skip

# Identifier, and seconds: not published video by video. The short ones have their mean (87 s); the long ones are the
# published number of 20-second clips. Valence and arousal are set by hand, four videos a quadrant.
_SHORT = (
    ("4", 0.6, 0.6, 93), ("5", 0.7, 0.4, 108), ("9", 0.5, 0.5, 76), ("10", 0.5, -0.5, 92), ("13", 0.6, -0.4, 64),
    ("18", 0.4, -0.6, 80), ("19", -0.6, -0.4, 125), ("20", -0.6, -0.3, 77), ("23", -0.7, -0.2, 109),
    ("30", -0.5, -0.5, 73), ("31", -0.6, 0.6, 142), ("34", -0.4, 0.7, 78), ("36", -0.8, 0.6, 74), ("58", -0.5, 0.5, 58),
    ("80", 0.8, 0.6, 67), ("138", 0.6, -0.3, 76),
)  # fmt: skip
_LONG = (("N1", -0.5, 0.6, 1440), ("P1", 0.6, 0.5, 1160), ("B1", 0.4, -0.4, 1440), ("U1", -0.5, -0.3, 880))
VIDEOS = tuple(name for name, *_ in (*_SHORT, *_LONG))


def _clip(number: int, valence: float, arousal: float, seconds: int) -> Clip:
    return Clip(number, (valence, arousal, 0.5 * valence), None, seconds)


_CLIPS = tuple(
    _clip(number, valence, arousal, seconds)
    for number, (_, valence, arousal, seconds) in enumerate((*_SHORT, *_LONG), start=1)
)

DESIGN = Design(
    name="amigos",
    people=tuple(range(1, 41)),
    sessions=2,
    clips=_CLIPS[: len(_SHORT)],
    sessions_clips=(_CLIPS[: len(_SHORT)], _CLIPS[len(_SHORT) :]),
    trap_people=(8, 9, 12, 32),
    inside_baseline_s=BASELINE_S,
)

# Who takes no part in the second day, in every release; the others only where irregularities are wanted.
_NO_LONG = (8, 24, 28)
_NO_LONG_RATINGS = (32,)
_ALL_NAN = (12,)
_SOME_NAN = (9, 21, 22, 23, 24, 33)

_CHANNELS = (
    "AF3", "F7", "F3", "FC5", "T7", "P7", "O1", "O2", "P8", "T8", "FC6", "F4", "F8", "AF4",
)  # fmt: skip

PREPROCESSED = Amplifier(
    channels=_CHANNELS,
    rate_hz=128.0,
    reference=(),
    band_hz=(4.0, 45.0),
    noise_uv=1.2,
    line_uv=0.4,
    drift_uv=8.0,
)
ORIGINAL = Amplifier(
    channels=_CHANNELS,
    rate_hz=128.0,
    reference=("M1",),
    band_hz=(0.2, 45.0),
    noise_uv=1.2,
    line_uv=0.4,
    drift_uv=8.0,
    step_uv=8400 / 2**14,  # Emotiv EPOC: 14 bits over 8.4 mV
    offset_uv=8400 / 2,
)
_COLUMNS, _FIRST = 25, 3


def write_preprocessed(folder: Path, plan: Plan, truth: Truth, advance: Advance) -> None:
    """Write ``data_preprocessed/`` into ``folder``."""
    files = folder / "data_preprocessed"
    files.mkdir()
    for subject in plan.people:
        person = draw_person(plan.settings.seed, DESIGN.name, subject)
        order = _places(plan, subject)
        cells = {name: _empty((0, 0)) for name in ("joined_data", "labels_ext_annotation")}
        cells["labels_selfassessment"] = _empty((1, 0))
        for number, session in enumerate(SESSIONS[: plan.sessions], start=1):
            if not _takes_part(subject, session):
                advance()
                continue
            clips = [clip for clip in order if clip in plan.clips_of(number)]
            recorded = record(PREPROCESSED, _blocks(clips), person, number, plan)
            rated = not (plan.traps and session == "long" and subject in _NO_LONG_RATINGS)
            random = stream(plan.settings.seed, DESIGN.name, subject, "body", session)
            left_out = []
            for clip, eeg in zip(clips, recorded.blocks_uv, strict=True):
                place = order.index(clip)
                table, good = _spoil(plan, subject, clip, np.vstack([eeg, _body(random, person, eeg.shape[1])]).T)
                left_out += [] if good else [clip]
                cells["joined_data"][0, place] = table
                cells["labels_ext_annotation"][0, place] = _annotation(random, clip)
                if rated:
                    cells["labels_selfassessment"][0, place] = _ratings(plan, subject, clip)[np.newaxis]
            id = RecordingId(f"{subject:02d}", session)
            if len(left_out) == len(clips):
                truth.refuse(id, "EEG channels hold NaN")
            else:
                _note(truth, id, plan, PREPROCESSED, recorded, clips, order, left_out, rated)
            advance()
        ids = np.array([[VIDEOS[clip.number - 1] for clip in order]], dtype=object)
        # Each person's archive unpacks to a folder of its own; some users flatten them.
        own = files / f"Data_Preprocessed_P{subject:02d}" if plan.traps and subject % 2 == 0 else files
        own.mkdir(exist_ok=True)
        write_mat(own / f"Data_Preprocessed_P{subject:02d}.mat", {"VideoIDs": ids, **cells})


def write_original(folder: Path, plan: Plan, truth: Truth, advance: Advance) -> None:
    """Write ``data_original/`` and ``Metadata/`` into ``folder``."""
    files = folder / "data_original"
    files.mkdir()
    rows: list[list[object]] = []
    presented: dict[str, list[list[object]]] = {session: [] for session in SESSIONS}
    for subject in plan.people:
        person = draw_person(plan.settings.seed, DESIGN.name, subject)
        cells = {name: _empty((0, 0)) for name in ("EEG_DATA", "ECG_DATA", "GSR_DATA")}
        order: list[Clip] = []
        for number, session in enumerate(SESSIONS, start=1):
            own = list(DESIGN.sessions_clips[number - 1] if number > plan.sessions else plan.clips_of(number))
            shuffle = stream(plan.settings.seed, DESIGN.name, subject, "order", session).permutation(len(own))
            order += [own[place] for place in shuffle]
        for number, session in enumerate(SESSIONS[: plan.sessions], start=1):
            if not _takes_part(subject, session):
                advance()
                continue
            clips = [clip for clip in order if clip in plan.clips_of(number)]
            recorded = record(ORIGINAL, _blocks(clips), person, number, plan)
            rated = not (plan.traps and session == "long" and subject in _NO_LONG_RATINGS)
            random = stream(plan.settings.seed, DESIGN.name, subject, "headset", session)
            for shown, (clip, eeg) in enumerate(zip(clips, recorded.blocks_uv, strict=True), start=1):
                place, seconds = order.index(clip), eeg.shape[1] // 128
                cells["EEG_DATA"][0, place] = _headset(random, eeg)
                cells["ECG_DATA"][0, place] = np.round(_heart(random, person.pulse_hz, 256 * seconds, 256.0)).T
                cells["GSR_DATA"][0, place] = _skin(random, 128 * seconds)[:, np.newaxis]
                video = VIDEOS[clip.number - 1]
                presented[session].append([subject, shown, video])
                if rated:
                    rows.append([subject, _cell(video), *map(float, _ratings(plan, subject, clip))])
            _note(truth, RecordingId(f"{subject:02d}", session), plan, ORIGINAL, recorded, clips, order, [], rated)
            advance()
        ids = np.array([[VIDEOS[clip.number - 1] for clip in order]], dtype=object)
        write_mat(files / f"Data_Original_P{subject:02d}.mat", {**cells, "VideoIDs": ids})
    _write_metadata(folder / "Metadata", rows, presented, twice=plan.traps)


def _write_metadata(
    folder: Path, rows: list[list[object]], presented: Mapping[str, list[list[object]]], *, twice: bool
) -> None:
    """SelfAssessment.xlsx, and Experiment_Data.xlsx with the order of presentation.

    ``twice``: the column Video_Number stands there a second time, and what it then holds is another numbering.
    """
    folder.mkdir()
    header: list[object] = ["UserID", "VideoID", *(name.capitalize() for name in RATINGS)]
    if twice:
        header, rows = [*header, "VideoID"], [[*row, place] for place, row in enumerate(rows, start=1)]
    write_xlsx(folder / "SelfAssessment.xlsx", {"SelfAssessment": [header, *rows]})
    sheets = {}
    for session, lines in presented.items():
        names: list[object] = ["UserID", "Video_Number", "VideoID"]
        body = [[user, number, _cell(str(video))] for user, number, video in lines]
        if twice:
            names, body = [*names, "Video_Number"], [[*line, VIDEOS.index(str(line[2])) + 1] for line in body]
        sheets[f"{session.capitalize()}_Videos_Order"] = [names, *body]
    write_xlsx(folder / "Experiment_Data.xlsx", sheets)


def _cell(video: str) -> object:
    """A workbook keeps what looks like a number as one."""
    return int(video) if video.isdecimal() else video


def _places(plan: Plan, subject: int) -> list[Clip]:
    """The clips in the order of the cells of a preprocessed file."""
    sessions = [plan.clips_of(1), plan.clips_of(2) if plan.sessions > 1 else DESIGN.sessions_clips[1]]
    clips = [clip for session in sessions for clip in session]
    if plan.traps and subject % 4 == 0:  # sorted as text: 10, 13, 138, 18 ...; or that backwards: U1, P1 ...
        clips.sort(key=lambda clip: VIDEOS[clip.number - 1], reverse=subject % 8 == 0)
    return clips


def _takes_part(subject: int, session: str) -> bool:
    return session == "short" or subject not in _NO_LONG


def _blocks(clips: Sequence[Clip]) -> list[Block]:
    """Equal in both variants, whatever the order."""
    rate_hz, baseline = 128, 128 * BASELINE_S
    return [Block(baseline + rate_hz * clip.stimulus_s, clip, baseline, key=clip.number) for clip in clips]


def _spoil(plan: Plan, subject: int, clip: Clip, table: np.ndarray) -> tuple[np.ndarray, bool]:
    """The table of one cell (sample, 17) with its irregularities, and whether its EEG can be used."""
    video = VIDEOS[clip.number - 1]
    if not plan.traps:
        return table, True
    if subject in _ALL_NAN and video.isdecimal():
        table[:, : len(_CHANNELS)] = np.nan
        return table, False
    if subject in _SOME_NAN and video in ("13", "P1"):
        table[:, 4] = np.nan
        return table, False
    if subject in _SOME_NAN and video == "31":  # one column is missing, and all behind it have moved
        return np.delete(table, 2, axis=1), False
    if subject in _NO_LONG_RATINGS and video == "20":
        table[:, len(_CHANNELS) + 1] = np.nan
    return table, True


def _note(
    truth: Truth,
    id: RecordingId,
    plan: Plan,
    amplifier: Amplifier,
    recorded: Recorded,
    clips: Sequence[Clip],
    order: Sequence[Clip],
    left_out: Sequence[Clip],
    rated: bool,
) -> None:
    """Note what a right reader gives back: the trials that are not left out, one after the other."""
    kept = [index for index, clip in enumerate(clips) if clip not in left_out]
    shown, artefacts, onset, begin = [], [], 0, 0.0
    for index, (clip, block) in enumerate(zip(clips, recorded.blocks_uv, strict=True)):
        length = block.shape[1]
        end = begin + length / amplifier.rate_hz
        if index in kept:
            ratings = (
                dict(zip(RATINGS, map(float, _ratings(plan, int(id.subject), clip)), strict=True)) if rated else {}
            )
            affect = from_rating(ratings["valence"], ratings["arousal"], SCALE) if rated else UNKNOWN
            baseline = 128 * BASELINE_S
            video = f"{DESIGN.name}/{VIDEOS[clip.number - 1]}"
            number = list(order).index(clip) + 1
            shown.append(
                Shown(clip, onset + baseline, length - baseline, affect, ratings, trial=number, stimulus=video)
            )
            moved = onset / amplifier.rate_hz - begin
            artefacts += [
                type(one)(round(one.onset_s + moved, 4), one.duration_s, one.kind)
                for one in recorded.artefacts
                if begin <= one.onset_s < end
            ]
            onset += length
        begin = end
    truth.add(
        id,
        plan,
        shown,
        rate_hz=amplifier.rate_hz,
        channels=amplifier.channels,
        signal_uv=np.concatenate([recorded.blocks_uv[index] for index in kept], axis=1),
        clean_uv=np.concatenate([recorded.clean_uv[index] for index in kept], axis=1),
        artefacts=artefacts,
        bad_channels=recorded.bad_channels,
    )


def _ratings(plan: Plan, subject: int, clip: Clip) -> np.ndarray:
    """The twelve numbers of a self-assessment: five marks from 1 to 9, and the emotions that were ticked."""
    valence, arousal, approach = felt(plan.settings.seed, DESIGN.name, subject, clip)
    random = stream(plan.settings.seed, DESIGN.name, subject, "ratings", clip.number)
    feelings = (arousal, valence, 0.4 * approach, 0.7 * valence, -0.5)
    marks = [round(rate(random, feeling, SCALE), 2) for feeling in feelings]
    likely = {
        "neutral": 0.4 - abs(valence),
        "disgust": -valence - 0.3,
        "happiness": valence,
        "surprise": 0.3 * arousal,
        "anger": 0.5 * (arousal - valence) - 0.3,
        "fear": 0.6 * (arousal - valence) - 0.2,
        "sadness": -valence - 0.5 * arousal,
    }
    return np.array([*marks, *(float(random.random() < chance) for chance in likely.values())])


def _empty(shape: tuple[int, int]) -> np.ndarray:
    """A row of cells, each with an empty array of its own shape, as the vendor leaves what there is not."""
    row = np.empty((1, len(VIDEOS)), dtype=object)
    for place in range(len(VIDEOS)):
        row[0, place] = np.empty(shape)
    return row


def _annotation(random: np.random.Generator, clip: Clip) -> np.ndarray:
    """What others saw in the face: (clip of 20 s, 3) with its number, valence, arousal, -1 to 1."""
    count = max(1, round(clip.stimulus_s / 20))
    values = np.clip(np.array(clip.latent[:2]) + 0.2 * random.standard_normal((count, 2)), -1, 1)
    return np.column_stack([np.arange(1, count + 1), values])


def _body(random: np.random.Generator, person: Person, samples: int) -> np.ndarray:
    """The three columns behind the EEG, (3, samples): two electrocardiogram leads and skin resistance."""
    return np.vstack([_heart(random, person.pulse_hz, samples, 128.0), _skin(random, samples)])


def _heart(random: np.random.Generator, pulse_hz: float, samples: int, rate_hz: float) -> np.ndarray:
    """Two leads, (2, samples): QRS and T as Gaussians after every beat."""
    time_s = np.arange(samples) / rate_hz
    intervals = 1 / pulse_hz * np.exp(0.05 * random.standard_normal(int(2 * samples / rate_hz * pulse_hz) + 10))
    beats = np.cumsum(intervals)
    last = np.maximum(np.searchsorted(beats, time_s, side="right") - 1, 0)
    since = time_s - beats[last]
    lead = 900 * np.exp(-0.5 * ((since - 0.2) / 0.012) ** 2) + 180 * np.exp(-0.5 * ((since - 0.45) / 0.045) ** 2)
    return np.outer([1.0, 0.7], lead) + 12 * random.standard_normal((2, samples))


def _skin(random: np.random.Generator, samples: int) -> np.ndarray:
    """Skin resistance with slow waves, (samples,)."""
    level, phase, slow_hz = random.uniform(2e5, 9e5), random.uniform(0, 2 * np.pi), random.uniform(0.02, 0.05)
    return level * (1 + 0.03 * np.sin(2 * np.pi * slow_hz * np.arange(samples) / 128 + phase))


def _headset(random: np.random.Generator, eeg: np.ndarray) -> np.ndarray:
    """(sample, 25): what the headset writes. Only the place of the electrodes is known; the others are invented."""
    samples = eeg.shape[1]
    table = np.zeros((samples, _COLUMNS))
    table[:, 0] = np.arange(samples) % 129  # a counter
    table[:, 1] = np.arange(samples) / 128  # seconds
    table[:, 2] = random.integers(0, 4, samples)  # contact quality
    table[:, _FIRST : _FIRST + len(eeg)] = eeg.T
    table[:, _FIRST + len(eeg) :] = np.round(random.normal(1700, 5, (samples, _COLUMNS - _FIRST - len(eeg))))  # motion
    return table

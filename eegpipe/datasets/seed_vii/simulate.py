"""SEED-VII's two forms of the same sessions: cut trials at 200 Hz, and continuous NeuroScan recordings at 1000 Hz.

A trial's block has the same key in both, so it is the same brain. The clips of a session lie where :func:`_timeline`
puts them; their lengths differ a little between people, because they lie between marks that a program sent.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np

from eegpipe.affect import from_word
from eegpipe.progress import Advance
from eegpipe.recording import RecordingId
from eegpipe.simulate.affective import WORDS, felt, rate
from eegpipe.simulate.brain import draw_person
from eegpipe.simulate.containers import write_mat
from eegpipe.simulate.continuous import Placed
from eegpipe.simulate.head import SEED_REFERENCE
from eegpipe.simulate.neuroscan import record_session, write_cnt
from eegpipe.simulate.plan import Clip, Design, Plan
from eegpipe.simulate.record import Amplifier, Block, record
from eegpipe.simulate.streams import stream
from eegpipe.simulate.truth import Shown, Truth

_EMOTIONS = (
    "happy neutral disgust sad anger anger sad disgust neutral happy "
    "happy neutral disgust sad anger anger sad disgust neutral happy",
    "anger sad fear neutral surprise surprise neutral fear sad anger "
    "anger sad fear neutral surprise surprise neutral fear sad anger",
    "happy surprise disgust fear anger anger fear disgust surprise happy "
    "happy surprise disgust fear anger anger fear disgust surprise happy",
    "disgust sad fear surprise happy happy surprise fear sad disgust "
    "disgust sad fear surprise happy happy surprise fear sad disgust",
)
# Only their sum is published (14,097.86 s), and that they last two to five minutes. These are invented.
_SECONDS = (
    "167 144 179 212 128 135 230 197 140 174 205 135 189 156 131 140 185 179 136 163",
    "139 197 179 134 232 201 142 154 208 208 200 133 198 207 177 134 154 130 196 235",
    "143 163 178 149 198 143 202 162 195 229 217 152 135 205 198 207 151 177 139 197",
    "219 139 198 135 208 156 192 217 196 179 227 169 183 200 182 171 163 159 231 150",
)
_GAP_S, _SHORT_GAP_S = 20, 2


def _clips(session: int) -> tuple[Clip, ...]:
    words, seconds = _EMOTIONS[session - 1].split(), _SECONDS[session - 1].split()
    pairs = enumerate(zip(words, map(int, seconds), strict=True), start=20 * (session - 1) + 1)
    return tuple(Clip(number, WORDS[word], word, length) for number, (word, length) in pairs)


DESIGN = Design(
    name="seed_vii",
    people=tuple(range(1, 21)),
    sessions=4,
    clips=_clips(1),
    sessions_clips=tuple(_clips(session) for session in (1, 2, 3, 4)),
    trap_people=(9, 14),
)

_CHANNELS = (
    "Fp1", "Fpz", "Fp2", "AF3", "AF4", "F7", "F5", "F3", "F1", "Fz", "F2", "F4", "F6", "F8", "FT7", "FC5", "FC3",
    "FC1", "FCz", "FC2", "FC4", "FC6", "FT8", "T7", "C5", "C3", "C1", "Cz", "C2", "C4", "C6", "T8", "TP7", "CP5",
    "CP3", "CP1", "CPz", "CP2", "CP4", "CP6", "TP8", "P7", "P5", "P3", "P1", "Pz", "P2", "P4", "P6", "P8", "PO7",
    "PO5", "PO3", "POz", "PO4", "PO6", "PO8", "CB1", "O1", "Oz", "O2", "CB2",
)  # fmt: skip
# The order of the 67 channels is not published; this one is invented. CB2 stands last of the scalp in SEED's files too.
_FILE_ORDER = (
    *(name.upper() for name in _CHANNELS[:32]), "M1", *(name.upper() for name in _CHANNELS[32:41]), "M2",
    *(name.upper() for name in _CHANNELS[41:]), "ECG", "HEO", "VEO",
)  # fmt: skip

RAW_AMPLIFIER = Amplifier(
    channels=_CHANNELS,
    rate_hz=200.0,
    reference=(SEED_REFERENCE,),
    band_hz=(0.0, 95.0),
    noise_uv=0.8,
    line_uv=1.5,
    drift_uv=8.0,
    bad_channels=1.0,
)
# The vendor interpolated the bad channels, took out the hum and band-passed.
AMPLIFIER = replace(RAW_AMPLIFIER, band_hz=(0.1, 70.0), line_uv=0.0, bad_channels=0.0, step_uv=1e6 / 2**25)

# First days of the people of whom a file's date is known; sessions are a week apart.
_FIRST_DAY = {9: date(2022, 10, 28), 14: date(2022, 10, 15), 15: date(2022, 9, 11)}
# The recordings whose marks are unusable, with their published time of day; other times are invented.
_UNUSABLE = {(14, 1): (14, 25, 34), (9, 3): (14, 1, 27)}
# (person, session) with traps: a stray mark, a header without a count, an event table whose place overflowed.
_STRAY, _NO_COUNT, _OVERFLOW = (14, 2), (9, 2), (9, 1)


def _day(subject: int, session: int) -> date:
    return _FIRST_DAY.get(subject, date(2022, 8, 1) + timedelta(days=3 * subject)) + timedelta(weeks=session - 1)


def _began(subject: int, session: int) -> datetime:
    hours, minutes, seconds = _UNUSABLE.get((subject, session), (13, (7 * subject + session) % 60, 41))
    day = _day(subject, session)
    return datetime(day.year, day.month, day.day, hours, minutes, seconds)


def _stem(subject: int, session: int) -> str:
    return f"{subject}_{_day(subject, session):%Y%m%d}_{session}"


@dataclass(frozen=True)
class _Timeline:
    """Where the clips of a recording lie. ``marks``: begin and end of each in milliseconds, which are samples of the
    raw file; ``at`` and ``samples``: first sample and length of each at 200 Hz; ``seconds``: of the whole recording.
    """

    marks: list[tuple[int, int]]
    at: list[int]
    samples: list[int]
    seconds: int


def _timeline(plan: Plan, subject: int, session: int) -> _Timeline:
    """Clips last up to 1.4 s longer or 0.4 s shorter than meant; a mark lies up to 2 ms behind a sample at 200 Hz."""
    random = stream(plan.settings.seed, DESIGN.name, subject, session, "marks")
    gap_s = _GAP_S if plan.settings.trial_s is None else _SHORT_GAP_S
    marks, starts, samples, at = [], [], [], 200 * gap_s
    for clip in plan.clips_of(session):
        length = 200 * clip.stimulus_s + int(random.integers(-80, 281))
        early, late = random.integers(0, 3, 2)
        marks.append((5 * at + int(early), 5 * (at + length) + int(late)))
        starts.append(at)
        samples.append(length)
        at += length + 200 * gap_s + int(random.integers(0, 200))
    return _Timeline(marks, starts, samples, at // 200 + 1)


def write_preprocessed(folder: Path, plan: Plan, truth: Truth, advance: Advance) -> None:
    """Write ``EEG_preprocessed`` and ``save_info``.

    With traps the variables stand in the order of their names as text, and ``continuous_labels`` is there, whose files
    have the same names and the same variables.
    """
    files = folder / "EEG_preprocessed"
    files.mkdir()
    for subject in plan.people:
        person = draw_person(plan.settings.seed, DESIGN.name, subject)
        arrays: dict[str, np.ndarray] = {}
        for session in range(1, plan.sessions + 1):
            clips, times = plan.clips_of(session), _timeline(plan, subject, session)
            blocks = [Block(n, clip, key=clip.number) for clip, n in zip(clips, times.samples, strict=True)]
            recorded = record(AMPLIFIER, blocks, person, session, plan)
            whole = [n // 200 * 200 for n in times.samples]
            cut_uv = [array[:, :n] for array, n in zip(recorded.blocks_uv, whole, strict=True)]
            arrays |= {str(clip.number): array for clip, array in zip(clips, cut_uv, strict=True)}
            scores = _write_tables(folder, plan, subject, session, times)
            onsets = np.cumsum([0, *whole[:-1]])
            truth.add(
                RecordingId(f"{subject:02d}", str(session)),
                plan,
                [
                    Shown(clip, int(onset), n, from_word(str(clip.label)), {"score": score})
                    for clip, onset, n, score in zip(clips, onsets, whole, scores, strict=True)
                ],
                rate_hz=AMPLIFIER.rate_hz,
                channels=AMPLIFIER.channels,
                signal_uv=np.concatenate(cut_uv, axis=1),
                clean_uv=np.concatenate(
                    [array[:, :n] for array, n in zip(recorded.clean_uv, whole, strict=True)], axis=1
                ),
                artefacts=_moved(recorded.artefacts, times.samples, whole),
            )
            advance()
        write_mat(files / f"{subject}.mat", dict(sorted(arrays.items())) if plan.traps else arrays)
        if plan.traps:
            (folder / "continuous_labels").mkdir(exist_ok=True)
            random = stream(plan.settings.seed, DESIGN.name, subject, "continuous labels")
            labels = {name: random.random((1, array.shape[1] // 800)) for name, array in arrays.items()}
            write_mat(folder / "continuous_labels" / f"{subject}.mat", labels)


def _moved(artefacts: list, recorded: list[int], kept: list[int]) -> list:
    """Artefacts by their place after the blocks were cut to whole seconds; those behind the cut are gone."""
    before, after = np.cumsum([0, *recorded]) / 200, np.cumsum([0, *kept]) / 200
    moved = []
    for one in artefacts:
        block = int(np.searchsorted(before, one.onset_s, side="right")) - 1
        inside = one.onset_s - before[block]
        if block < len(kept) and inside < kept[block] / 200:
            moved.append(replace(one, onset_s=round(float(after[block] + inside), 4)))
    return moved


def write_raw(folder: Path, plan: Plan, truth: Truth, advance: Advance) -> None:
    """Write ``EEG_raw`` and ``save_info``.

    With traps: unusable marks in two files, a stray mark, a header without a count of samples, one with an overflowed
    place of the event table, one with the (invented) name of a person.
    """
    files = folder / "EEG_raw"
    files.mkdir()
    for subject in plan.people:
        person = draw_person(plan.settings.seed, DESIGN.name, subject)
        for session in range(1, plan.sessions + 1):
            clips, times = plan.clips_of(session), _timeline(plan, subject, session)
            placed = [
                Placed(Block(n, clip, key=clip.number), at)
                for clip, n, at in zip(clips, times.samples, times.at, strict=True)
            ]
            recorded = record_session(RAW_AMPLIFIER, _FILE_ORDER, placed, times.seconds, person, session, plan)
            began, trap = _began(subject, session), (subject, session) if plan.traps else None
            write_cnt(
                files / f"{_stem(subject, session)}.cnt",
                _FILE_ORDER,
                1000,
                recorded.counts,
                calibration=recorded.calibration,
                events=_events(plan, times, subject, session),
                event_type=3 if session % 2 else 1,  # which one the files have is not known
                header_count=0 if trap == _NO_COUNT else "right",
                event_position="overflow" if trap == _OVERFLOW else "right",
                person_fields={"name": "Jane Doe", "sex": "F"} if trap == _STRAY else None,
                started=(f"{began:%d/%m/%y}", f"{began:%H:%M:%S}"),
            )
            scores = _write_tables(folder, plan, subject, session, times)
            truth.add(
                RecordingId(f"{subject:02d}", str(session)),
                plan,
                [
                    Shown(clip, start, stop - start, from_word(str(clip.label)), {"score": score})
                    for clip, (start, stop), score in zip(clips, times.marks, scores, strict=True)
                ],
                rate_hz=recorded.scalp.rate_hz,
                channels=RAW_AMPLIFIER.channels,
                signal_uv=recorded.scalp.signal_uv,
                clean_uv=recorded.scalp.clean_uv,
                artefacts=recorded.scalp.artefacts,
                bad_channels=recorded.scalp.bad_channels,
            )
            advance()


def _events(plan: Plan, times: _Timeline, subject: int, session: int) -> list[tuple[int, int]]:
    """The marks of the file: (sample, code), 1 at the beginning and 2 at the end of each clip."""
    events = [(at, code) for pair in times.marks for at, code in zip(pair, (1, 2), strict=True)]
    if plan.traps and (subject, session) in _UNUSABLE:
        # Some are missing, and the others come late.
        events = [(at + 700 + 13 * number, code) for number, (at, code) in enumerate(events[:-4]) if number % 7 != 3]
    if plan.traps and (subject, session) == _STRAY:
        begin, end = times.marks[4]
        events = sorted([*events, ((begin + end) // 2, 1)])
    return events


def _write_tables(folder: Path, plan: Plan, subject: int, session: int, times: _Timeline) -> list[float]:
    """Write both tables of ``save_info``; gives back the scores as they stand there."""
    inside, stem = folder / "save_info", _stem(subject, session)
    inside.mkdir(exist_ok=True)
    random = stream(plan.settings.seed, DESIGN.name, subject, session, "save info")
    shown, scores = [], []
    for place, clip in enumerate(plan.clips_of(session), start=1):
        feeling = felt(plan.settings.seed, DESIGN.name, subject, clip)
        meant = np.array(clip.latent)
        strength = float(feeling @ meant / (meant @ meant)) - 0.4  # 1: as strong as the clip is on average
        scores.append(float(f"{rate(random, strength, (0.0, 1.0)):.2f}"))
        shown.append(f"movie\\\N{CJK UNIFIED IDEOGRAPH-7247}\\{session}\\{clip.label}\\{place}.mp4,{scores[-1]}")
    # The vendor's encoding is not known: a reader must bear both.
    encoding = "gbk" if plan.traps else "utf-8"
    (inside / f"{stem}_save_info.csv").write_text("\n".join([*shown, ""]), encoding=encoding, newline="\r\n")

    exact = plan.traps and (subject, session) in _UNUSABLE
    # The clock of the program that showed the clips is not the amplifier's, except where it is all there is.
    ahead_ms = 0.0 if exact else float(random.uniform(-900, 900))
    began, lines = _began(subject, session), []
    for pair in times.marks:
        for at, code in zip(pair, (1, 2), strict=True):
            late_ms = 0.0 if exact else float(random.uniform(0, 40))
            moment = began + timedelta(microseconds=round(1000 * (at + ahead_ms + late_ms)))
            lines.append(f"{code},{moment:%Y-%m-%d %H:%M:%S.%f}")
    (inside / f"{stem}_trigger_info.csv").write_text("\n".join([*lines, ""]), encoding="ascii", newline="\r\n")
    return scores

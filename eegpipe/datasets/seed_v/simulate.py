"""SEED-V's ``EEG_raw``, simulated: one NeuroScan file per person and session, 66 channels, 1000 Hz."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from eegpipe.affect import from_word
from eegpipe.progress import Advance
from eegpipe.recording import RecordingId
from eegpipe.simulate.affective import WORDS
from eegpipe.simulate.brain import draw_person
from eegpipe.simulate.continuous import Placed
from eegpipe.simulate.head import SEED_REFERENCE
from eegpipe.simulate.neuroscan import RawSession, record_session, schedule, write_cnt
from eegpipe.simulate.plan import Clip, Design, Plan
from eegpipe.simulate.record import Amplifier, Block
from eegpipe.simulate.truth import Shown, Truth

_STARTS_S = (
    (30, 132, 287, 555, 773, 982, 1271, 1628, 1730, 2025, 2227, 2435, 2667, 2932, 3204),
    (30, 299, 548, 646, 836, 1000, 1091, 1392, 1657, 1809, 1966, 2186, 2333, 2490, 2741),
    (30, 353, 478, 674, 825, 908, 1200, 1346, 1451, 1711, 2055, 2307, 2457, 2726, 2888),
)
_STOPS_S = (
    (102, 228, 524, 742, 920, 1240, 1568, 1697, 1994, 2166, 2401, 2607, 2901, 3172, 3359),
    (267, 488, 614, 773, 967, 1059, 1331, 1622, 1777, 1908, 2153, 2302, 2428, 2709, 2817),
    (321, 418, 643, 764, 877, 1147, 1284, 1418, 1679, 1996, 2275, 2425, 2664, 2857, 3066),
)
_ORDERS = (
    "happy fear neutral sad disgust happy fear neutral sad disgust happy fear neutral sad disgust",
    "sad fear neutral disgust happy happy disgust neutral sad fear neutral happy fear sad disgust",
    "sad fear neutral disgust happy happy disgust neutral sad fear neutral happy fear sad disgust",
)
_PLACES = {"happy": "joy", "sad": "sadness"}


def _clips(session: int) -> tuple[Clip, ...]:
    rows = zip(_ORDERS[session - 1].split(), _STARTS_S[session - 1], _STOPS_S[session - 1], strict=True)
    return tuple(
        Clip(15 * (session - 1) + trial, WORDS[_PLACES.get(word, word)], word, stop - start)
        for trial, (word, start, stop) in enumerate(rows, start=1)
    )


DESIGN = Design(
    name="seed_v",
    people=tuple(range(1, 17)),
    sessions=3,
    clips=_clips(1),
    sessions_clips=(_clips(1), _clips(2), _clips(3)),
    # 7 has the broken file; 10 sorts before 2 as text; 11 saw the second set of clips before the first.
    trap_people=(2, 7, 10, 11),
)

_SCALP = (
    "Fp1 Fpz Fp2 AF3 AF4 F7 F5 F3 F1 Fz F2 F4 F6 F8 FT7 FC5 FC3 FC1 FCz FC2 FC4 FC6 FT8 T7 C5 C3 C1 Cz C2 C4 C6 T8 "
    "TP7 CP5 CP3 CP1 CPz CP2 CP4 CP6 TP8 P7 P5 P3 P1 Pz P2 P4 P6 P8 PO7 PO5 PO3 POz PO4 PO6 PO8 CB1 O1 Oz O2 CB2"
)
AMPLIFIER = Amplifier(
    channels=tuple(_SCALP.split()),
    rate_hz=200.0,
    reference=(SEED_REFERENCE,),
    band_hz=(0.0, 90.0),
    noise_uv=0.8,
    line_uv=1.5,
    drift_uv=8.0,
    bad_channels=1.0,
)
_NAMES = _SCALP.upper().split()
_CHANNELS = (*_NAMES[:32], "M1", *_NAMES[32:41], "M2", *_NAMES[41:], "VEO", "HEO")

# Days of the three sets of clips. The sets are not in the order of the days.
_DAYS = (
    ("20180804", "20180810", "20180808"),
    ("20180416", "20180419", "20180425"),
    ("20180414", "20180419", "20180424"),
    ("20180414", "20180417", "20180501"),
    ("20180719", "20180728", "20180723"),
    ("20180713", "20180731", "20180802"),
    ("20180411", "20180418", "20180422"),
    ("20180717", "20180802", "20180726"),
    ("20180724", "20180804", "20180728"),
    ("20180507", "20180524", "20180626"),
    ("20180510", "20180508", "20180522"),
    ("20180515", "20180508", "20180517"),
    ("20180720", "20180806", "20180725"),
    ("20180420", "20180423", "20180427"),
    ("20180724", "20180807", "20180730"),
    ("20180805", "20180815", "20180813"),
)
_BROKEN = (7, 1)  # subject, session: a file with a wrong head, and a repaired copy beside it

# Other heads of oversized recordings, by subject; the first one also carries fields about a person (invented).
_INVENTED = {"id": "S00", "name": "Test Person", "sex": "M", "hand": "R", "session": "one"}
_WRONG_HEADS: dict[int, dict[str, Any]] = {
    2: {"header_count": 0, "person_fields": _INVENTED},
    10: {"header_count": 2**32 - 732, "event_position": "overflow"},
    11: {"event_type": 3},
}


def write(folder: Path, plan: Plan, truth: Truth, advance: Advance) -> dict[str, object]:
    """Write ``EEG_raw/`` and the list of times into ``folder``; with traps as they lie in the whole package."""
    package = folder / "SEED-V" if plan.traps else folder
    files = package / "EEG_raw"
    files.mkdir(parents=True)
    sessions = range(1, plan.sessions + 1)
    times = [schedule(plan.clips_of(one), _STARTS_S[one - 1], _STOPS_S[one - 1]) for one in sessions]
    _write_times(package / "trial_start_end_timestamp.txt", plan, [starts for starts, _ in times])
    if plan.traps:
        (files / "preprocess.ipynb").write_text('{"cells": []}\n', encoding="utf-8")
        (package / "EEG_DE_features").mkdir()
    for subject in plan.people:
        if plan.traps:
            _write_features(package / "EEG_DE_features" / f"{subject}_123.npz", plan)
        person = draw_person(plan.settings.seed, DESIGN.name, subject)
        for session, (starts, seconds) in zip(sessions, times, strict=True):
            clips = plan.clips_of(session)
            placed = [
                Placed(Block(200 * clip.stimulus_s + 1, clip, key=place), 200 * start)
                for place, (clip, start) in enumerate(zip(clips, starts, strict=True))
            ]
            made = record_session(AMPLIFIER, _CHANNELS, placed, seconds, person, session, plan)
            marks = [(1000 * start, 1) for start in starts]
            marks += [(1000 * (start + clip.stimulus_s), 2) for clip, start in zip(clips, starts, strict=True)]
            _write_files(files, subject, session, made, sorted(marks), traps=plan.traps)
            shown = [
                Shown(clip, 1000 * start, 1000 * clip.stimulus_s, from_word(str(clip.label)))
                for clip, start in zip(clips, starts, strict=True)
            ]
            truth.add(
                RecordingId(f"{subject:02d}", str(session)),
                plan,
                shown,
                rate_hz=made.scalp.rate_hz,
                channels=AMPLIFIER.channels,
                signal_uv=made.scalp.signal_uv,
                clean_uv=made.scalp.clean_uv,
                artefacts=made.scalp.artefacts,
                bad_channels=made.scalp.bad_channels,
            )
            advance()
    return {"sessions_start_s": [list(map(float, starts)) for starts, _ in times]}


def _write_files(
    folder: Path, subject: int, session: int, made: RawSession, marks: list[tuple[int, int]], *, traps: bool
) -> None:
    """The file of a session; of the broken one also its repaired copy."""
    stem = f"{subject}_{session}_{_DAYS[subject - 1][session - 1]}"
    heads: dict[str, dict[str, Any]] = {stem: _WRONG_HEADS.get(subject, {}) if traps else {}}
    if traps and (subject, session) == _BROKEN:
        heads = {stem: {"header_count": 7_654_321}, f"{stem}_repaired": {}}
    for name, head in heads.items():
        path = folder / f"{name}.cnt"
        write_cnt(path, _CHANNELS, 1000, made.counts, calibration=made.calibration, events=marks, behind=True, **head)


def _write_times(path: Path, plan: Plan, starts_s: list[list[int]]) -> None:
    lines = []
    for session, starts in enumerate(starts_s, start=1):
        stops = [start + clip.stimulus_s for start, clip in zip(starts, plan.clips_of(session), strict=True)]
        lines += [f"Session {session}:", f"start_second: {starts}", f"end_second: {stops}", ""]
    path.write_text("\n".join(lines), encoding="utf-8", newline="\n")


def _write_features(path: Path, plan: Plan) -> None:
    """Differential entropy of a person: two pickled dicts with a key for each trial, in an npz file."""
    clips = [clip for session in range(1, plan.sessions + 1) for clip in plan.clips_of(session)]
    windows = [clip.stimulus_s // 4 for clip in clips]
    data = {key: np.zeros((count, 310)) for key, count in enumerate(windows)}
    codes = ("disgust", "fear", "sad", "neutral", "happy")
    label = {
        key: np.full(count, float(codes.index(str(clip.label))))
        for key, (clip, count) in enumerate(zip(clips, windows, strict=True))
    }
    content = io.BytesIO()
    np.savez(content, data=np.array(pickle.dumps(data)), label=np.array(pickle.dumps(label)))
    path.write_bytes(content.getvalue())

"""SEED's ``SEED_RAW_EEG``, simulated: the sessions of ``Preprocessed_EEG`` before the vendor cut and filtered them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from eegpipe.affect import from_word
from eegpipe.datasets.seed.simulate import AMPLIFIER, DESIGN
from eegpipe.progress import Advance
from eegpipe.recording import RecordingId
from eegpipe.simulate.brain import draw_person
from eegpipe.simulate.continuous import Placed
from eegpipe.simulate.neuroscan import record_session, schedule, write_cnt
from eegpipe.simulate.plan import Plan
from eegpipe.simulate.record import Block
from eegpipe.simulate.truth import Shown, Truth

_STARTS_S = (27, 290, 551, 784, 1050, 1262, 1484, 1748, 1993, 2287, 2551, 2812, 3072, 3335, 3599)
_STOPS_S = (262, 523, 757, 1022, 1235, 1457, 1721, 1964, 2258, 2524, 2786, 3045, 3307, 3573, 3805)

_SCALP = [name.upper() for name in AMPLIFIER.channels]
_CHANNELS = (*_SCALP[:32], "M1", *_SCALP[32:41], "M2", *_SCALP[41:], "VEO", "HEO")
_RAW_AMPLIFIER = replace(AMPLIFIER, band_hz=(0.0, 90.0), step_uv=0.0)

# Heads of oversized or damaged recordings, by subject; the first one also carries fields about a person (invented).
_INVENTED = {"id": "S00", "name": "Test Person", "sex": "F", "hand": "R", "session": "one"}
_WRONG_HEADS: dict[int, dict[str, Any]] = {
    1: {"header_count": 0, "person_fields": _INVENTED},
    2: {"header_count": 1_234_567},
    10: {"header_count": 0, "event_position": "overflow"},
    11: {"event_type": 3},
}


def write(folder: Path, plan: Plan, truth: Truth, advance: Advance) -> dict[str, object]:
    """Write ``SEED_RAW_EEG/`` into ``folder``."""
    files = folder / "SEED_EEG" / "SEED_RAW_EEG" if plan.traps else folder / "SEED_RAW_EEG"
    files.mkdir(parents=True)
    starts_s, seconds = schedule(plan.clips, _STARTS_S, _STOPS_S)
    stops_s = [start + clip.stimulus_s for start, clip in zip(starts_s, plan.clips, strict=True)]
    lists = {"start_point_list": starts_s, "end_point_list": stops_s}
    text = "\n".join(f"{name}=[{','.join(str(1000 * time) for time in times)}]" for name, times in lists.items())
    (files / "time.txt").write_text(text + "\n", encoding="utf-8", newline="\n")
    rate = round(AMPLIFIER.rate_hz)
    # The same keys and lengths as in Preprocessed_EEG, so that the same is recorded.
    placed = [
        Placed(Block(rate * clip.stimulus_s + 1, clip, key=place), rate * start)
        for place, (clip, start) in enumerate(zip(plan.clips, starts_s, strict=True))
    ]
    for subject in plan.people:
        person = draw_person(plan.settings.seed, DESIGN.name, subject)
        for session in range(1, plan.sessions + 1):
            made = record_session(_RAW_AMPLIFIER, _CHANNELS, placed, seconds, person, session, plan)
            marks = [(1000 * time, code) for code, times in ((1, starts_s), (2, stops_s)) for time in times]
            write_cnt(
                files / f"{subject}_{session}.cnt",
                _CHANNELS,
                1000,
                made.counts,
                calibration=made.calibration,
                events=sorted(marks),
                behind=True,
                **(_WRONG_HEADS.get(subject, {}) if plan.traps else {}),
            )
            shown = [
                Shown(clip, 1000 * start, 1000 * clip.stimulus_s, from_word(str(clip.label)))
                for clip, start in zip(plan.clips, starts_s, strict=True)
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
    return {"sessions_start_s": [list(map(float, starts_s))] * plan.sessions}

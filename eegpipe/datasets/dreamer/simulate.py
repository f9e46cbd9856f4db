"""DREAMER's one file, ``DREAMER.mat``: cells in structs in cells, 14 Emotiv channels at 128 Hz, ECG at 256 Hz.

Signals are time x channel, unprocessed, around the level of Emotiv's unsigned converter. Every clip comes with 61 s of
baseline of its own (less where the clips are shortened). What is irregular about the file (R1 to R4 in
docs/formats/dreamer.md) is its form, and stands in every simulated file.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from eegpipe.affect import from_rating
from eegpipe.progress import Advance
from eegpipe.recording import RecordingId
from eegpipe.simulate import SimulateSettings
from eegpipe.simulate.affective import felt, rate
from eegpipe.simulate.brain import Person, draw_person
from eegpipe.simulate.containers import smallest_integers, write_mat
from eegpipe.simulate.plan import Clip, Design, Plan
from eegpipe.simulate.record import Amplifier, Block, Recorded, record
from eegpipe.simulate.streams import stream
from eegpipe.simulate.truth import Shown, Truth

BASELINE_S = 61
SCALE = (1.0, 5.0)
ECG_HZ = 256
RATINGS = ("valence", "arousal", "dominance")

# Target emotion, mean valence and arousal (1-5) of the study, and a length in seconds. The lengths are not published
# clip by clip: these lie between the shortest (65) and the longest (393) and have their mean (199).
_CLIPS = (
    ("calmness", 3.17, 2.26, 199), ("surprise", 3.04, 3.00, 65), ("amusement", 4.57, 3.83, 230),
    ("fear", 2.04, 4.26, 146), ("excitement", 3.22, 3.70, 160), ("disgust", 2.70, 3.83, 102),
    ("happiness", 4.52, 3.17, 175), ("anger", 1.35, 3.96, 270), ("sadness", 1.39, 3.00, 393),
    ("disgust", 2.17, 3.30, 120), ("calmness", 3.96, 1.96, 210), ("amusement", 3.96, 2.61, 185),
    ("happiness", 4.39, 3.70, 240), ("anger", 2.35, 2.22, 198), ("fear", 2.48, 3.09, 225),
    ("excitement", 3.65, 3.35, 140), ("sadness", 1.52, 3.00, 304), ("surprise", 2.65, 3.91, 220),
)  # fmt: skip
# Approach where valence and arousal do not tell it: anger goes towards, fear and disgust go away.
_APPROACH = {"anger": 0.5, "fear": -0.7, "disgust": -0.6, "excitement": 0.6}


def _clip(number: int, label: str, valence: float, arousal: float, seconds: int) -> Clip:
    pleasant, excited = (valence - 3) / 2, (arousal - 3) / 2
    return Clip(number, (pleasant, excited, _APPROACH.get(label, 0.5 * pleasant)), label, seconds)


DESIGN = Design(
    name="dreamer",
    people=tuple(range(1, 24)),
    sessions=1,
    clips=tuple(_clip(number, *facts) for number, facts in enumerate(_CLIPS, start=1)),
)

_CHANNELS = (
    "AF3", "F7", "F3", "FC5", "T7", "P7", "O1", "O2", "P8", "T8", "FC6", "F4", "F8", "AF4",
)  # fmt: skip

AMPLIFIER = Amplifier(
    channels=_CHANNELS,
    rate_hz=128.0,
    reference=("M1",),
    band_hz=(0.2, 45.0),
    noise_uv=1.2,
    line_uv=0.4,
    drift_uv=8.0,
    bad_channels=0.3,
    step_uv=8400 / 2**14,  # Emotiv EPOC: 14 bits over 8.4 mV
    offset_uv=8400 / 2,
)


def baseline_s(settings: SimulateSettings) -> int:
    """Seconds of each baseline: where clips shrink, it is no longer than their mean."""
    return BASELINE_S if settings.trial_s is None else min(BASELINE_S, round(settings.trial_s))


def write(folder: Path, plan: Plan, truth: Truth, advance: Advance) -> None:
    """Write ``DREAMER.mat`` into ``folder``."""
    rate_hz = round(AMPLIFIER.rate_hz)
    baseline = baseline_s(plan.settings) * rate_hz
    seed = plan.settings.seed
    blocks = []
    for clip in plan.clips:
        blocks += [Block(baseline, None), Block(clip.stimulus_s * rate_hz, clip)]
    data = np.empty((1, len(plan.people)), dtype=object)
    for place, subject in enumerate(plan.people):
        person = draw_person(seed, DESIGN.name, subject)
        recorded = record(AMPLIFIER, blocks, person, 1, plan)
        scores = np.array([_scores(seed, subject, clip) for clip in plan.clips], dtype=np.uint8)
        data[0, place] = _person_struct(plan, subject, person, recorded, scores)

        shown, onset = [], 0
        for clip, row in zip(plan.clips, scores, strict=True):
            ratings = dict(zip(RATINGS, map(float, row), strict=True))
            affect = from_rating(ratings["valence"], ratings["arousal"], SCALE)
            onset += baseline
            shown.append(Shown(clip, onset, clip.stimulus_s * rate_hz, affect, ratings))
            onset += clip.stimulus_s * rate_hz
        truth.add_recorded(RecordingId(f"{subject:02d}"), plan, AMPLIFIER, recorded, shown)
        advance()
    electrodes = np.array([list(AMPLIFIER.channels)], dtype=object)
    content = {
        "Data": data,
        "EEG_SamplingRate": smallest_integers([[rate_hz]]),
        "ECG_SamplingRate": smallest_integers([[ECG_HZ]]),
        "EEG_Electrodes": electrodes,
        "noOfSubjects": smallest_integers([[len(plan.people)]]),
        "noOfVideoSequences": smallest_integers([[len(plan.clips)]]),
        "Disclaimer": "Simulated.",
        "Provider": "eegpipe",
        "Version": "1.0",
        "Acknowledgement": "Simulated.",
    }
    write_mat(folder / "DREAMER.mat", {"DREAMER": content})


def _person_struct(
    plan: Plan, subject: int, person: Person, recorded: Recorded, scores: np.ndarray
) -> dict[str, object]:
    """Age, Gender, EEG, ECG, ScoreValence, ScoreArousal, ScoreDominance: the fields of one cell of ``Data``."""
    random = stream(plan.settings.seed, DESIGN.name, subject, "person struct")
    eeg = [array.T for array in recorded.blocks_uv]
    ecg = [_heart(random, person.pulse_hz, len(array) / AMPLIFIER.rate_hz) for array in eeg]
    age = int(random.integers(22, 34))
    return {
        # Whether the vendor stores a number or a text is not known, so irregular trees hold both.
        "Age": str(age) if plan.traps and subject % 2 == 0 else smallest_integers([[age]]),
        "Gender": str(random.choice(["male", "female"])),
        "EEG": {"baseline": _cells(eeg[0::2]), "stimuli": _cells(eeg[1::2])},
        "ECG": {"baseline": _cells(ecg[0::2]), "stimuli": _cells(ecg[1::2])},
        "ScoreValence": scores[:, 0:1],
        "ScoreArousal": scores[:, 1:2],
        "ScoreDominance": scores[:, 2:3],
    }


def _cells(arrays: list[np.ndarray]) -> np.ndarray:
    """A cell array (n, 1)."""
    cells = np.empty((len(arrays), 1), dtype=object)
    for row, array in enumerate(arrays):
        cells[row, 0] = array
    return cells


def _scores(seed: int, subject: int, clip: Clip) -> list[int]:
    """Valence, arousal, dominance as whole numbers from 1 to 5."""
    valence, arousal, approach = felt(seed, DESIGN.name, subject, clip)
    random = stream(seed, DESIGN.name, subject, "ratings", clip.number)
    return [round(rate(random, feeling, SCALE)) for feeling in (valence, arousal, 0.4 * approach)]


def _heart(random: np.random.Generator, pulse_hz: float, length_s: float) -> np.ndarray:
    """Two ECG leads in converter counts, (sample, 2): P, QRS and T as Gaussians after every beat."""
    time_s = np.arange(round(length_s * ECG_HZ)) / ECG_HZ
    intervals = 1 / pulse_hz * np.exp(0.05 * random.standard_normal(int(2 * length_s * pulse_hz) + 10))
    beats = np.cumsum(intervals) - intervals[0] * random.random()
    last = np.searchsorted(beats, time_s, side="right") - 1
    since = time_s - np.where(last >= 0, beats[np.maximum(last, 0)], beats[0] - intervals[0])
    waves = ((0.10, 0.025, 12), (0.20, 0.010, -20), (0.225, 0.012, 180), (0.25, 0.010, -35), (0.45, 0.045, 35))
    lead = sum(height * np.exp(-0.5 * ((since - at) / width) ** 2) for at, width, height in waves)
    leads = 2048 + np.outer(lead, [1.0, 0.7]) + 3 * random.standard_normal((len(time_s), 2))
    return np.round(leads)

"""DEAP's ``data_preprocessed_python``: one Python 2 pickle per person, 128 Hz, 4-45 Hz, 40 trials of 40 channels.

Every trial holds 3 s of baseline before the clip. Eye artefacts were removed from the 32 EEG channels, the average is
their reference; the 8 other channels were only resampled.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from eegpipe.affect import from_rating
from eegpipe.progress import Advance
from eegpipe.recording import RecordingId
from eegpipe.simulate.affective import felt, rate
from eegpipe.simulate.artefacts import Body
from eegpipe.simulate.brain import Person, draw_person
from eegpipe.simulate.containers import write_python2_pickle
from eegpipe.simulate.plan import Clip, Design, Plan
from eegpipe.simulate.record import Amplifier, Block, record
from eegpipe.simulate.streams import coloured_noise, frequencies, stream
from eegpipe.simulate.truth import Shown, Truth

BASELINE_S = 3
RATINGS = ("valence", "arousal", "dominance", "liking")
SCALE = (1.0, 9.0)
_N_CLIPS = 40


def _clip(number: int) -> Clip:
    """Ten clips for each quadrant. The norms are not published with the signal: the places are an assumption."""
    pleasant = 1.0 if number <= 20 else -1.0
    excited = 1.0 if number <= 10 or number > 30 else -1.0
    spread = stream(0, "deap", "norms", number).normal(0, 0.15, 2)
    valence, arousal = 0.6 * pleasant + spread[0], 0.55 * excited + spread[1]
    return Clip(number, (float(valence), float(arousal), 0.5 * float(valence)), None, 60)


DESIGN = Design(
    name="deap",
    people=tuple(range(1, 33)),
    sessions=1,
    clips=tuple(_clip(number) for number in range(1, _N_CLIPS + 1)),
    inside_baseline_s=BASELINE_S,
)

_CHANNELS = (
    "Fp1", "AF3", "F3", "F7", "FC5", "FC1", "C3", "T7", "CP5", "CP1", "P3", "P7", "PO3", "O1", "Oz", "Pz", "Fp2",
    "AF4", "Fz", "F4", "F8", "FC6", "FC2", "Cz", "C4", "T8", "CP6", "CP2", "P4", "P8", "PO4", "O2",
)  # fmt: skip

AMPLIFIER = Amplifier(
    channels=_CHANNELS,
    rate_hz=128.0,
    reference=(),
    band_hz=(4.0, 45.0),
    noise_uv=0.8,
    line_uv=0.6,
    drift_uv=5.0,
    eye_left=0.08,
)


def write(folder: Path, plan: Plan, truth: Truth, advance: Advance) -> None:
    """Write ``data_preprocessed_python/`` into ``folder``."""
    files = folder / "data_preprocessed_python"
    files.mkdir()
    rate_hz = round(AMPLIFIER.rate_hz)
    baseline = BASELINE_S * rate_hz
    blocks = [Block(baseline + rate_hz * clip.stimulus_s, clip, baseline) for clip in plan.clips]
    seed = plan.settings.seed
    for subject in plan.people:
        person = draw_person(seed, DESIGN.name, subject)
        recorded = record(AMPLIFIER, blocks, person, 1, plan)
        labels = np.stack([_ratings(seed, subject, clip) for clip in plan.clips])
        periphery = _Periphery(person, stream(seed, DESIGN.name, subject, "body"), rate_hz)
        data = np.stack(
            [
                np.concatenate([eeg, periphery.channels(body)])
                for eeg, body in zip(recorded.blocks_uv, recorded.bodies, strict=True)
            ]
        )
        write_python2_pickle(files / f"s{subject:02d}.dat", {"data": data, "labels": labels})

        shown = []
        for number, (block, row) in enumerate(zip(blocks, labels, strict=True)):
            ratings = dict(zip(RATINGS, map(float, row), strict=True))
            affect = from_rating(ratings["valence"], ratings["arousal"], SCALE)
            onset = number * block.samples + baseline
            shown.append(Shown(plan.clips[number], onset, block.samples - baseline, affect, ratings))
        truth.add_recorded(RecordingId(f"{subject:02d}"), plan, AMPLIFIER, recorded, shown)
        advance()


def _ratings(seed: int, subject: int, clip: Clip) -> np.ndarray:
    """Valence, arousal, dominance, liking, 1 to 9 with two decimals, as marked on the rating scale."""
    valence, arousal, approach = felt(seed, DESIGN.name, subject, clip)
    random = stream(seed, DESIGN.name, subject, "ratings", clip.number)
    feelings = (valence, arousal, 0.4 * approach, 0.7 * valence)
    return np.round([rate(random, feeling, SCALE) for feeling in feelings], 2)


class _Periphery:
    """The eight channels after the EEG: hEOG, vEOG, zEMG, tEMG in microvolt; GSR, Resp, Plet, Temp in own units."""

    def __init__(self, person: Person, random: np.random.Generator, rate_hz: int):
        self._person, self._random, self._rate_hz = person, random, rate_hz
        self._skin_ohm = random.uniform(2e3, 9e3)
        self._breath_hz = random.uniform(0.2, 0.32)
        self._warmth = random.uniform(-500, 500)

    def channels(self, body: Body) -> np.ndarray:
        """(8, samples) for one trial."""
        random, rate_hz, samples = self._random, self._rate_hz, len(body.blink)
        time_s = np.arange(samples) / rate_hz
        hz = frequencies(samples, rate_hz)
        noise = 4.0 * random.standard_normal((4, samples))
        slow = np.where((hz > 0) & (hz < 0.3), 1.0, 0.0)
        slow /= slow.sum() * rate_hz / samples
        skin, warmth = coloured_noise(random, 2, samples, rate_hz, slow)
        phase = random.uniform(0, 2 * np.pi, 2)
        beat = 2 * np.pi * self._person.pulse_hz * time_s + phase[0]
        breath = 2 * np.pi * self._breath_hz * time_s + phase[1]
        return np.stack(
            [
                2.0 * body.gaze + noise[0],  # left minus right electrode beside the eyes
                1.6 * body.blink + noise[1],  # above minus below the right eye
                0.8 * body.muscle * random.standard_normal(samples) + noise[2],
                0.5 * body.muscle * random.standard_normal(samples) + 2 * noise[3],
                self._skin_ohm * (1 + 0.05 * skin),
                800 * np.sin(breath) + 60 * random.standard_normal(samples),
                1500 * (np.sin(beat) + 0.4 * np.sin(2 * beat + 0.8)) + 80 * random.standard_normal(samples),
                self._warmth + 5 * warmth,
            ]
        )

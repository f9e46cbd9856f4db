"""What is not brain: blinks, eye movements, muscle bursts, and channels that fail.

Each artefact is written down with its onset, so that cleaning can be judged against it. Eye artefacts come from dipoles
in the eyes through the head model; muscle lies outside the skull and falls off with distance over the scalp.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eegpipe.simulate.brain import Person
from eegpipe.simulate.head import head
from eegpipe.simulate.streams import coloured_noise, frequencies

_BLINK_RISE_S, _BLINK_FALL_S = 0.055, 0.11  # widths of a Gaussian on either side of the peak
_SACCADE_S = 0.03
_SACCADES_PER_MIN = 14.0
_SACCADE_UV = (15.0, 45.0)  # at F8, reference at infinity
_MUSCLE_SITES = ("T7", "T8", "FT7", "FT8", "F7", "F8", "TP7", "TP8", "Fp1", "Fp2", "P7", "P8")
_MUSCLE_UV = (6.0, 22.0)  # rms in the middle of a burst, at its site
_MUSCLE_REACH_M = 0.028


@dataclass(frozen=True)
class Artefact:
    """``onset_s`` is counted from the start of its block until the recording is joined."""

    onset_s: float
    duration_s: float
    kind: str  # "blink", "eye movement" or "muscle"


@dataclass(frozen=True, eq=False)
class Body:
    """What the body did during one block, (sample,) float32 each, in microvolt: electrodes beside the EEG see it too.

    ``blink`` as seen at Fp1/Fp2, ``gaze`` (the eyes' horizontal direction) at F8, ``muscle`` where it is strongest.
    """

    blink: np.ndarray
    gaze: np.ndarray
    muscle: np.ndarray

    def cut(self, shown: slice) -> Body:
        return Body(self.blink[shown].copy(), self.gaze[shown].copy(), self.muscle[shown].copy())


@dataclass(frozen=True, eq=False)
class EyeMuscle:
    """Artefact signals of one block: ``eye`` and ``muscle`` (channel, sample) float32 in microvolt."""

    eye: np.ndarray
    muscle: np.ndarray
    body: Body
    events: list[Artefact]


def eye_and_muscle(
    random: np.random.Generator, person: Person, pick: np.ndarray, samples: int, shown: slice, rate_hz: float
) -> EyeMuscle:
    """Draw the eye and muscle artefacts of one block.

    Parameters
    ----------
    pick : (channel, electrode), from the head's electrodes to the file's channels.
    shown
        The part of the samples that the file will hold; events are counted from its start, those outside are dropped.
    """
    time_s = np.arange(samples) / rate_hz
    length_s = samples / rate_hz
    events: list[Artefact] = []

    blink = np.zeros(samples)
    for peak_s in _moments(random, person.blinks_per_min, length_s):
        size = person.blink_uv * np.exp(0.15 * random.standard_normal())
        width = np.where(time_s < peak_s, _BLINK_RISE_S, _BLINK_FALL_S)
        blink += size * np.exp(-0.5 * ((time_s - peak_s) / width) ** 2)
        events.append(Artefact(peak_s - 2 * _BLINK_RISE_S, 2 * (_BLINK_RISE_S + _BLINK_FALL_S), "blink"))

    gaze = np.zeros(samples)
    for out_s in _moments(random, _SACCADES_PER_MIN, length_s):
        size = random.uniform(*_SACCADE_UV) * random.choice([-1.0, 1.0])
        stay_s = random.uniform(0.3, 1.5)
        gaze += size * (_step(time_s - out_s) - _step(time_s - out_s - stay_s))
        events.append(Artefact(out_s, stay_s + _SACCADE_S, "eye movement"))

    muscle = np.zeros((len(pick), samples), np.float32)
    for start_s in _moments(random, person.bursts_per_min, length_s):
        lasts_s = random.uniform(0.4, 1.8)
        site = _MUSCLE_SITES[random.integers(len(_MUSCLE_SITES))]
        course = _burst(random, samples, rate_hz, (time_s - start_s) / lasts_s) * random.uniform(*_MUSCLE_UV)
        muscle += (pick @ _over_scalp(site)).astype(np.float32)[:, None] * course
        events.append(Artefact(start_s, lasts_s, "muscle"))

    vertical, horizontal = eye_topographies()
    eye = (pick @ vertical)[:, None] * blink + (pick @ horizontal)[:, None] * gaze
    first_s, last_s = shown.start / rate_hz, shown.stop / rate_hz
    inside = [
        Artefact(round(max(event.onset_s - first_s, 0.0), 4), round(event.duration_s, 4), event.kind)
        for event in events
        if event.onset_s + event.duration_s > first_s and event.onset_s < last_s
    ]
    inside.sort(key=lambda event: event.onset_s)
    body = Body(blink.astype(np.float32), gaze.astype(np.float32), np.abs(muscle).max(axis=0))
    return EyeMuscle(eye.astype(np.float32), muscle, body, inside)


def _moments(random: np.random.Generator, per_min: float, length_s: float) -> np.ndarray:
    """Moments of a Poisson process, with at least 0.4 s between two of them."""
    times = np.sort(random.uniform(0, length_s, random.poisson(per_min * length_s / 60)))
    return times[np.diff(times, prepend=-1.0) > 0.4]


def _step(time_s: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(time_s / (_SACCADE_S / 6), -50, 50)))


def _burst(random: np.random.Generator, samples: int, rate_hz: float, phase: np.ndarray) -> np.ndarray:
    """Unit-rms noise of 20 Hz and more under a Hann window over ``phase`` 0 to 1."""
    hz = frequencies(samples, rate_hz)
    psd = 1 / (1 + (25.0 / np.maximum(hz, 0.1)) ** 6) / (1 + (hz / 90.0) ** 2)
    psd /= psd.sum() * (rate_hz / samples)
    noise = coloured_noise(random, 1, samples, rate_hz, psd)[0]
    return noise * np.where((phase > 0) & (phase < 1), np.sin(np.pi * np.clip(phase, 0, 1)) ** 2, 0).astype(np.float32)


def _over_scalp(site: str) -> np.ndarray:
    """Gaussian fall-off with distance from a site, (electrode,)."""
    model = head()
    distance = np.linalg.norm(model.positions - model.positions[model.row(site)], axis=1)
    return np.exp(-0.5 * (distance / _MUSCLE_REACH_M) ** 2)


def eye_topographies() -> tuple[np.ndarray, np.ndarray]:
    """Potentials of a blink (1 at Fp1/Fp2) and of a glance to the right (1 at F8), each (electrode,), at infinity."""
    model = head()
    eyes = model.leadfield[:, -2:].sum(axis=1)  # (electrode, 3)
    vertical = eyes @ np.array([0.0, 0.6, 0.8])
    horizontal = eyes @ np.array([1.0, 0.0, 0.0])
    vertical /= (vertical[model.row("Fp1")] + vertical[model.row("Fp2")]) / 2
    return vertical, horizontal / horizontal[model.row("F8")]

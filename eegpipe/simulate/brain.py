"""One person's brain: background activity, rhythms, and the response locked to the clip, as dipoles in the head.

Every source is Gaussian noise with a spectrum of its own. Clips change it in three ways: the felt affect changes the
power of the rhythms (:mod:`eegpipe.simulate.affective`); each clip drives a few sources with a time course of its own
and modulates the rhythms with an envelope of its own, the same in every person and session; and, where it is asked for,
each clip shifts the mean power of the rhythms, also the same in everybody.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eegpipe.simulate.affective import RHYTHMS, Effects, effects
from eegpipe.simulate.head import N_CORTICAL, N_DEEP, Head, head
from eegpipe.simulate.streams import coloured_noise, frequencies, stream

# Rhythm -> centre and spread in Hz (alpha's centre is the person's own), rms in nAm where it is strongest, where.
_RHYTHM_HZ = {"theta": (6.0, 0.9), "alpha": (10.0, 0.8), "beta": (20.0, 4.0), "gamma": (38.0, 8.0)}
_RHYTHM_NAM = {"theta": 7.0, "alpha": 16.0, "beta": 4.5, "gamma": 2.5}
_RHYTHM_PLACES: dict[str, list[tuple[float, tuple[str, ...]]]] = {
    "theta": [(1.0, ("Fz", "FCz")), (0.4, ("T7", "T8"))],
    "alpha": [(1.0, ("O1", "Oz", "O2", "POz")), (0.45, ("F3", "F4", "F7", "F8")), (0.4, ("C3", "C4"))],
    "beta": [(1.0, ("T7", "T8", "FT7", "FT8", "TP7", "TP8")), (0.7, ("C3", "C4", "FCz")), (0.5, ("P7", "P8", "POz"))],
    "gamma": [(1.0, ("T7", "T8", "FT7", "FT8", "TP7", "TP8")), (0.7, ("Fp1", "Fpz", "Fp2"))],
}
_BACKGROUND_NAM, _DEEP_NAM = 10.0, 28.0
_KNEE_HZ = 1.0
# Rhythms wax and wane from block to block for reasons of their own (vigilance, habituation): spread of log amplitude,
# common to a rhythm and of each source.
_WANDER_ALL, _WANDER_SOURCE = 0.12, 0.15

# The locked response: where, and how strong. Early visual, parietal, temporal and midline sources, as in studies of
# inter-subject correlation during films (Dmochowski 2012).
_LOCKED_PLACES = ("Oz", "Pz", "P8", "T7", "Cz", "Fz")
_LOCKED_NAM = 7.5
_LOCKED_HZ, _LOCKED_FALL_HZ = (0.8, 25.0), 8.0
_ENVELOPE_DEPTH, _ENVELOPE_HZ = 0.35, 0.8
# Spread over clips of the log amplitude of a rhythm at each of these places, for a clip size of 1. What brightness,
# motion, cuts and voices do to the rhythms has nothing to do with the emotion that the clip was chosen for.
_CLIP_LOG = 0.25


@dataclass(frozen=True)
class Sizes:
    """Factors on what is planted: see :class:`eegpipe.simulate.SimulateSettings`."""

    affect: float
    locked: float
    clip: float
    wander: float


@dataclass(frozen=True, eq=False)
class Person:
    """What is one person's own. Amplitude factors have median 1."""

    subject: object
    alpha_hz: float
    exponent: float  # of the 1/f background
    rhythm_gain: dict[str, float]
    background_gain: float
    moments: np.ndarray  # (source, 3), about unit length: orientation and gain of each brain dipole
    locked_gain: np.ndarray  # (locked place,)
    blinks_per_min: float
    blink_uv: float  # at Fp1 and Fp2
    bursts_per_min: float
    pulse_hz: float


def draw_person(seed: int, dataset: str, subject: object) -> Person:
    """Draw one person. The folding of the cortex is common to all; each person deviates from it."""
    random = stream(seed, dataset, subject, "person")
    outward = head().directions[: N_CORTICAL + N_DEEP]
    folding = stream(0, "folding").standard_normal(outward.shape)
    moments = outward + 0.35 * folding + 0.22 * random.standard_normal(outward.shape)
    moments /= np.linalg.norm(moments, axis=1, keepdims=True)
    moments *= _around_one(random, 0.15, (len(outward), 1))
    return Person(
        subject=subject,
        alpha_hz=float(np.clip(random.normal(10.0, 0.8), 8.5, 11.8)),
        exponent=float(np.clip(random.normal(1.5, 0.15), 1.1, 1.9)),
        rhythm_gain={rhythm: float(_around_one(random, 0.2)) for rhythm in RHYTHMS},
        background_gain=float(_around_one(random, 0.12)),
        moments=moments,
        locked_gain=_around_one(random, 0.15, len(_LOCKED_PLACES)),
        blinks_per_min=float(np.clip(random.normal(14, 5), 5, 28)),
        blink_uv=float(np.clip(random.normal(110, 25), 60, 180)),
        bursts_per_min=float(np.clip(random.normal(2.5, 1.2), 0.5, 6)),
        pulse_hz=float(np.clip(random.normal(1.15, 0.15), 0.8, 1.6)),
    )


def _around_one(random: np.random.Generator, spread: float, shape: int | tuple[int, ...] | None = None) -> np.ndarray:
    return np.exp(spread * random.standard_normal(shape))


class Brain:
    """A person's brain as the electrodes of one session see it.

    Parameters
    ----------
    pick : (channel, electrode)
        From potentials at the electrodes of the head to the channels of the file: choice and reference.
    """

    def __init__(self, person: Person, pick: np.ndarray, rate_hz: float, sizes: Sizes):
        model: Head = head()
        n_brain = N_CORTICAL + N_DEEP
        seen = np.einsum("esk,sk->es", model.leadfield[:, :n_brain], person.moments)
        self._seen = (pick @ seen).astype(np.float32)  # (channel, source), uV/nAm
        self._person, self._rate_hz, self._sizes = person, rate_hz, sizes
        self._effects: Effects = effects(model)
        self._rhythm_nam: dict[str, np.ndarray] = {}
        for rhythm, places in _RHYTHM_PLACES.items():
            amplitude = np.max([weight * model.nearness(names) for weight, names in places], axis=0)
            amplitude[amplitude < 0.1] = 0.0
            self._rhythm_nam[rhythm] = amplitude * _RHYTHM_NAM[rhythm] * person.rhythm_gain[rhythm]
        nearness = np.array([model.nearness((name,)) for name in _LOCKED_PLACES])
        self._locked_at = [int(near.argmax()) for near in nearness]
        self._near_places = nearness  # (locked place, source)

    def play(
        self,
        random: np.random.Generator,
        samples: int,
        stimulus: slice,
        locked: ClipResponse | None,
        felt: np.ndarray | None,
    ) -> np.ndarray:
        """Potentials in microvolt while one block is recorded.

        Parameters
        ----------
        stimulus
            The samples during which the clip plays.
        locked, felt
            The clip's own drive and the person's affect; None: no clip plays.

        Returns
        -------
        (channel, samples) float32
        """
        hz = frequencies(samples, self._rate_hz)
        person = self._person
        background = 1 / (_KNEE_HZ**person.exponent + hz**person.exponent)
        background[0] = 0.0
        background /= background.sum() * (self._rate_hz / samples)
        nam = np.repeat([_BACKGROUND_NAM, _DEEP_NAM], [N_CORTICAL, N_DEEP]) * person.background_gain
        noise = coloured_noise(random, len(nam), samples, self._rate_hz, background)
        potential = (self._seen * nam.astype(np.float32)) @ noise
        for rhythm in RHYTHMS:
            potential += self._rhythm(rhythm, random, hz, samples, stimulus, locked, felt)
        if locked is not None:
            strength = _LOCKED_NAM * self._sizes.locked * person.locked_gain
            course = (strength[:, None] * locked.courses).astype(np.float32)
            potential[:, stimulus] += self._seen[:, self._locked_at] @ course[:, : stimulus.stop - stimulus.start]
        return potential

    def _rhythm(
        self,
        rhythm: str,
        random: np.random.Generator,
        hz: np.ndarray,
        samples: int,
        stimulus: slice,
        locked: ClipResponse | None,
        felt: np.ndarray | None,
    ) -> np.ndarray:
        centre, spread = _RHYTHM_HZ[rhythm]
        if rhythm == "alpha":
            centre = self._person.alpha_hz
        bump = np.exp(-0.5 * ((hz - centre) / spread) ** 2)
        bump /= bump.sum() * (self._rate_hz / samples)
        nam = self._rhythm_nam[rhythm]
        active = np.flatnonzero(nam)
        noise = coloured_noise(random, len(active), samples, self._rate_hz, bump)
        wander = _WANDER_ALL * random.standard_normal() + _WANDER_SOURCE * random.standard_normal((len(active), 1))
        noise *= np.exp(self._sizes.wander * wander).astype(np.float32)
        at_rest = (self._seen[:, active] * nam[active].astype(np.float32)) @ noise
        if felt is None or locked is None:
            return at_rest
        shift = self._effects.log_amplitude(rhythm, felt, self._sizes.affect)
        shift = shift + self._sizes.clip * _CLIP_LOG * (locked.loads[rhythm] @ self._near_places)
        change = np.exp(shift)[active]
        during = (self._seen[:, active] * (nam[active] * change).astype(np.float32)) @ noise[:, stimulus]
        during *= locked.envelope(rhythm, self._sizes.locked)[: stimulus.stop - stimulus.start]
        at_rest[:, stimulus] = during
        return at_rest


@dataclass(frozen=True, eq=False)
class ClipResponse:
    """What one clip drives in everybody who watches it, from its first sample on.

    courses : (locked place, sample) float32, unit variance, 0.8-25 Hz.
    waves : rhythm -> (sample,) float32, from -1 to 1, below 1 Hz.
    loads : rhythm -> (locked place,), unit variance over clips: what the clip does to the mean power near each place.
    """

    courses: np.ndarray
    waves: dict[str, np.ndarray]
    loads: dict[str, np.ndarray]

    def envelope(self, rhythm: str, locked_size: float) -> np.ndarray:
        """The factor on the amplitude of a rhythm, (sample,) float32, mean square near 1."""
        depth = min(_ENVELOPE_DEPTH * locked_size, 0.9)
        wave = 1 + depth * self.waves[rhythm]
        return (wave / np.sqrt(np.mean(wave**2))).astype(np.float32)


def clip_response(seed: int, dataset: str, clip: int, samples: int, rate_hz: float) -> ClipResponse:
    """The response to one clip. Independent of the clip's label, of the person and of the session."""
    random = stream(seed, dataset, "locked", clip)
    hz = frequencies(samples, rate_hz)
    low, high = _LOCKED_HZ
    course = ((hz >= low) & (hz <= high)) / (1 + (hz / _LOCKED_FALL_HZ) ** 2)
    course /= course.sum() * (rate_hz / samples)
    slow = ((hz > 0) & (hz <= _ENVELOPE_HZ)).astype(float)
    slow /= slow.sum() * (rate_hz / samples)
    courses = coloured_noise(random, len(_LOCKED_PLACES), samples, rate_hz, course)
    waves = np.tanh(coloured_noise(random, len(RHYTHMS), samples, rate_hz, slow))
    # A stream of its own: the other numbers stay what they are.
    loads = stream(seed, dataset, "clip power", clip).standard_normal((len(RHYTHMS), len(_LOCKED_PLACES)))
    return ClipResponse(courses, dict(zip(RHYTHMS, waves, strict=True)), dict(zip(RHYTHMS, loads, strict=True)))

"""The amplifier: from a brain and its artefacts to the arrays of a vendor's file, block by block.

A block is a stretch that was recorded in one go and that the vendor ships as one array. The signal of a block is made a
little longer than needed and cut, so that no filter edge and no wrap-around of the noise is in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from eegpipe.simulate.affective import felt
from eegpipe.simulate.artefacts import Artefact, Body, eye_and_muscle
from eegpipe.simulate.brain import Brain, Person, Sizes, clip_response
from eegpipe.simulate.head import head
from eegpipe.simulate.plan import Clip, Plan
from eegpipe.simulate.streams import coloured_noise, frequencies, stream

_MARGIN_S = 1.0
_FILTER_ORDER = 4  # Butterworth, forwards and backwards


@dataclass(frozen=True)
class Amplifier:
    """How a data set's signal was recorded and what the vendor did to it before release.

    reference
        Electrodes whose mean was the reference, or ``()`` for the average of the file's channels.
    band_hz
        Pass band of the file's content; 0 as lower edge keeps the direct current.
    eye_left
        Share of the eye artefacts that is still in the file (1: the vendor removed none).
    bad_channels
        Mean number of failing channels per recording.
    step_uv, offset_uv
        Smallest step of the stored numbers (0: none), and the level that they lie around.
    """

    channels: tuple[str, ...]  # canonical names, in file order
    rate_hz: float
    reference: tuple[str, ...]
    band_hz: tuple[float, float]
    noise_uv: float
    line_uv: float
    drift_uv: float
    eye_left: float = 1.0
    bad_channels: float = 0.0
    step_uv: float = 0.0
    offset_uv: float = 0.0

    def pick(self) -> np.ndarray:
        """(channel, electrode): which electrodes the channels are, minus the reference."""
        model = head()
        chosen = np.zeros((len(self.channels), len(model.electrodes)))
        chosen[np.arange(len(self.channels)), [model.row(name) for name in self.channels]] = 1
        if not self.reference:
            return chosen - chosen.mean(axis=0)
        against = np.zeros(len(model.electrodes))
        against[[model.row(name) for name in self.reference]] = 1 / len(self.reference)
        return chosen - against


@dataclass(frozen=True)
class Block:
    """``clip`` None: only a baseline. Within the block the clip begins at ``stimulus_at`` (sample).

    ``key`` names the block's random numbers (None: its place in the recording): blocks of equal key, length and clip
    are equal, whatever is recorded around them.
    """

    samples: int
    clip: Clip | None
    stimulus_at: int = 0
    key: object = None


@dataclass
class Recorded:
    """One recording as the vendor has it.

    blocks_uv : (channel, sample) float64 each, what stands in the file.
    clean_uv : (channel, sample) float32 each, the brain's part of it.
    bodies
        One per block: what the channels beside the EEG see (DEAP's EOG and EMG are made from it).
    artefacts
        Onsets in seconds of the joined recording.
    bad_channels : name in the file -> "flat" or "noisy"
    """

    blocks_uv: list[np.ndarray] = field(default_factory=list)
    clean_uv: list[np.ndarray] = field(default_factory=list)
    bodies: list[Body] = field(default_factory=list)
    artefacts: list[Artefact] = field(default_factory=list)
    bad_channels: dict[str, str] = field(default_factory=dict)


def record(amplifier: Amplifier, blocks: Sequence[Block], person: Person, session: int, plan: Plan) -> Recorded:
    """Record a person's session. Depends on the plan's settings, the data set's name, the person and the session."""
    from scipy import fft

    settings, dataset = plan.settings, plan.design.name
    rate_hz, n_channels = amplifier.rate_hz, len(amplifier.channels)
    name = (settings.seed, dataset, person.subject, session)
    pick = amplifier.pick()
    affect_size = settings.affect_size if settings.affect else 0.0
    sizes = Sizes(affect_size, settings.locked_size, settings.clip_size, settings.wander_size)
    brain = Brain(person, pick, rate_hz, sizes)

    fitting = stream(*name, "cap and amplifier")
    gain = np.exp(0.08 * fitting.standard_normal() + 0.015 * fitting.standard_normal((n_channels, 1)))
    line_uv = amplifier.line_uv * np.exp(0.6 * fitting.standard_normal((n_channels, 1)))
    line_phase = fitting.uniform(0, 2 * np.pi) + 0.3 * fitting.standard_normal((n_channels, 1))
    mean_bad = amplifier.bad_channels if settings.artefact_size > 0 else 0.0
    bad = _failing(stream(*name, "bad channels"), amplifier.channels, mean_bad)

    done = Recorded(bad_channels=bad)
    start_s = 0.0
    for place, block in enumerate(blocks):
        number = place if block.key is None else block.key
        margin = round(_MARGIN_S * rate_hz)
        samples = fft.next_fast_len(block.samples + 2 * margin, real=True)
        shown = slice(margin, margin + block.samples)
        hz = frequencies(samples, rate_hz)
        clip, response, feeling, stimulus = block.clip, None, None, slice(0, 0)
        if clip is not None:
            length = block.samples - block.stimulus_at
            response = clip_response(settings.seed, dataset, clip.number, length + 2 * margin, rate_hz)
            feeling = felt(settings.seed, dataset, person.subject, clip)
            begin = margin + block.stimulus_at
            stimulus = slice(begin, min(begin + length + 2 * margin, samples))
        potential = gain * brain.play(stream(*name, "brain", number), samples, stimulus, response, feeling)

        artefacts = eye_and_muscle(stream(*name, "eyes and muscles", number), person, pick, samples, shown, rate_hz)
        random = stream(*name, "amplifier", number)
        drift = coloured_noise(random, n_channels, samples, rate_hz, _drift_psd(hz, rate_hz / samples))
        noise = amplifier.noise_uv * random.standard_normal((n_channels, samples), dtype=np.float32)
        time_s = start_s + (np.arange(samples) - margin) / rate_hz
        other = gain * (amplifier.eye_left * artefacts.eye + artefacts.muscle) + amplifier.drift_uv * drift
        other = settings.artefact_size * other + noise + line_uv * np.sin(2 * np.pi * 50.0 * time_s + line_phase)
        _fail(random, other, amplifier.channels, bad)
        if not amplifier.reference:
            potential -= potential.mean(axis=0)
            other -= other.mean(axis=0)

        response_of_filter = _band(hz, amplifier.band_hz)
        clean = _filtered(potential, response_of_filter)[:, shown]
        signal = clean + _filtered(other, response_of_filter)[:, shown]
        for row, channel in enumerate(amplifier.channels):
            if bad.get(channel) == "flat":
                signal[row] = 0.05 * random.standard_normal(block.samples)
        signal += amplifier.offset_uv
        if amplifier.step_uv:
            signal = np.round(signal / amplifier.step_uv) * amplifier.step_uv
        done.blocks_uv.append(np.ascontiguousarray(signal, dtype=np.float64))
        done.clean_uv.append(np.ascontiguousarray(clean, dtype=np.float32))
        done.bodies.append(artefacts.body.cut(shown))
        if settings.artefact_size > 0:
            done.artefacts += [replace(event, onset_s=round(start_s + event.onset_s, 4)) for event in artefacts.events]
        start_s += block.samples / rate_hz
    return done


def _failing(random: np.random.Generator, channels: tuple[str, ...], mean: float) -> dict[str, str]:
    """Which channels fail in this recording, at most a tenth of them."""
    count = min(int(random.poisson(mean)), len(channels) // 10 + 1)
    chosen = np.sort(random.choice(len(channels), count, replace=False))
    return {channels[row]: str(random.choice(["flat", "noisy"])) for row in chosen}


def _fail(random: np.random.Generator, signal: np.ndarray, channels: tuple[str, ...], bad: dict[str, str]) -> None:
    """Put the noise of a loose electrode on the noisy channels: 40-90 uV rms, white."""
    for channel, kind in bad.items():
        if kind == "noisy":
            loud = random.uniform(40, 90)
            signal[channels.index(channel)] += loud * random.standard_normal(signal.shape[1], dtype=np.float32)


def _drift_psd(hz: np.ndarray, step_hz: float) -> np.ndarray:
    """Unit-variance drift below 0.5 Hz, falling with the square of frequency."""
    psd = np.zeros(len(hz))
    slow = (hz > 0) & (hz < 0.5)
    psd[slow] = hz[slow] ** -2.0
    return psd / (psd.sum() * step_hz)


def _band(hz: np.ndarray, band_hz: tuple[float, float]) -> np.ndarray:
    """Magnitude of the vendor's zero-phase band-pass, (frequency,) float32."""
    low, high = band_hz
    magnitude = 1 / (1 + (hz / high) ** (2 * _FILTER_ORDER))
    if low > 0:
        magnitude *= 1 - 1 / (1 + (hz / low) ** (2 * _FILTER_ORDER))
    return magnitude.astype(np.float32)


def _filtered(signal: np.ndarray, magnitude: np.ndarray) -> np.ndarray:
    from scipy import fft

    samples = signal.shape[-1]
    return fft.irfft(fft.rfft(signal.astype(np.float32)) * magnitude, samples)

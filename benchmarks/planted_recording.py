"""One simulated recording whose parts are known apart, on disk: brain, eyes, muscles, mains, noise, broken channels.

Brain, eyes and drift are those of :mod:`eegpipe.simulate`. Its muscle bursts change their place from burst to burst,
which no component can hold, so muscles are made here: a few places, each with one map and one course.

Everything is made in overlapping blocks of a minute, so an hour at 512 Hz needs no more memory than two minutes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from eegpipe.simulate.artefacts import eye_and_muscle, eye_topographies
from eegpipe.simulate.brain import Brain, Sizes, draw_person
from eegpipe.simulate.head import head
from eegpipe.simulate.record import Amplifier
from eegpipe.simulate.streams import coloured_noise, frequencies, stream

LINE_HZ = 50.0
_BLOCK_S = 60.0
# Neighbouring blocks overlap; their windows' squares sum to one, so that noise keeps its variance.
_OVERLAP_S = 2.0
_BLINK_REACH_M = 0.10
_MUSCLE_SITES = ("T7", "T8", "F8", "F7", "P8", "P7")
_CHANNELS_PER_MUSCLE = 8
_MUSCLE_UV = (14.0, 28.0)  # rms of a strong contraction at its place
_MUSCLE_REACH_M = 0.025  # a muscle is wider than its electrode
_MUSCLE_AT_REST = 0.1
_MUSCLE_SHARE = 0.35  # of the time
_CHANNELS_PER_BAD = 20
_NOISY_UV = (40.0, 90.0)
_FLAT_UV = 0.05


@dataclass(frozen=True)
class Case:
    """What is recorded. ``channels``: names of the channel schema; ``reference``: as in the simulator's amplifier."""

    name: str
    channels: tuple[str, ...]
    rate_hz: float
    minutes: float
    reference: tuple[str, ...]
    noise_uv: float = 0.8
    line_uv: float = 3.0
    drift_uv: float = 10.0
    seed: int = 1

    @property
    def samples(self) -> int:
        return round(self.minutes * 60 * self.rate_hz)

    @property
    def float64_bytes(self) -> int:
        """Of the signal as an array of float64: the unit of memory."""
        return len(self.channels) * self.samples * 8


@dataclass(frozen=True, eq=False)
class Planted:
    """The parts of a recording, opened from its folder; microvolt, float32, memory-mapped, in the file's reference.

    signal_uv, brain_uv : (channel, sample)
    courses : (part, sample)
        Of blink, gaze and the muscles in this order.
    topographies : (channel, part)
        What one unit of each course is at each channel.
    bad : channel -> "flat" or "noisy"
    """

    case: Case
    signal_uv: np.ndarray
    brain_uv: np.ndarray
    courses: np.ndarray
    topographies: np.ndarray
    bad: dict[str, str]

    @property
    def good(self) -> np.ndarray:
        """Which channels are not broken, bool (channel,)."""
        return np.array([name not in self.bad for name in self.case.channels])


def write(case: Case, folder: Path) -> Planted:
    """Make the recording in ``folder``; equal cases give equal bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    muscles = _muscle_sites(case)
    bad = _bad_channels(case)
    pick = Amplifier(case.channels, case.rate_hz, case.reference, (0.0, 0.0), 0.0, 0.0, 0.0).pick()
    fitting = stream(case.seed, case.name, "cap")
    gain = np.exp(0.015 * fitting.standard_normal((len(pick), 1)))
    maps = [*_eye_maps(), *(_over_scalp(site) for site in muscles)]
    topographies = (gain * (pick @ np.stack(maps, axis=1))).astype(np.float32)
    line_uv = case.line_uv * np.exp(0.6 * fitting.standard_normal((len(pick), 1)))
    line_phase = fitting.uniform(0, 2 * np.pi) + 0.3 * fitting.standard_normal((len(pick), 1))

    shapes = {"signal": len(pick), "brain": len(pick), "courses": topographies.shape[1]}
    files = {
        name: np.lib.format.open_memmap(folder / f"{name}.npy", "w+", np.float32, (rows, case.samples))
        for name, rows in shapes.items()
    }
    start = 0
    for brain, courses, rest in _joined(_blocks(case, pick, len(muscles)), case):
        end = start + brain.shape[1]
        time_s = np.arange(start, end) / case.rate_hz
        signal = gain * (brain + rest) + topographies @ courses
        signal += line_uv * np.sin(2 * np.pi * LINE_HZ * time_s + line_phase)
        _break(signal, case, bad, start)
        files["signal"][:, start:end], files["brain"][:, start:end] = signal, gain * brain
        files["courses"][:, start:end] = courses
        start = end
    for file in files.values():
        file.flush()
    np.save(folder / "topographies.npy", topographies)
    (folder / "case.json").write_text(json.dumps({"case": asdict(case), "bad": bad}), encoding="utf-8")
    return read(folder)


def read(folder: Path) -> Planted:
    """Open what :func:`write` made."""
    stored = json.loads((folder / "case.json").read_text(encoding="utf-8"))
    lists = {key: tuple(value) for key, value in stored["case"].items() if isinstance(value, list)}
    signal, brain, courses = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("signal", "brain", "courses"))
    case = Case(**stored["case"] | lists)
    return Planted(case, signal, brain, courses, np.load(folder / "topographies.npy"), stored["bad"])


def _blocks(case: Case, pick: np.ndarray, muscles: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(brain, courses, noise and drift) of one block after the other, each with the overlap to its next."""
    from scipy import fft

    person = replace(draw_person(case.seed, case.name, "person"), bursts_per_min=0.0)
    brain = Brain(person, pick, case.rate_hz, Sizes(affect=0.0, locked=1.0, clip=0.0, wander=1.0))
    length = round((_BLOCK_S + _OVERLAP_S) * case.rate_hz)
    samples = fft.next_fast_len(length, real=True)
    hz = frequencies(samples, case.rate_hz)
    slow = np.where((hz > 0) & (hz < 0.5), 1 / np.maximum(hz, hz[1]) ** 2, 0.0)
    slow /= slow.sum() * hz[1]
    levels_uv = stream(case.seed, case.name, "muscles").uniform(*_MUSCLE_UV, size=(muscles, 1))
    for number in range(int(np.ceil(case.samples / round(_BLOCK_S * case.rate_hz)))):
        random = stream(case.seed, case.name, "block", number)
        potential = brain.play(random, samples, slice(0, 0), None, None)[:, :length]
        eyes = eye_and_muscle(random, person, pick, length, slice(0, length), case.rate_hz).body
        contractions = levels_uv * _muscle_courses(random, muscles, samples, case.rate_hz)[:, :length]
        drift = coloured_noise(random, len(pick), samples, case.rate_hz, slow)[:, :length]
        noise = random.standard_normal((len(pick), length), dtype=np.float32)
        rest = case.drift_uv * drift + case.noise_uv * noise
        yield potential, np.vstack([eyes.blink, eyes.gaze, contractions]).astype(np.float32), rest


def _joined(blocks: Iterator[tuple[np.ndarray, ...]], case: Case) -> Iterator[tuple[np.ndarray, ...]]:
    """The same without seams: each block fades into the next; what is left over at the end of the last is dropped."""
    overlap, step = round(_OVERLAP_S * case.rate_hz), round(_BLOCK_S * case.rate_hz)
    rise = np.sin(np.linspace(0, np.pi / 2, overlap, dtype=np.float32))
    tails: tuple[np.ndarray, ...] | None = None
    left = case.samples
    for parts in blocks:
        if tails is not None:
            for part, tail in zip(parts, tails, strict=True):
                part[:, :overlap] = part[:, :overlap] * rise + tail
        tails = tuple(part[:, step:] * rise[::-1] for part in parts)
        yield tuple(part[:, : min(step, left)] for part in parts)
        left -= step


def _muscle_sites(case: Case) -> tuple[str, ...]:
    present = [site for site in _MUSCLE_SITES if site in case.channels]
    return tuple(present[: max(2, len(case.channels) // _CHANNELS_PER_MUSCLE)])


def _muscle_courses(random: np.random.Generator, rows: int, samples: int, rate_hz: float) -> np.ndarray:
    """(muscle, sample), rms about 1 while contracted: noise of 20 Hz and more that comes for seconds and goes."""
    hz = frequencies(samples, rate_hz)
    # Surface electromyogram: rises from 15 to 40 Hz, flat to 100 Hz.
    psd = 1 / (1 + (25.0 / np.maximum(hz, 0.1)) ** 4) / (1 + (hz / 120.0) ** 4)
    noise = coloured_noise(random, rows, samples, rate_hz, psd / (psd.sum() * hz[1]))
    slow = np.where((hz > 0) & (hz < 0.15), 1.0, 0.0)
    wave = coloured_noise(random, rows, samples, rate_hz, slow / (slow.sum() * hz[1]))
    threshold = np.quantile(wave, 1 - _MUSCLE_SHARE, axis=1, keepdims=True)
    active = 1 / (1 + np.exp(-(wave - threshold) / 0.1))
    return noise * (_MUSCLE_AT_REST + (1 - _MUSCLE_AT_REST) * active)


def _eye_maps() -> tuple[np.ndarray, np.ndarray]:
    """Maps of blink and gaze, (electrode,) each. Current leaves the orbits through their openings, not through bone, so
    real maps fall off faster than those of the simulator's closed spheres: a quarter at Fz, a twentieth at Cz."""
    model = head()
    vertical, horizontal = eye_topographies()
    eyes = np.array([model.row("Fp1"), model.row("Fp2")])
    distance_m = np.linalg.norm(model.positions[:, None] - model.positions[eyes], axis=2).min(axis=1)
    return vertical * np.exp(-distance_m / _BLINK_REACH_M), horizontal


def _over_scalp(site: str) -> np.ndarray:
    """Map of a muscle under an electrode, (electrode,): 1 there, falling with the distance over the scalp."""
    model = head()
    distance_m = np.linalg.norm(model.positions - model.positions[model.row(site)], axis=1)
    return np.exp(-0.5 * (distance_m / _MUSCLE_REACH_M) ** 2)


def _bad_channels(case: Case) -> dict[str, str]:
    """One broken channel in twenty, noisy and flat in turn; not at the forehead, where blinks are measured."""
    random = stream(case.seed, case.name, "bad channels")
    choice = [row for row, name in enumerate(case.channels) if name not in {*_MUSCLE_SITES, "Fp1", "Fp2", "AF3", "AF4"}]
    rows = sorted(random.choice(choice, max(1, len(case.channels) // _CHANNELS_PER_BAD), replace=False))
    return {case.channels[row]: ("noisy", "flat")[place % 2] for place, row in enumerate(rows)}


def _break(signal: np.ndarray, case: Case, bad: dict[str, str], start: int) -> None:
    for name, kind in bad.items():
        row, random = case.channels.index(name), stream(case.seed, case.name, "broken", name, start)
        noise = random.standard_normal(signal.shape[1])
        if kind == "flat":
            signal[row] = _FLAT_UV * noise
        else:
            loud_uv = stream(case.seed, case.name, "loud", name).uniform(*_NOISY_UV)
            signal[row] += loud_uv * noise

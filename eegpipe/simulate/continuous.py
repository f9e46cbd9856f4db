"""Continuous recordings: clips in one long file, with what was recorded between them, at the raw rate of an amplifier.

The clips are made block by block (:mod:`eegpipe.simulate.record`) at a rate that is enough for EEG. A clip's block
keeps its ``key``, so that it is the same signal here and in a variant that holds cut trials. The gaps are blocks
without a clip, tilted so that there is no step at their ends. The whole is then raised to the file's rate, and what
only a raw file has is added: electrode offsets and the amplifier's own noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from eegpipe.simulate.artefacts import Artefact, Body
from eegpipe.simulate.brain import Person
from eegpipe.simulate.plan import Plan
from eegpipe.simulate.record import Amplifier, Block, record
from eegpipe.simulate.streams import stream


@dataclass(frozen=True)
class Placed:
    """A block and where it begins in the recording, in samples of the amplifier's rate."""

    block: Block
    at: int


@dataclass
class Continuous:
    """One continuous recording.

    signal_uv, clean_uv : (channel, sample) float64 and float32
        What stands in the file before it is rounded, and the brain's part of it.
    rate_hz
        The file's: the amplifier's times ``raise_by``.
    blocks, bodies
        All blocks in order, gaps included, and what the channels beside the EEG see in each, at the amplifier's rate.
    """

    signal_uv: np.ndarray
    clean_uv: np.ndarray
    rate_hz: float
    artefacts: list[Artefact] = field(default_factory=list)
    bad_channels: dict[str, str] = field(default_factory=dict)
    blocks: list[Block] = field(default_factory=list)
    bodies: list[Body] = field(default_factory=list)


def record_continuously(
    amplifier: Amplifier,
    placed: Sequence[Placed],
    samples: int,
    person: Person,
    session: int,
    plan: Plan,
    *,
    raise_by: int = 1,
    offsets_uv: float = 0.0,
    noise_uv: float = 0.0,
) -> Continuous:
    """Record a session from its first to its last sample.

    Parameters
    ----------
    placed
        In order of time, without overlap. Give the blocks of clips keys.
    samples
        Of the whole recording, at the amplifier's rate.
    raise_by
        The file's rate is this multiple of the amplifier's.
    offsets_uv
        Spread of the electrodes' offsets (direct current).
    noise_uv
        White noise at the file's rate.
    """
    from scipy.signal import resample_poly

    blocks: list[Block] = []
    at = 0
    for number, one in enumerate(placed):
        if one.at < at:
            raise ValueError(f"block {number} begins at {one.at}, before {at}")
        if one.at > at:
            blocks.append(Block(one.at - at, None, key=("gap", number)))
        blocks.append(one.block)
        at = one.at + one.block.samples
    if samples > at:
        blocks.append(Block(samples - at, None, key=("gap", "last")))
    recorded = record(amplifier, blocks, person, session, plan)
    signal = np.concatenate(_without_steps(blocks, recorded.blocks_uv), axis=1)
    clean = np.concatenate(_without_steps(blocks, recorded.clean_uv), axis=1)
    if raise_by > 1:
        signal = resample_poly(signal, raise_by, 1, axis=1, padtype="line")
        clean = resample_poly(clean, raise_by, 1, axis=1, padtype="line")
    random = stream(plan.settings.seed, plan.design.name, person.subject, session, "raw file")
    signal += offsets_uv * random.standard_normal((len(signal), 1))
    if noise_uv:
        signal += noise_uv * random.standard_normal(signal.shape, dtype=np.float32)
    return Continuous(
        signal_uv=signal,
        clean_uv=clean.astype(np.float32),
        rate_hz=amplifier.rate_hz * raise_by,
        artefacts=recorded.artefacts,
        bad_channels=recorded.bad_channels,
        blocks=blocks,
        bodies=recorded.bodies,
    )


def _without_steps(blocks: Sequence[Block], arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The arrays, each gap tilted so that it begins and ends where its neighbours do."""
    smooth = [array.astype(np.float64) for array in arrays]
    for place, block in enumerate(blocks):
        if block.clip is not None:
            continue
        gap = smooth[place]
        before = smooth[place - 1][:, -1] if place else gap[:, 0]
        after = smooth[place + 1][:, 0] if place + 1 < len(smooth) else gap[:, -1]
        share = np.linspace(0, 1, gap.shape[1])
        gap += np.outer(before - gap[:, 0], 1 - share) + np.outer(after - gap[:, -1], share)
    return smooth

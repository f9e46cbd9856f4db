"""From the arrays of a vendor file to one MNE object: checked, joined in file order, in volts.

Every value is first rounded to a float32 number of microvolts, so that a BrainVision file of float32 microvolts gives
it back exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from eegpipe import channels
from eegpipe.errors import DataProblem
from eegpipe.recording import Event

if TYPE_CHECKING:
    import mne

# Spread of scalp EEG in microvolt (median over channels of 1.4826 times the median absolute deviation). Real recordings
# lie between about 2 (4-45 Hz, average reference) and 200 (drifts); volts, millivolts and nanovolts lie far outside.
SPREAD_UV = (0.1, 1000.0)
_PIECES, _PIECE = 32, 256  # so many pieces of so many samples of a long recording
# Amplifiers without a high-pass reach some 0.4 V, glitches of cheap ones 1 V.
LARGEST_UV = 1e7


@dataclass(frozen=True)
class Channel:
    """A channel of the joined signal. ``kind`` is MNE's channel type; ``volts`` is False where the vendor's unit is
    not a voltage (skin resistance, respiration): such values are carried unchanged.
    """

    name: str
    kind: str = "eeg"
    volts: bool = True


def eeg_channels(vendor_names: Iterable[str]) -> list[Channel]:
    """Channels by their canonical names; ear and mastoid electrodes become ``misc``, since they are references.

    The names are the data set's own facts, so one that the schema does not hold is an error of the program.
    """
    found = []
    for name in vendor_names:
        canonical = channels.canonical(name)
        if canonical is None:
            raise ValueError(f"channel {name} is not in the schema")
        found.append(Channel(canonical, "misc" if canonical in channels.REFERENCES else "eeg"))
    return found


def check_block(block: np.ndarray, layout: Sequence[Channel], where: str) -> None:
    """Refuse a block (channel, sample) that holds NaN or infinity, no signal at all, or another unit than microvolt.

    Single flat channels pass: finding bad channels is the work of the cleaning stage.
    """
    # Row by row: a recording of a gigabyte must not be copied to be looked at.
    finite = np.array([bool(np.isfinite(row).all()) for row in block])
    if not finite.all():
        bad = [channel.name for channel, good in zip(layout, finite, strict=True) if not good]
        count = int(block.size - np.isfinite(block).sum())
        raise DataProblem(
            where,
            f"{count} values that are NaN or infinite, in channel {', '.join(bad[:5])}",
            "finite numbers",
            "Copy the file from the vendor's archive again.",
        )
    scalp = [row for row, channel in zip(block, layout, strict=True) if channel.kind == "eeg"]
    # Two values: truth values, or a mark that stands in place of a signal.
    if all(((row == row.min()) | (row == row.max())).all() for row in scalp):
        several = any(row.min() != row.max() for row in scalp)
        raise DataProblem(
            where,
            f"{'two values' if several else 'the same value'} in all samples of every EEG channel",
            "a signal",
            "Copy the file from the vendor's archive again.",
        )
    volts = [row for row, channel in zip(block, layout, strict=True) if channel.volts]
    if (largest := max(max(float(row.max()), -float(row.min())) for row in volts)) > LARGEST_UV:
        raise DataProblem(
            where,
            f"a value of {largest:.3g} microvolt",
            f"at most {LARGEST_UV:g}: no amplifier gives more",
            "Copy the file from the vendor's archive again.",
        )
    spread = np.median([_spread(piece) for piece in _pieces(scalp)], axis=0)
    moving = spread[spread > 0]
    typical = float(np.median(moving)) if moving.size else 0.0
    low, high = SPREAD_UV
    if not low <= typical <= high:
        guess = _unit_guess(typical)
        raise DataProblem(
            where,
            f"a typical spread of {typical:.3g}{guess}",
            f"microvolt, a spread of {low:g} to {high:g}",
            "The values are taken as microvolt and never rescaled by guess: restore the vendor's file, "
            "or leave this recording out.",
        )


def _pieces(rows: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    """What the spread is taken from, (channel, sample): the whole, or short pieces of a recording that is long.

    Over an hour the offset of an electrode may drift by millivolts, which says nothing about the unit.
    """
    length = len(rows[0])
    if length <= _PIECES * _PIECE:
        yield np.array(rows, dtype=np.float64)
        return
    for start in np.linspace(0, length - _PIECE, _PIECES).astype(int):
        yield np.array([row[start : start + _PIECE] for row in rows], dtype=np.float64)


def _spread(piece: np.ndarray) -> np.ndarray:
    """(channel,) robust standard deviation about the median, which takes out any offset of the electrode."""
    deviation = np.abs(piece - np.median(piece, axis=1, keepdims=True))
    return 1.4826 * np.median(deviation, axis=1)


def _unit_guess(spread: float) -> str:
    for unit, per_unit in (("volt", 1e6), ("millivolt", 1e3), ("nanovolt", 1e-3)):
        if 2 <= spread * per_unit <= 300:
            return f", as if in {unit}"
    return ""


def join(
    blocks: Iterable[tuple[str, np.ndarray]],
    lengths: Sequence[int],
    layout: Sequence[Channel],
    rate_hz: float,
    line_hz: float,
    *,
    in_place: bool = False,
    check: bool = True,
) -> mne.io.RawArray:
    """Blocks of microvolts, one after the other, as one MNE object in volts.

    Parameters
    ----------
    blocks
        (where, array of shape (channel, sample)) in file order; taken one at a time, so that a generator that reads
        from a file keeps one block in memory. Each is checked with :func:`check_block`.
    lengths
        Samples of each block.
    layout
        The channels, in the order of the rows.
    in_place
        For one block of float64 that nobody needs any more: its memory becomes the object's, so that a recording of a
        gigabyte is in memory once.
    check
        False: the caller has checked what matters. A raw recording of an hour drifts, and may hold anything in a pause.
    """
    import mne

    blocks = list(blocks) if in_place else blocks
    if in_place:
        [(_, joined)] = blocks
        assert joined.dtype == np.float64
    else:
        joined = np.empty((len(layout), sum(lengths)), dtype=np.float64)
    factor = [1e-6 if channel.volts else 1.0 for channel in layout]
    start = 0
    for (where, block), length in zip(blocks, lengths, strict=True):
        if check:
            check_block(block, layout, where)
        if block.shape != (len(layout), length):
            raise ValueError(f"{where}: a block of shape {block.shape} for {len(layout)} channels x {length} samples")
        for row, values, by in zip(joined, block, factor, strict=True):
            np.multiply(values.astype(np.float32), by, out=row[start : start + length], dtype=np.float64)
        start += length
    names, kinds = [channel.name for channel in layout], [channel.kind for channel in layout]
    info = mne.create_info(names, rate_hz, kinds, verbose="error")
    with info._unlock():
        info["line_freq"] = line_hz
    for channel, entry in zip(layout, info["chs"], strict=True):
        if channel.kind == "misc" and channel.volts:  # MNE gives misc channels no unit
            entry["unit"] = mne.io.constants.FIFF.FIFF_UNIT_V
    positions = {channel.name: channels.position(channel.name) for channel in layout if channel.kind == "eeg"}
    raw = mne.io.RawArray(joined, info, copy=None, verbose="error")
    raw.set_montage(mne.channels.make_dig_montage(positions, coord_frame="head"), verbose="error")
    return raw


def boundaries(lengths: Sequence[int], rate_hz: float) -> list[Event]:
    """A boundary at the first sample of every block but the first."""
    return [Event(float(start) / rate_hz, 0.0, "boundary") for start in np.cumsum(lengths)[:-1]]

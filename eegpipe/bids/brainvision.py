"""Write a signal as BrainVision files: one header, one marker file without markers, one block of float32 numbers.

Facts of the format: BrainVision Core Data Format 1.0. Voltages are stored in microvolt with resolution 1, so a value
that is a float32 number of microvolts comes back exactly (the usual resolution of 0.1 would round it twice). The signal
goes through memory piece by piece: writing needs no second copy of a recording, which may be a gigabyte.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from eegpipe.errors import DataProblem

if TYPE_CHECKING:
    import mne

# Samples that are converted at a time; 62 channels of float64 are then 30 MB.
_PIECE = 2**14  # samples of all channels that are converted at a time


def unit_of(channel: dict) -> str:
    """The unit in the file of a channel of ``raw.info["chs"]``: ``µV`` for voltages, else the channel's own."""
    from mne.io.constants import FIFF

    names = {FIFF.FIFF_UNIT_V: "µV", FIFF.FIFF_UNIT_S: "S", FIFF.FIFF_UNIT_CEL: "C"}
    return names.get(channel["unit"], "n/a")


def write(raw: mne.io.BaseRaw, folder: Path, stem: str) -> None:
    """Write ``<stem>.vhdr``, ``<stem>.vmrk`` and ``<stem>.eeg`` into an existing folder.

    Raises
    ------
    DataProblem
        If a value is NaN, infinite or beyond the range of float32.
    """
    units = [unit_of(channel) for channel in raw.info["chs"]]
    scale = np.array([1e6 if unit == "µV" else 1.0 for unit in units])[:, np.newaxis]
    with (folder / f"{stem}.eeg").open("wb") as stream:
        for start in range(0, raw.n_times, _PIECE):
            piece = raw.get_data(start=start, stop=min(start + _PIECE, raw.n_times)) * scale
            with np.errstate(over="ignore"):
                samples = piece.T.astype("<f4", order="C")
            if not np.isfinite(samples).all():
                channel = raw.ch_names[int(np.argwhere(~np.isfinite(samples))[0, 1])]
                raise DataProblem(
                    f"{stem}: channel {channel}",
                    "values that are NaN, infinite or beyond the range of float32",
                    "numbers",
                    "Look at this channel in the file that it was read from.",
                )
            stream.write(samples.data)
    (folder / f"{stem}.vhdr").write_text(_header(raw, stem, units), encoding="utf-8", newline="\n")
    (folder / f"{stem}.vmrk").write_text(_markers(stem), encoding="utf-8", newline="\n")


def _header(raw: mne.io.BaseRaw, stem: str, units: list[str]) -> str:
    lines = [
        "Brain Vision Data Exchange Header File Version 1.0",
        "",
        "[Common Infos]",
        "Codepage=UTF-8",
        f"DataFile={stem}.eeg",
        f"MarkerFile={stem}.vmrk",
        "DataFormat=BINARY",
        "DataOrientation=MULTIPLEXED",
        f"NumberOfChannels={len(units)}",
        "; Sampling interval in microseconds",
        f"SamplingInterval={1e6 / raw.info['sfreq']!r}",
        "",
        "[Binary Infos]",
        "BinaryFormat=IEEE_FLOAT_32",
        "",
        "[Channel Infos]",
        "; Ch<number>=<name>,<reference>,<resolution>,<unit>; a comma in a name is coded as \\1",
    ]
    for number, (name, unit) in enumerate(zip(raw.ch_names, units, strict=True), start=1):
        coded = name.replace(",", "\\1")
        lines.append(f"Ch{number}={coded},,1,{unit}")
    return "\n".join([*lines, ""])


def _markers(stem: str) -> str:
    lines = [
        "Brain Vision Data Exchange Marker File, Version 1.0",
        "",
        "[Common Infos]",
        "Codepage=UTF-8",
        f"DataFile={stem}.eeg",
        "",
        "[Marker Infos]",
        "; The events are in the table beside this file.",
        "",
    ]
    return "\n".join(lines)

"""FACED's continuous recordings (``data.bdf``), which the vendor and the BIDS re-host hand out with the same samples.

Two groups of people were recorded with other channel names and another channel order; two sampling rates occur. All of
it is read by name and asserted per person; recordings come out with the channels in one order.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from eegpipe.datasets.base import Facts
from eegpipe.datasets.faced.clips import VIDEO_S
from eegpipe.datasets.faced.processed import CHANNELS
from eegpipe.datasets.folders import numbers_text
from eegpipe.datasets.formats.edf import EdfHeader, read_header, read_values
from eegpipe.datasets.signal import eeg_channels, join
from eegpipe.errors import DataProblem

if TYPE_CHECKING:
    import mne

_CURE = "Copy the file from the vendor's archive again."

_ORDER_1 = "Fp1 Fp2 Fz F3 F4 F7 F8 FC1 FC2 FC5 FC6 Cz C3 C4 T3 T4 A1 A2 CP1 CP2 CP5 CP6 Pz P3 P4 T5 T6 PO3 PO4 Oz O1 O2"
_ORDER_2 = (
    "Fp1 Fp2 Fz F3 F4 F7 F8 FC1 FC2 FC5 FC6 Cz C3 C4 T7 T8 CP1 CP2 CP5 CP6 Pz P3 P4 P7 P8 PO3 PO4 Oz O1 O2 HEOR HEOL"
)
COHORT_1, COHORT_2 = tuple(_ORDER_1.split()), tuple(_ORDER_2.split())
_LAST_OF_COHORT_1 = 60
# The data set's own code renames the electrodes HEOR and HEOL of the second group to A2 and A1: they are the mastoids.
_NAMES = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8", "HEOR": "A2", "HEOL": "A1"}

_AT_1000_HZ = frozenset({0, 1, 2, 3, 6, 7, *range(61, 123)})
# Seconds of each person's recording, 000 first.
_SECONDS = (
    4881, 4697, 5255, 4724, 5401, 4897, 4822, 4898, 4736, 5136, 5965, 5008, 4664, 4766, 4925, 5212, 5035, 5266,
    5113, 4908, 4926, 5189, 5510, 5777, 4798, 4689, 5068, 4827, 5045, 6193, 4902, 5106, 4807, 5134, 4677, 5490,
    5186, 5267, 4067, 5067, 5369, 4363, 4676, 4124, 4607, 6743, 4817, 4567, 4662, 4667, 4349, 5091, 4481, 4813,
    5113, 4818, 4699, 5010, 4395, 6464, 6457, 4938, 4095, 4225, 4626, 4516, 4423, 3644, 3750, 3958, 4016, 4147,
    4097, 3898, 4021, 4133, 4415, 3735, 3926, 4294, 4065, 3856, 4154, 3908, 4197, 4427, 3468, 4240, 4003, 4222,
    4248, 4149, 4823, 4207, 4068, 4548, 4038, 3592, 3614, 3961, 3614, 3664, 4676, 4009, 3514, 3766, 3570, 4283,
    5131, 4059, 3952, 4652, 4051, 3933, 3854, 4122, 4114, 4181, 3681, 4311, 3527, 3744, 3642,
)  # fmt: skip
_RECORD_S = 1.0
_UV_PER_COUNT = 0.04470348624607839
# The micro sign did not survive in the headers of 33 people.
_MICROVOLT, _MICROVOLT_LOST = ("uV", "µV", "μV"), "?V"
_RECORDS_AT_ONCE = 16

FACTS = Facts(
    subjects=123,
    people=tuple(range(123)),
    sessions=1,
    trials=28,
    rate_hz=1000.0,
    other_rates_hz=(250.0,),
    channels=COHORT_2,
    other_channels=(COHORT_1,),
    trial_s=VIDEO_S,
    # Documented for the first 80 people; taken for the others, who were recorded with the same device.
    reference="CPz",
    line_hz=50.0,
)


def check_header(path: Path, where: str, subject: int, *, simulated: bool) -> EdfHeader:
    """The header of a recording, with everything in it that is known of this person asserted.

    Simulated recordings are shorter; nothing else may differ.
    """
    if path.stat().st_size < 2048 and b"annex/objects" in path.read_bytes():
        cure = "Get its content first, with `git annex get` or `datalad get`."
        raise DataProblem(where, "a pointer of git-annex", "the recording itself", cure)
    header = read_header(path, where)
    labels = COHORT_1 if subject <= _LAST_OF_COHORT_1 else COHORT_2
    if header.labels != labels:
        raise DataProblem(
            f"{where}: channels", _difference(header.labels, labels), f"in order {' '.join(labels)}", _CURE
        )
    rate_hz = 1000 if subject in _AT_1000_HZ else 250
    rates = sorted({header.rate_hz(index) for index in header.signals})
    if header.bytes_per_sample != 3 or header.record_s != _RECORD_S or rates != [rate_hz]:
        words = numbers_text(f"{rate:g}" for rate in rates)
        found = f"{8 * header.bytes_per_sample} bit, records of {header.record_s:g} s, {words} Hz"
        expected = f"24 bit, records of {_RECORD_S:g} s, {rate_hz} Hz for subject {subject:03d}"
        raise DataProblem(f"{where}: header", found, expected, _CURE)
    units = sorted(set(header.units))
    if len(units) != 1 or units[0] not in (*_MICROVOLT, _MICROVOLT_LOST):
        found = f"the units {numbers_text(map(repr, units))}"
        raise DataProblem(f"{where}: unit", found, "'uV', or '?V' where the micro sign was lost", _CURE)
    gains = [header.scale(index)[0] for index in header.signals]
    if not np.allclose(gains, _UV_PER_COUNT, rtol=1e-6, atol=0):
        found = f"{min(gains):.8g} to {max(gains):.8g} microvolt a count"
        raise DataProblem(f"{where}: scale", found, f"{_UV_PER_COUNT:.8g} in all channels", _CURE)
    if not simulated and header.records != _SECONDS[subject]:
        expected = f"{_SECONDS[subject]} s for subject {subject:03d}"
        raise DataProblem(f"{where}: duration", f"{header.records} s", expected, _CURE)
    return header


def read_signal(path: Path, header: EdfHeader, where: str) -> tuple[mne.io.RawArray, list[str]]:
    """The signal with the channels in the order of Processed_data, and what was unusual about the file.

    Reads some seconds at a time: at 1000 Hz a recording is 1.3 GB in the form that MNE needs, and once is enough.
    """
    by_name = {_NAMES.get(label, label): index for index, label in enumerate(header.labels)}
    rows = [by_name[name] for name in CHANNELS]
    rate_hz = round(header.rate_hz(rows[0]))
    signal_uv = np.empty((len(rows), header.records * rate_hz))
    for first in range(0, header.records, _RECORDS_AT_ONCE):
        stop = min(first + _RECORDS_AT_ONCE, header.records)
        signal_uv[:, first * rate_hz : stop * rate_hz] = read_values(path, header, rows, first=first, stop=stop)
    layout, samples = eeg_channels(CHANNELS), signal_uv.shape[1]
    raw = join([(where, signal_uv)], [samples], layout, rate_hz, FACTS.line_hz, in_place=True)
    notes = []
    if header.units[0] == _MICROVOLT_LOST:
        notes.append("The header gives the unit as '?V': a lost micro sign, so the values were read as microvolt.")
    if header.labels == COHORT_2:
        notes.append("The channels HEOR and HEOL were read as the mastoids A2 and A1.")
    return raw, notes


def _difference(found: tuple[str, ...], expected: tuple[str, ...]) -> str:
    if sorted(found) == sorted(expected):
        place = next(index for index, pair in enumerate(zip(found, expected, strict=True)) if pair[0] != pair[1])
        return f"the right names in another order (channel {place + 1} is {found[place]})"
    surplus = [repr(name[:16]) for name in found if name not in expected]
    missing = [name for name in expected if name not in found]
    words = [f"{len(found)} channels"]
    words += [f"with {numbers_text(surplus)}"] if surplus else []
    words += [f"without {numbers_text(missing)}"] if missing else []
    return ", ".join(words)

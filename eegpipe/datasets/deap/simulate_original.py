"""DEAP's ``data_original``: BioSemi recordings of the whole session at 512 Hz, in the order of presentation.

Which site recorded a person decides the order of electrodes and the unit of GSR1; which file it is, the label of the
status channel and what stands in its words above the code.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from eegpipe.datasets.deap.simulate import (
    BASELINE_S,
    BODY,
    RATE_HZ,
    Periphery,
    Session,
    block_key,
    design,
    electrode_pairs,
    session,
    shown,
    write_metadata,
)
from eegpipe.progress import Advance
from eegpipe.recording import RecordingId
from eegpipe.simulate.biosemi import BDF_DIGITAL, Signal, biosemi_signal, biosemi_status, counted, write_edf
from eegpipe.simulate.brain import draw_person
from eegpipe.simulate.continuous import Continuous, Placed, record_continuously
from eegpipe.simulate.plan import Plan
from eegpipe.simulate.record import Amplifier, Block
from eegpipe.simulate.truth import Truth

DESIGN = design(inside_baseline_s=0)
_RAISE = 4  # 512 Hz
_FILE_HZ = _RAISE * RATE_HZ
_PULSE = 64  # samples that a code stands; not known

# As the preprocessed files' note of electrodes gives them: people 1 to 22, and 23 to 32.
_TWENTE = (
    "Fp1", "AF3", "F7", "F3", "FC1", "FC5", "T7", "C3", "CP1", "CP5", "P7", "P3", "Pz", "PO3", "O1", "Oz", "O2",
    "PO4", "P4", "P8", "CP6", "CP2", "C4", "T8", "FC6", "FC2", "F4", "F8", "AF4", "Fp2", "Fz", "Cz",
)  # fmt: skip
_GENEVA = (
    "Fp1", "AF3", "F3", "F7", "FC5", "FC1", "C3", "T7", "CP5", "CP1", "P3", "P7", "PO3", "O1", "Oz", "Pz", "Fp2",
    "AF4", "Fz", "F4", "F8", "FC6", "FC2", "Cz", "C4", "T8", "CP6", "CP2", "P4", "P8", "PO4", "O2",
)  # fmt: skip
_LAST_IN_TWENTE = 22
_LAST_WITH_LABEL, _LAST_WITH_48 = 23, 28  # 23 was recorded in Geneva, with Twente's label and words
_SKIN = (float(BDF_DIGITAL[0]), float(BDF_DIGITAL[1]))  # one count is 1 nS or 1 ohm; not known


def _amplifier(subject: int) -> Amplifier:
    return Amplifier(
        channels=_TWENTE if subject <= _LAST_IN_TWENTE else _GENEVA,
        rate_hz=float(RATE_HZ),
        reference=("C1",),  # where the cap holds CMS
        band_hz=(0.0, 58.0),
        noise_uv=0.8,
        line_uv=3.0,
        drift_uv=20.0,
    )


def write(folder: Path, plan: Plan, truth: Truth, advance: Advance) -> None:
    """Write ``data_original/`` and the table of ratings into ``folder``."""
    files = folder / "data_original"
    files.mkdir()
    write_metadata(folder, plan)
    for subject in plan.people:
        happened = session(plan, subject)
        amplifier = _amplifier(subject)
        baseline = BASELINE_S * RATE_HZ
        placed = [
            Placed(Block(baseline + RATE_HZ * clip.stimulus_s, clip, baseline, key=block_key(clip)), start - baseline)
            for clip, start in zip(happened.order, happened.starts, strict=True)
        ]
        person = draw_person(plan.settings.seed, DESIGN.name, subject)
        recorded = record_continuously(
            amplifier,
            placed,
            happened.samples,
            person,
            1,
            plan,
            raise_by=_RAISE,
            offsets_uv=6000.0,
            noise_uv=0.4,
        )
        eeg = [
            biosemi_signal(name, row, _FILE_HZ, transducer="Active Electrode, pin type")
            for name, row in zip(amplifier.channels, recorded.signal_uv, strict=True)
        ]
        signals = [*eeg, *_beside(recorded, Periphery(plan, person), subject), *_status(happened, subject, plan.traps)]
        write_edf(files / f"s{subject:02d}.bdf", signals, 1.0, kind="BDF")
        rows = [
            shown(plan, subject, clip, _RAISE * start, _FILE_HZ * clip.stimulus_s, trial)
            for trial, (clip, start) in enumerate(zip(happened.order, happened.starts, strict=True), start=1)
        ]
        truth.add(
            RecordingId(f"{subject:02d}"),
            plan,
            rows,
            rate_hz=recorded.rate_hz,
            channels=amplifier.channels,
            signal_uv=np.array([signal.values.astype("<f4") for signal in eeg]),
            clean_uv=recorded.clean_uv,
            artefacts=recorded.artefacts,
            bad_channels=recorded.bad_channels,
        )
        advance()


def _beside(recorded: Continuous, periphery: Periphery, subject: int) -> list[Signal]:
    """EXG1 to Temp."""
    from scipy.signal import resample_poly

    blocks = zip(recorded.blocks, recorded.bodies, strict=True)
    joined = np.concatenate([periphery.channels(body, block.key) for block, body in blocks], axis=1)
    body = dict(zip(BODY, resample_poly(joined, _RAISE, 1, axis=1, padtype="line"), strict=True))
    signals = [
        biosemi_signal(f"EXG{number}", values, _FILE_HZ, transducer="Active Electrode, flat type")
        for number, values in enumerate(electrode_pairs(body), start=1)
    ]
    in_twente = subject <= _LAST_IN_TWENTE
    skin = counted(1e9 / body["GSR"] if in_twente else body["GSR"], _SKIN, BDF_DIGITAL)
    signals.append(Signal("GSR1", "nS" if in_twente else "Ohm", _SKIN, BDF_DIGITAL, _FILE_HZ, skin))
    nothing = np.zeros(joined.shape[1] * _RAISE)
    signals += [biosemi_signal(name, nothing, _FILE_HZ) for name in ("GSR2", "Erg1", "Erg2")]
    return signals + [biosemi_signal(name, body[name], _FILE_HZ) for name in ("Resp", "Plet", "Temp")]


def _status(happened: Session, subject: int, traps: bool) -> list[Signal]:
    """The status channel, the last one; before it, in some files, one that holds nothing."""
    codes = list(happened.codes)
    if traps and subject == 24:  # one end of a video was not sent
        codes.remove([one for one in codes if one[1] == 5][6])
    if traps and subject == 2:  # a code that no document explains
        codes.append((happened.begin + RATE_HZ // 2, 6))
    words = np.zeros(happened.samples * _RAISE, np.int64)
    for at, code in codes:
        words[_RAISE * at : _RAISE * at + _PULSE] = code
    if subject <= _LAST_WITH_LABEL:
        return [biosemi_status(words, _FILE_HZ)]
    words |= 0x18FF00  # the upper byte of the triggers; amplifier in range, and its speed
    words[0] |= 0x010000  # a new epoch
    if traps and subject == 29:
        words[len(words) // 2 :] |= 0x400000  # the battery became low
    unused = [] if subject <= _LAST_WITH_48 else [biosemi_status(np.zeros_like(words), _FILE_HZ, label="")]
    return [*unused, biosemi_status(words, _FILE_HZ, label="")]

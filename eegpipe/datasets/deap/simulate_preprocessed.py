"""DEAP's two preprocessed forms: 128 Hz, 4-45 Hz, 40 trials of 40 channels, as a Python 2 pickle or a MATLAB file.

Every trial holds 3 s of baseline before the clip. Eye artefacts were removed from the 32 EEG channels, the average is
their reference; the 8 other channels were only resampled. Trials are in the order of Experiment_id.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from eegpipe.datasets.deap.simulate import (
    BASELINE_S,
    RATE_HZ,
    RATINGS,
    Periphery,
    block_key,
    design,
    shown,
    write_metadata,
)
from eegpipe.progress import Advance
from eegpipe.recording import RecordingId
from eegpipe.simulate.brain import draw_person
from eegpipe.simulate.containers import write_mat, write_python2_pickle
from eegpipe.simulate.plan import Plan
from eegpipe.simulate.record import Amplifier, Block, record
from eegpipe.simulate.truth import Truth

DESIGN = design(inside_baseline_s=BASELINE_S)

_CHANNELS = (
    "Fp1", "AF3", "F3", "F7", "FC5", "FC1", "C3", "T7", "CP5", "CP1", "P3", "P7", "PO3", "O1", "Oz", "Pz", "Fp2",
    "AF4", "Fz", "F4", "F8", "FC6", "FC2", "Cz", "C4", "T8", "CP6", "CP2", "P4", "P8", "PO4", "O2",
)  # fmt: skip

AMPLIFIER = Amplifier(
    channels=_CHANNELS,
    rate_hz=float(RATE_HZ),
    reference=(),
    band_hz=(4.0, 45.0),
    noise_uv=0.8,
    line_uv=0.6,
    drift_uv=5.0,
    eye_left=0.08,
)


def write_python(folder: Path, plan: Plan, truth: Truth, advance: Advance) -> None:
    """Write ``data_preprocessed_python/``."""
    _write(folder, plan, truth, advance, "data_preprocessed_python", ".dat", write_python2_pickle)


def write_matlab(folder: Path, plan: Plan, truth: Truth, advance: Advance) -> None:
    """Write ``data_preprocessed_matlab/``."""
    _write(folder, plan, truth, advance, "data_preprocessed_matlab", ".mat", write_mat)


def _write(
    folder: Path,
    plan: Plan,
    truth: Truth,
    advance: Advance,
    name: str,
    suffix: str,
    save: Callable[[Path, Mapping[str, np.ndarray]], None],
) -> None:
    # Unpacked with the archive's own folder in a folder of the archive's name; and what people leave in a folder.
    files = folder / name / name if plan.traps else folder / name
    files.mkdir(parents=True)
    if plan.traps:
        (files / "list.txt").write_text(f"s01{suffix}\n", encoding="ascii")
    write_metadata(folder, plan)
    baseline = BASELINE_S * RATE_HZ
    blocks = [Block(baseline + RATE_HZ * clip.stimulus_s, clip, baseline, key=block_key(clip)) for clip in plan.clips]
    for subject in plan.people:
        person = draw_person(plan.settings.seed, DESIGN.name, subject)
        recorded = record(AMPLIFIER, blocks, person, 1, plan)
        periphery = Periphery(plan, person)
        data = np.stack(
            [
                np.concatenate([eeg, periphery.channels(body, block.key)])
                for eeg, body, block in zip(recorded.blocks_uv, recorded.bodies, blocks, strict=True)
            ]
        )
        rows = [
            shown(plan, subject, clip, number * block.samples + baseline, block.samples - baseline, number + 1)
            for number, (clip, block) in enumerate(zip(plan.clips, blocks, strict=True))
        ]
        labels = np.array([[row.ratings[rating] for rating in RATINGS] for row in rows])
        save(files / f"s{subject:02d}{suffix}", {"data": data, "labels": labels})
        truth.add_recorded(RecordingId(f"{subject:02d}"), plan, AMPLIFIER, recorded, rows)
        advance()

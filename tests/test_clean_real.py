"""Real recordings, where they are at hand: strong blinks must go, what others have cleaned must stay as it is.

PhysioNet eegmmidb (Schalk et al. 2004) and eegmat (Zyma et al. 2019), both ODC-By 1.0.
"""

from __future__ import annotations

import os
from pathlib import Path

import mne
import numpy as np
import pytest

from eegpipe import channels
from eegpipe.clean.chain import clean_recording
from eegpipe.clean.settings import CleanSettings
from eegpipe.recording import Event, Recording, RecordingId

REAL = Path(os.environ.get("EEGPIPE_REALDATA", Path(__file__).parents[2] / "shared" / "realdata"))
AUTHORS_FILTERS = {
    "Bandpass": {"low cutoff (Hz)": 0.5, "high cutoff (Hz)": 45.0},
    "ICA": {"method": "by the authors of the data set"},
}


def recording(*names: str, line_hz: float, history=None) -> Recording:
    """EDF files one after the other, with a boundary between them."""
    paths = [REAL / name for name in names]
    if not all(path.is_file() for path in paths):
        pytest.skip(f"needs {', '.join(names)} in $EEGPIPE_REALDATA")
    parts = [mne.io.read_raw_edf(path, preload=True, verbose="error") for path in paths]
    lengths = [part.n_times for part in parts]
    raw = mne.concatenate_raws(parts, verbose="error").set_annotations(None)
    known = {name: channels.canonical(name) for name in raw.ch_names}
    raw.pick([name for name, plain in known.items() if plain and plain not in channels.REFERENCES])
    raw.rename_channels({name: known[name] for name in raw.ch_names})
    positions = {name: channels.position(name) for name in raw.ch_names}
    raw.set_montage(mne.channels.make_dig_montage(positions, coord_frame="head"), verbose="error")
    events = [Event(start / raw.info["sfreq"], 0.0, "boundary") for start in np.cumsum(lengths)[:-1]]
    return Recording(RecordingId("01"), raw, events, "unknown", line_hz, history or {})


@pytest.fixture(scope="module")
def blinking():
    return clean_recording(recording("physionet_eegmmidb/S001R03.edf", line_hz=60.0), CleanSettings())


def test_blinks_go_and_alpha_stays(blinking):
    record = blinking.record
    assert record.iclabel_valid
    assert record.blinks > 20
    assert record.before.blink_uv > 100
    assert abs(record.after.blink_uv) < 0.1 * record.before.blink_uv
    assert record.after.alpha_uv2 == pytest.approx(record.before.alpha_uv2, rel=0.1)
    assert record.after.alpha_peak_hz == pytest.approx(record.before.alpha_peak_hz, abs=0.5)
    assert len(record.removed) < 0.2 * record.rank


def test_mains_go(blinking):
    record = blinking.record
    assert record.before.line_db > 3
    assert record.after.line_db < 0


@pytest.mark.parametrize(("name", "rank"), [("Subject01_1", 17), ("Subject03_1", 18), ("Subject06_2", 18)])
def test_what_its_authors_cleaned_stays(name, rank):
    source = recording(f"physionet_eegmat/{name}.edf", line_hz=50.0, history=AUTHORS_FILTERS)
    record = clean_recording(source, CleanSettings()).record
    assert record.rank == rank
    assert record.converged
    assert not record.iclabel_valid
    assert record.bad_channels == {}
    assert record.removed == []
    assert record.variance_kept == pytest.approx(1, abs=1e-12)

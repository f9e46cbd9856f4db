"""Real recordings, where they are at hand: strong blinks must go, what others have cleaned must stay as it is.

PhysioNet eegmmidb (Schalk et al. 2004) and eegmat (Zyma et al. 2019), both ODC-By 1.0.
"""

from __future__ import annotations

import os
from pathlib import Path

import mne
import numpy as np
import pytest
from scipy.signal import find_peaks

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


RUNS = [("S001R03",), ("S001R03", "S001R04"), ("S001R05", "S001R07"), ("S001R09", "S001R11"), ("S001R12", "S001R14")]


@pytest.fixture(scope="module", params=RUNS, ids="+".join)
def source(request):
    return recording(*[f"physionet_eegmmidb/{name}.edf" for name in request.param], line_hz=60.0)


@pytest.fixture(scope="module")
def blinking(source):
    return clean_recording(source, CleanSettings())


def mean_blink_power(raw: mne.io.BaseRaw, peaks: np.ndarray) -> float:
    """Of the average over blinks, 0.3 s to each side, at Fp1 and Fp2 in average reference, microvolt squared."""
    data_uv = raw.copy().filter(1.0, 20.0, verbose="error").get_data() * 1e6
    frontal = data_uv[[raw.ch_names.index(name) for name in ("Fp1", "Fp2")]] - data_uv.mean(axis=0)
    around = np.arange(-48, 49)
    return float((frontal[:, peaks[:, None] + around].mean(axis=1) ** 2).mean())


def test_blink_power_falls_and_posterior_alpha_does_not(source, blinking):
    raw = source.raw.copy().filter(1.0, 20.0, verbose="error")
    frontal = raw.get_data(["Fp1", "Fp2"]).mean(axis=0) - raw.get_data().mean(axis=0)
    peaks, _ = find_peaks(frontal, height=80e-6, distance=80)
    peaks = peaks[(peaks > 100) & (peaks < len(frontal) - 100)]
    assert len(peaks) > 20
    assert mean_blink_power(blinking.recording.raw, peaks) < 0.1 * mean_blink_power(source.raw, peaks)

    def alpha(cleaned):
        powers = cleaned.compute_psd(fmin=8, fmax=13, picks=["O1", "Oz", "O2", "PO3", "POz", "PO4"], verbose="error")
        return float(np.median(powers.get_data()))

    before = source.raw.copy().set_eeg_reference("average", verbose="error")
    assert alpha(blinking.recording.raw) == pytest.approx(alpha(before), rel=0.1)


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


# Rank as the authors' cleaning left it.
RANKS = {
    **{"Subject00_1": 16, "Subject00_2": 16, "Subject01_1": 17, "Subject01_2": 17, "Subject04_1": 17},
    **{f"Subject{name}": 18 for name in ("02_1", "02_2", "03_1", "03_2", "04_2", "06_1", "06_2", "14_1", "14_2")},
    **{"Subject31_1": 18, "Subject31_2": 18},
}


@pytest.mark.parametrize("name", RANKS)
def test_what_its_authors_cleaned_stays(name):
    source = recording(f"physionet_eegmat/{name}.edf", line_hz=50.0, history=AUTHORS_FILTERS)
    record = clean_recording(source, CleanSettings()).record
    assert record.rank == RANKS[name]
    assert record.converged
    assert not record.iclabel_valid
    # In one recording Fz and F4, 7 cm apart, differ by a fiftieth of what neighbours usually do.
    assert set(record.bad_channels) == ({"Fz", "F4"} if name.startswith("Subject00") else set())
    assert record.removed == []
    assert record.variance_kept == pytest.approx(1, abs=1e-12)
    assert record.after.alpha_uv2 == pytest.approx(record.before.alpha_uv2, rel=0.03)

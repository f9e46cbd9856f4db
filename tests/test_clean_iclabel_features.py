"""ICLabel's features against three witnesses: EEGLAB's own results, mne-icalabel, and signals whose answer is known.

EEGLAB's results are the test data of mne-icalabel (BSD-3-Clause), made in MATLAB from EEGLAB's sample recording.
"""

from __future__ import annotations

import warnings
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import mne
import numpy as np
import pytest
from mne.preprocessing import ICA
from mne_icalabel.iclabel import get_iclabel_features
from scipy import signal
from scipy.io import loadmat

from eegpipe import channels
from eegpipe.clean import iclabel_features as features
from eegpipe.clean.iclabel import _network
from eegpipe.errors import DataProblem, UsageProblem

# fmt: off
NAMES_62 = (
    "Fp1", "Fpz", "Fp2", "AF3", "AF4", "F7", "F5", "F3", "F1", "Fz", "F2", "F4", "F6", "F8", "FT7", "FC5", "FC3", "FC1",
    "FCz", "FC2", "FC4", "FC6", "FT8", "T7", "C5", "C3", "C1", "Cz", "C2", "C4", "C6", "T8", "TP7", "CP5", "CP3", "CP1",
    "CPz", "CP2", "CP4", "CP6", "TP8", "P7", "P5", "P3", "P1", "Pz", "P2", "P4", "P6", "P8", "PO7", "PO5", "PO3", "POz",
    "PO4", "PO6", "PO8", "O1", "Oz", "O2", "TP9", "TP10",
)
# fmt: on


def made(count: int, rate_hz: float, samples: int, seed: int = 0) -> tuple[mne.io.RawArray, ICA]:
    """Mixed sources with slopes and rhythms like those of EEG, and an ICA that has only begun."""
    rng = np.random.default_rng(seed)
    names = sorted(rng.permutation(NAMES_62)[:count])
    noise = rng.laplace(size=(count, samples))
    noise[::3] = signal.lfilter([1.0], [1.0, -0.95], noise[::3], axis=1)
    noise[1] += 4 * np.sin(2 * np.pi * 10 * np.arange(samples) / rate_hz)
    if rate_hz > 101:  # a notch, which ICLabel levels
        noise = signal.filtfilt(*signal.iirnotch(50, 40, fs=rate_hz), noise, axis=1)
    data = rng.normal(size=(count, count)) @ noise * 1e-5
    raw = mne.io.RawArray(data, mne.create_info(names, rate_hz, "eeg"), verbose="error")
    positions = {name: channels.position(name) for name in names}
    raw.set_montage(mne.channels.make_dig_montage(positions, coord_frame="head"), verbose="error")
    raw.set_eeg_reference("average", verbose="error")
    fit_params = {"ortho": False, "extended": True}
    ica = ICA(count - 1, method="picard", fit_params=fit_params, max_iter=2, random_state=0, verbose="error")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ica.fit(raw, verbose="error")
    return raw, ica


def parts(raw: mne.io.BaseRaw, ica: ICA) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights, positions and sources as the functions take them."""
    unmixing = ica.unmixing_matrix_ @ ica.pca_components_[: ica.n_components_]
    positions_m = np.array([channel["loc"][:3] for channel in raw.info["chs"]])
    return np.linalg.pinv(unmixing), positions_m, unmixing @ (raw.get_data() * 1e6)


@pytest.mark.parametrize(
    ("count", "rate_hz", "samples"),
    [
        (62, 200.0, 4_000),
        (14, 128.0, 7_777),
        (32, 125.0, 2_600),  # windows of an odd number of samples
        (20, 160.0, 1_280),
        (16, 128.5, 2_000),  # a rate that is no whole number
        (30, 250.0, 925),  # shorter than 5 s
        (24, 200.0, 1_000),  # 5 s exactly
        (24, 200.0, 1_001),
        (19, 500.0, 3_000),
        (15, 128.0, 115),  # shorter than one window
    ],
)
def test_equal_to_mne_icalabel(count, rate_hz, samples):
    raw, ica = made(count, rate_hz, samples)
    with warnings.catch_warnings(), mne.use_log_level("ERROR"):
        warnings.simplefilter("ignore")
        expected = [feature.squeeze(-2) for feature in get_iclabel_features(raw, ica)]
    weights, positions_m, sources = parts(raw, ica)
    np.testing.assert_allclose(
        features.topographies(weights, positions_m), expected[0].transpose(2, 0, 1), atol=1e-6, rtol=0
    )
    for dtype in (np.float64, np.float32):
        given = sources.astype(dtype)
        np.testing.assert_allclose(features.spectra(given, rate_hz), expected[1][0].T, atol=2e-6, rtol=0)
        np.testing.assert_allclose(features.autocorrelations(given, rate_hz), expected[2][0].T, atol=1e-6, rtol=0)


@pytest.fixture(scope="module")
def golden(realdata) -> Path:
    folder = realdata / "iclabel_golden"
    if not folder.is_dir():
        pytest.skip("no iclabel_golden/ among the real recordings")
    return folder


def eeglab(golden: Path, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Weights, positions, sources (as EEGLAB computes them), rate of one of its files."""
    saved = SimpleNamespace(**loadmat(golden / "datasets" / name, squeeze_me=True, struct_as_record=False))
    # EEGLAB's x goes to the nose, its y to the left.
    positions_m = np.array([(-place.Y, place.X, place.Z) for place in saved.chanlocs]) * 0.095
    return saved.icawinv, positions_m, saved.icaweights @ saved.icasphere @ saved.data, float(saved.srate)


def test_features_of_eeglab(golden):
    weights, positions_m, sources, rate_hz = eeglab(golden, "sample-raw.set")
    saved = loadmat(golden / "features" / "features-raw.mat")["features"][0]
    maps, spectra, lags = (np.moveaxis(feature, -1, 0) for feature in saved)
    np.testing.assert_allclose(features.topographies(weights, positions_m), maps[..., 0], atol=1e-5)
    np.testing.assert_allclose(features.spectra(sources, rate_hz), spectra[:, 0, :, 0], atol=1e-5)
    np.testing.assert_allclose(features.autocorrelations(sources, rate_hz), lags[:, 0, :, 0], atol=1e-5)


@pytest.mark.parametrize("length", ["short", "very-short"])
def test_short_recordings_of_eeglab(golden, length):
    _, _, sources, rate_hz = eeglab(golden, f"sample-{length}-raw.set")
    expected = loadmat(golden / "autocorr" / f"autocorr-{length}-raw.mat")["autocorr"][0, :, 0].T
    np.testing.assert_allclose(features.autocorrelations(sources, rate_hz), 0.99 * expected, atol=1e-5)


def test_probabilities_of_eeglab(golden):
    inputs = features.network_input(*eeglab(golden, "sample-raw.set"))
    found = _network().run(None, inputs)[0]
    np.testing.assert_allclose(found, loadmat(golden / "iclabel-output-raw.mat")["labels"], atol=1e-4)


def test_network_input_of_eeglab(golden):
    inputs = features.network_input(*eeglab(golden, "sample-raw.set"))
    saved = loadmat(golden / "features" / "features-formatted-raw.mat")["features"][0]
    for name, expected in zip(("topo", "psds", "autocorr"), saved, strict=True):
        assert inputs[name].dtype == np.float32
        np.testing.assert_allclose(inputs[name], expected.transpose(3, 2, 0, 1), atol=1e-5)


def test_map_has_its_maximum_at_the_electrode():
    positions_m = np.array([channels.position(name) for name in NAMES_62])
    maps = features.topographies(np.eye(62), positions_m)
    rows, columns = np.divmod(maps.reshape(62, -1).argmax(axis=1), 32)
    place = dict(zip(NAMES_62, zip(rows, columns, strict=True), strict=True))
    assert place["Fz"][0] > place["Cz"][0] > place["Pz"][0]
    assert place["C3"][1] < place["Cz"][1] < place["C4"][1]
    assert place["Fz"][1] in (15, 16)
    corners = maps[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert not corners.any()
    # A map is linear in the weights, but for its scale.
    mixed = features.topographies(np.ones((62, 1)), positions_m)[0]
    assert mixed[14:18, 14:18].min() > 0.9 * mixed.max()


def test_electrodes_at_one_place_count_as_their_mean():
    positions_m = np.array([channels.position(name) for name in NAMES_62[:20]])
    weights = np.random.default_rng(3).normal(size=(20, 4))
    twice = np.concatenate([positions_m, positions_m[7:8] + 1e-8])  # equal but for rounding
    apart = np.concatenate([weights, weights[7:8] - 0.5])
    apart[7] += 0.5
    np.testing.assert_allclose(
        features.topographies(apart, twice), features.topographies(weights, positions_m), atol=1e-5
    )


def test_a_rhythm_has_the_spectrum_and_autocorrelation_of_a_rhythm():
    rate_hz = 200.0
    time_s = np.arange(round(30 * rate_hz)) / rate_hz
    rhythm = np.sin(2 * np.pi * 20 * time_s) + 1e-3 * np.random.default_rng(0).normal(size=len(time_s))
    assert features.spectra(100 * rhythm[np.newaxis], rate_hz)[0].argmax() + 1 == 20
    expected = np.cos(2 * np.pi * 20 * np.arange(1, 101) / 100)
    inner = slice(5, 90)  # the resampling filter rings at both ends
    np.testing.assert_allclose(
        features.autocorrelations(rhythm[np.newaxis], rate_hz)[0, inner] / 0.99, expected[inner], atol=0.03
    )


def test_no_window_leaves_a_block():
    rate_hz = 125.0
    rng = np.random.default_rng(1)
    sources = np.cumsum(rng.normal(size=(3, 6_000)), axis=1)
    blocks = [(10, 1_400), (1_500, 3_333), (3_333, 3_433), (3_500, 5_990)]
    spoiled = np.full_like(sources, np.nan)
    for first, end in blocks:
        spoiled[:, first:end] = sources[:, first:end]
    spectra = features.spectra(spoiled, rate_hz, blocks)
    lags = features.autocorrelations(spoiled, rate_hz, blocks)

    length = 125
    starts = [
        first + -(-half * length // 2)
        for first, end in blocks
        for half in range(max(0, 2 * ((end - first) // length) - 1))
    ]
    windows = np.stack([sources[:, start : start + length] for start in starts], axis=1)
    power = np.median(np.abs(np.fft.fft(windows * np.hamming(length))) ** 2, axis=1)[:, 1:63]
    power *= 2 / (rate_hz * np.sum(np.hamming(length) ** 2))
    power[:, -1] /= 2
    level = np.pad(20 * np.log10(power), ((0, 0), (0, 38)), mode="edge")
    np.testing.assert_allclose(spectra, 0.99 * level / np.abs(level).max(axis=1, keepdims=True), atol=1e-5)

    length = 375
    starts = [
        first + -(-half * length // 2)
        for first, end in blocks
        for half in range(max(0, 2 * ((end - first) // length) - 1))
    ]
    products = [
        [
            sum(x[start : start + length - lag] @ x[start + lag : start + length] for start in starts)
            for lag in range(126)
        ]
        for x in sources
    ]
    ratio = np.array(products) / np.array(products)[:, :1] * length / (length - np.arange(126))
    np.testing.assert_allclose(lags, 0.99 * signal.resample_poly(ratio, 100, 125, axis=1)[:, 1:], atol=1e-5)


def test_pieces_are_spread_and_stay_inside_blocks():
    rate_hz = 200.0
    blocks = [(0, 61_000), (61_000, 62_000), (70_000, 300_000), (300_000, 684_000)]
    for most_s in (12, 60, 123.4, 600, 1_800):
        found = features.pieces(blocks, rate_hz, most_s)
        assert all(any(first <= start < stop <= end for first, end in blocks) for start, stop in found)
        assert all(before[1] <= after[0] for before, after in pairwise(found))
        total_s = sum(stop - start for start, stop in found) / rate_hz
        assert most_s - 2 * features.PIECE_S < total_s <= most_s
    spread = np.histogram([start for start, _ in features.pieces([(0, 684_000)], rate_hz, 600)], 10, (0, 684_000))[0]
    assert spread.min() >= 4
    assert features.pieces(blocks, rate_hz, None) == blocks
    assert features.pieces(blocks, rate_hz, 3_600) == blocks
    with pytest.raises(UsageProblem, match="at least 12 s"):
        features.pieces(blocks, rate_hz, 5)


def test_pieces_of_a_steady_signal_are_as_good_as_all_of_it():
    rate_hz = 128.0
    noise = np.random.default_rng(2).normal(size=(5, round(900 * rate_hz)))
    sources = 1_000 * signal.lfilter([1.0], [1.0, -0.9], noise, axis=1)
    part = features.pieces([(0, sources.shape[1])], rate_hz, 300)
    np.testing.assert_allclose(
        features.spectra(sources, rate_hz, part), features.spectra(sources, rate_hz), atol=0.03, rtol=0
    )
    np.testing.assert_allclose(
        features.autocorrelations(sources, rate_hz, part), features.autocorrelations(sources, rate_hz), atol=0.03
    )


def test_network_input_has_four_views_and_spectra_of_pieces():
    rate_hz = 128.0
    rng = np.random.default_rng(8)
    sources = np.cumsum(rng.normal(size=(3, round(100 * rate_hz))), axis=1)
    positions_m = np.array([channels.position(name) for name in NAMES_62[:10]])
    weights = rng.normal(size=(10, 3))
    blocks = [(0, 6_000), (6_000, sources.shape[1])]
    inputs = features.network_input(weights, positions_m, sources, rate_hz, blocks, most_s=40)
    part = features.pieces(blocks, rate_hz, 40)
    assert len(part) == 3
    np.testing.assert_array_equal(inputs["psds"][3:6, 0, 0], features.spectra(sources, rate_hz, part))
    assert (inputs["psds"][:3, 0, 0] != features.spectra(sources, rate_hz, blocks)).any()
    np.testing.assert_array_equal(inputs["autocorr"][9:, 0, 0], features.autocorrelations(sources, rate_hz, blocks))
    maps = inputs["topo"][:, 0]
    np.testing.assert_array_equal(maps[:3], features.topographies(weights, positions_m))
    np.testing.assert_array_equal(maps[3:6], -maps[:3])
    # Columns run from left to right, so this exchanges the sides and leaves the nose where it is.
    np.testing.assert_array_equal(maps[6:], maps[:6, :, ::-1])


def test_below_100_hz_there_are_still_100_values():
    sources = np.random.default_rng(4).normal(size=(2, 64 * 30))
    assert features.spectra(sources, 64.0).shape == (2, 100)
    assert features.autocorrelations(sources, 64.0).shape == (2, 100)


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_a_silent_or_broken_source_is_refused(value):
    sources = np.random.default_rng(5).normal(size=(3, 4_000))
    sources[1] = value
    for measure in (features.spectra, features.autocorrelations):
        with pytest.raises(DataProblem, match="component 1: found no activity"):
            measure(sources, 200.0)
    weights = np.ones((20, 2))
    weights[:, 1] = value
    with pytest.raises(DataProblem, match="component 1: found a scalp map"):
        features.topographies(weights, np.array([channels.position(name) for name in NAMES_62[:20]]))


def test_what_cannot_be_measured_is_refused():
    sources = np.random.default_rng(6).normal(size=(2, 1_000))
    with pytest.raises(UsageProblem, match="more than 100 samples"):
        features.spectra(sources[:, :80], 200.0)
    with pytest.raises(UsageProblem, match="leaves the 1000 samples"):
        features.spectra(sources, 200.0, [(0, 1_001)])
    with pytest.raises(UsageProblem, match="no samples"):
        features.autocorrelations(sources, 200.0, [])
    with pytest.raises(UsageProblem, match="3 components, but 2 sources"):
        features.network_input(np.ones((4, 3)), np.ones((4, 3)), sources, 200.0)

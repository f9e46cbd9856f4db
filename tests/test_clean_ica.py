import dataclasses
import warnings

import mne
import numpy as np
import pytest

from eegpipe.clean import iclabel, quality
from eegpipe.clean.ica import choose, covariance, fit, rank, remove, sources
from eegpipe.clean.infomax import extended_infomax
from eegpipe.clean.settings import CleanSettings, IcaSettings, IclabelSettings
from eegpipe.errors import UsageProblem

from clean_synthetic import planted

SETTINGS = IcaSettings()
RATE_HZ = 200.0


@pytest.fixture(scope="module")
def prepared():
    """Average-referenced signal above 1 Hz of 32 channels as (channel, sample), microvolt, and the MNE object."""
    raw = planted(duration_s=40.0).recording.raw.copy()
    raw.filter(1.0, None, verbose="error").set_eeg_reference("average", verbose="error")
    return raw.get_data() * 1e6, raw


@pytest.fixture(scope="module")
def decomposition(prepared):
    data_uv, _ = prepared
    found = fit(data_uv, np.arange(data_uv.shape[1]), 31, SETTINGS)
    assert found.converged
    return found


def white(data: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(np.cov(data))
    values, vectors = values[values > 1e-6 * values[-1]], vectors[:, values > 1e-6 * values[-1]]
    return ((vectors / np.sqrt(values)).T @ (data - data.mean(axis=1, keepdims=True))).astype(np.float32)


@pytest.mark.parametrize("lost", [0, 1, 3])
def test_rank_counts_real_dimensions(lost):
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(16, 16 - lost))
    data = mixing @ rng.laplace(size=(16 - lost, 5000)) * 10
    data[:, :50] += 1e4 * rng.normal(size=(16, 1)) if not lost else 0  # a glitch hides nothing
    data = np.round(data / 0.01) * 0.01  # an amplifier's steps add a little of everything
    data -= data.mean(axis=0)
    assert rank(covariance(data, np.arange(5000)), SETTINGS.rank_ratio) == 16 - max(lost, 1)


def test_rank_of_nothing_is_zero():
    assert rank(np.zeros((5, 5)), SETTINGS.rank_ratio) == 0


def test_samples_are_spared_only_where_there_are_enough():
    settings = dataclasses.replace(SETTINGS, samples_per_weight=10, samples_at_least=3000)
    few, many = np.arange(500), np.arange(1000, 9000)
    assert np.array_equal(choose(few, 20, settings), few)
    chosen = choose(many, 20, settings)
    assert (len(chosen), chosen[0], chosen[-1]) == (4000, 1000, 8999)
    assert set(np.diff(chosen)) == {2, 3} or set(np.diff(chosen)) == {1, 2, 3}
    assert len(choose(many, 10, settings)) == 3000  # more than the 1000 that ten for each weight would be


def test_last_steps_bring_the_solution_of_a_part_close_to_that_of_all():
    rng = np.random.default_rng(4)
    data_uv = (rng.normal(size=(10, 10)) @ rng.laplace(size=(10, 60000))).astype(np.float32)
    data_uv -= data_uv.mean(axis=0)
    keep = np.arange(100, 59900)
    few = dataclasses.replace(SETTINGS, samples_per_weight=30, samples_at_least=0, last_steps=0)

    def distance(settings):
        """From independence on the samples that all are to learn from: the largest relative gradient."""
        found = fit(data_uv, keep, 9, settings)
        sources = found.unmixing @ data_uv[:, keep]
        sources /= sources.std(axis=1, keepdims=True)
        gradient = np.tanh(sources) @ sources.T / len(keep)
        return np.abs(gradient - np.diag(np.diag(gradient))).max()

    part, refined = distance(few), distance(dataclasses.replace(few, last_steps=3))
    whole = distance(dataclasses.replace(few, samples_at_least=len(keep)))
    assert max(whole, refined) < part / 3, (whole, refined, part)


def test_threads_change_nothing_in_the_last_steps():
    rng = np.random.default_rng(5)
    data_uv = (rng.normal(size=(8, 8)) @ rng.laplace(size=(8, 30000))).astype(np.float32)
    settings = dataclasses.replace(SETTINGS, samples_per_weight=30, samples_at_least=0)
    one, two = (fit(data_uv, np.arange(30000), 8, settings, threads=threads) for threads in (1, 2))
    assert np.array_equal(one.unmixing, two.unmixing)


def test_separates_peaked_and_flat_sources():
    rng = np.random.default_rng(3)
    truth = np.vstack([rng.laplace(size=(4, 20000)), rng.uniform(-1.7, 1.7, size=(3, 20000))])
    mixing = rng.normal(size=(7, 7))
    data = white(mixing @ truth)
    solution = extended_infomax(data, tolerance=1e-4, most_iterations=200, random_state=0)
    assert solution.converged
    assert solution.peaked.sum() == 4
    correlation = np.abs(np.corrcoef(np.vstack([solution.weights @ data, truth]))[:7, 7:])
    assert (correlation.max(axis=1) > 0.99).all()
    assert sorted(correlation.argmax(axis=1)) == list(range(7))


def test_climbs_as_high_as_the_well_known_implementation(prepared):
    """The same likelihood as Picard's with ortho=False, extended=True: where both have converged it is as high."""
    from picard import picard

    data = white(prepared[0])  # one dimension fewer: the reference took it
    ours = extended_infomax(data, tolerance=1e-4, most_iterations=500, random_state=1)
    _, weights, _ = picard(
        data.astype(np.float64), ortho=False, extended=True, whiten=False, tol=1e-5, max_iter=1000, random_state=1
    )

    def loss(matrix):
        y = matrix @ data
        tanh = np.tanh(y)
        signs = np.sign((1 - tanh**2).mean(axis=1) * (y**2).mean(axis=1) - (tanh * y).mean(axis=1))
        cosh = np.abs(y) + np.log1p(np.exp(-2 * np.abs(y))) - np.log(2)
        return signs @ cosh.mean(axis=1) + (y**2).mean(axis=1).sum() / 2 - np.linalg.slogdet(matrix)[1]

    assert ours.converged
    assert ours.loss == pytest.approx(loss(ours.weights), abs=1e-3)
    assert loss(ours.weights) < loss(weights) + 1e-3


def test_finds_the_planted_blinks(prepared, decomposition):
    blinks = mne.filter.filter_data(planted(duration_s=40.0).blinks_uv[0], RATE_HZ, 1.0, None, verbose="error")
    correlations = [abs(np.corrcoef(blinks, source)[0, 1]) for source in sources(decomposition, prepared[0])]
    assert max(correlations) > 0.97
    assert sorted(correlations)[-2] < 0.3


def test_a_decomposition_is_a_change_of_coordinates(prepared, decomposition):
    data_uv, _ = prepared
    found = sources(decomposition, data_uv)
    np.testing.assert_allclose(found.std(axis=1), 1, atol=0.01)
    np.testing.assert_allclose(decomposition.topographies_uv @ found, data_uv, atol=2e-2)
    peaks = np.abs(decomposition.topographies_uv).argmax(axis=0)
    assert (decomposition.topographies_uv[peaks, np.arange(31)] > 0).all()
    assert (np.diff((decomposition.topographies_uv**2).sum(axis=0)) <= 0).all()
    copy = data_uv.copy()
    remove(decomposition, [0, 3], copy)
    rest = np.delete(decomposition.topographies_uv, [0, 3], axis=1) @ np.delete(found, [0, 3], axis=0)
    np.testing.assert_allclose(copy, rest, atol=2e-2)


@pytest.mark.parametrize("threads", [2, 5])
def test_threads_change_no_byte(prepared, decomposition, threads):
    data_uv, _ = prepared
    again = fit(data_uv, np.arange(data_uv.shape[1]), 31, SETTINGS, threads=threads)
    assert again.unmixing.tobytes() == decomposition.unmixing.tobytes()


def judged(data_uv, decomposition, positions_m, band_hz, most_s=None):
    blocks = [(0, data_uv.shape[1])]
    return iclabel.probabilities(decomposition, positions_m, data_uv, blocks, RATE_HZ, band_hz, most_s)


def test_conditions_are_asserted(prepared, decomposition):
    data_uv, raw = prepared
    band_hz = (1.0, 95.0)
    positions_m = np.array([channel["loc"][:3] for channel in raw.info["chs"]])
    assert iclabel.broken_conditions(decomposition, positions_m, data_uv, RATE_HZ, band_hz) == []
    with pytest.raises(UsageProblem, match="average reference is not applied"):
        judged(data_uv + 10 * np.sin(np.arange(data_uv.shape[1])), decomposition, positions_m, band_hz)
    with pytest.raises(UsageProblem, match=r"the band must be 1-90 Hz, not 0\.1-95 Hz"):
        judged(data_uv, decomposition, positions_m, (0.1, 95.0))
    with pytest.raises(UsageProblem, match="the band must be"):
        judged(data_uv, decomposition, positions_m, (1.0, 45.0))
    unplaced = positions_m.copy()
    unplaced[3] = np.nan
    with pytest.raises(UsageProblem, match="position"):
        judged(data_uv, decomposition, unplaced, band_hz)
    with pytest.raises(UsageProblem, match="exactly the good EEG channels"):
        judged(data_uv, decomposition, positions_m[1:], band_hz)


def as_mne(decomposition, raw) -> mne.preprocessing.ICA:
    """The same decomposition as the library reads it from an object of MNE, sources in EEGLAB's unit."""
    count = decomposition.unmixing.shape[0]
    ica = mne.preprocessing.ICA(count, method="infomax", fit_params={"extended": True}, max_iter=1, verbose="error")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ica.fit(raw, verbose="error")
    scale_uv = np.sqrt((decomposition.topographies_uv**2).mean(axis=0))
    ica.unmixing_matrix_ = (decomposition.unmixing * scale_uv[:, None]) @ ica.pca_components_[:count].T
    ica.mixing_matrix_ = np.linalg.pinv(ica.unmixing_matrix_)
    return ica


def test_label_is_the_librarys_own(prepared, decomposition):
    from mne_icalabel.iclabel import iclabel_label_components

    data_uv, raw = prepared
    positions_m = np.array([channel["loc"][:3] for channel in raw.info["chs"]])
    ours = judged(data_uv, decomposition, positions_m, (1.0, 95.0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it asks for exactly 100 Hz
        theirs = iclabel_label_components(raw, as_mne(decomposition, raw), inplace=False, backend="onnx")
    np.testing.assert_allclose(ours, theirs, atol=1e-3)
    np.testing.assert_allclose(ours.sum(axis=1), 1, atol=1e-5)


def test_conditions_that_the_data_decide():
    settings = IclabelSettings()

    def reasons(data_hz=(0.0, 100.0), channels=62, history=()):
        return "; ".join(iclabel.conditions((1.0, 95.0), data_hz, channels, history, settings).reasons)

    assert reasons() == ""
    assert reasons(data_hz=(0.0, 75.0)) == ""
    assert "ends at 45 Hz" in reasons(data_hz=(4.0, 45.0))
    assert "begins at 4.0 Hz" in reasons(data_hz=(4.0, 45.0))
    assert "14 EEG channels" in reasons(channels=14)
    assert "already removed components" in reasons(history=("Bandpass", "ICA"))
    assert iclabel.conditions((1.0, 95.0), (0.5, 45.0), 62, ("ICA",), settings).treated
    assert iclabel.conditions((1.0, 60.8), (0.3, 64.0), 32, (), settings).band_hz == (1.0, 60.8)


def reason(valid=True, blink_share=0.0, slope=-2.0, treated=False, settings=None, **probabilities):
    row = np.array([probabilities.get(name, 0.0) for name in iclabel.CLASSES])
    held = iclabel.Conditions((1.0, 100.0), () if valid else ("some reason",), treated)
    return iclabel.removal(row, blink_share, slope, held, settings or IclabelSettings())


def test_removal_follows_thresholds_and_trust():
    assert reason(eye=0.81) == "eye 0.81"
    assert reason(muscle=0.8) == "muscle 0.80"
    assert reason(eye=0.79) is None
    assert reason(heart=0.99) is None  # threshold 1: never
    assert reason(brain=0.99) is None
    # Outside the conditions a muscle needs a broad spectrum, which data that end too low (NaN) cannot show.
    assert reason(valid=False, muscle=0.99) is None
    assert reason(valid=False, muscle=0.99, slope=np.nan) is None
    assert reason(valid=False, muscle=0.84, slope=0.0) is None
    assert reason(valid=False, muscle=0.86, slope=-1.1) == "muscle 0.86"
    assert reason(valid=False, treated=True, muscle=0.99, slope=0.0) is None
    assert reason(valid=False, eye=0.9) is None
    assert reason(valid=False, eye=0.96) == "eye 0.96"
    assert reason(valid=False, eye=0.6, blink_share=0.8) == "eye 0.60 and 80% of the blinks"
    assert reason(eye=0.6, blink_share=0.8) == "eye 0.60 and 80% of the blinks"
    assert reason(eye=0.6, blink_share=0.2) is None
    assert reason(valid=False, eye=0.1, blink_share=0.7) is None
    assert reason(valid=False, eye=0.1, blink_share=0.9) == "90% of the blinks"
    assert reason(eye=0.1, blink_share=0.9) is None
    # What the vendor has already looked at loses components for blinks that are still there, not for their looks.
    assert reason(valid=False, treated=True, eye=0.99) is None
    assert reason(valid=False, treated=True, eye=0.6, blink_share=0.8) == "eye 0.60 and 80% of the blinks"


def test_presets_remove_what_the_papers_say():
    def preset(name):
        return CleanSettings(preset=name).resolved().iclabel

    # mdJPT, set "Def": muscle or eye from 0.8, whatever ICLabel was made for; blinks are no witness.
    assert reason(valid=False, settings=preset("mdjpt"), muscle=0.8) == "muscle 0.80"
    assert reason(valid=False, settings=preset("mdjpt"), eye=0.79, blink_share=1.0) is None
    # EMOD: what carries the blinks, and nothing else.
    assert reason(settings=preset("emod"), eye=0.99, blink_share=0.1) is None
    assert reason(settings=preset("emod"), brain=0.9, blink_share=0.4) == "eye 0.00 and 40% of the blinks"
    assert reason(settings=preset("emod"), muscle=0.99) is None
    # ART: only brain stays.
    assert reason(settings=preset("art"), brain=0.4, other=0.3) is None
    assert reason(settings=preset("art"), brain=0.3, other=0.4) == "other 0.40"
    assert CleanSettings(preset="art").resolved().filters.band_hz == (1.0, 49.0)
    assert CleanSettings().resolved() == CleanSettings()


def test_slopes_tell_a_broad_spectrum_from_a_rhythm():
    frequencies_hz = np.arange(0, 64.5, 0.5)
    safe_hz = np.maximum(frequencies_hz, 0.5)
    rhythm = np.exp(-0.5 * ((frequencies_hz - 28) / 3) ** 2) + 1e-3
    line = np.where(np.abs(frequencies_hz - 50) < 2, 1e4, 1.0)
    power = np.array([safe_hz**-2, np.ones_like(safe_hz), rhythm, safe_hz**-0.7 * line])
    found = quality.slopes(frequencies_hz, power, 64.0, 50.0)
    np.testing.assert_allclose(found[[0, 1, 3]], [-2.0, 0.0, -0.7], atol=1e-9)
    assert found[2] < -4
    assert np.isnan(quality.slopes(frequencies_hz, power, 44.0, 50.0)).all()
    assert np.isfinite(quality.slopes(frequencies_hz, power, 45.0, 50.0)).all()

import warnings

import mne
import numpy as np
import pytest

from eegpipe.clean import iclabel
from eegpipe.clean.ica import fit, rank, step
from eegpipe.clean.settings import IcaSettings, IclabelSettings
from eegpipe.errors import UsageProblem

from clean_synthetic import planted

SETTINGS = IcaSettings()


@pytest.fixture(scope="module")
def prepared():
    raw = planted(duration_s=40.0).recording.raw.copy()
    raw.filter(1.0, None, verbose="error").set_eeg_reference("average", verbose="error")
    ica, samples, converged = fit(raw, np.arange(raw.n_times), 31, SETTINGS)
    assert converged
    assert samples == 8000 // step(8000, 31, 200.0, SETTINGS)
    return raw, ica


@pytest.mark.parametrize("lost", [0, 1, 3])
def test_rank_counts_real_dimensions(lost):
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(16, 16 - lost))
    data = mixing @ rng.laplace(size=(16 - lost, 5000)) * 10
    data[:, :50] += 1e4 * rng.normal(size=(16, 1)) if not lost else 0  # a glitch hides nothing
    data = np.round(data / 0.01) * 0.01  # an amplifier's steps add a little of everything
    data -= data.mean(axis=0)
    assert rank(data, SETTINGS.rank_ratio) == 16 - max(lost, 1)


def test_rank_of_nothing_is_zero():
    assert rank(np.zeros((5, 100)), SETTINGS.rank_ratio) == 0


def test_step_spares_samples_only_where_there_are_enough():
    assert step(48000, 61, 200.0, SETTINGS) == 2
    assert step(30000, 61, 200.0, SETTINGS) == 1
    assert step(10**6, 13, 128.0, SETTINGS) == 1  # never below 100 Hz
    assert step(10**6, 13, 500.0, SETTINGS) == 5


def test_finds_the_planted_blinks(prepared):
    raw, ica = prepared
    blinks = mne.filter.filter_data(planted(duration_s=40.0).blinks_uv[0], 200.0, 1.0, None, verbose="error")
    sources = ica.get_sources(raw).get_data()
    correlations = [abs(np.corrcoef(blinks, source)[0, 1]) for source in sources]
    assert max(correlations) > 0.97
    assert sorted(correlations)[-2] < 0.3


def test_same_seed_same_bytes(prepared):
    raw, ica = prepared
    again, _, _ = fit(raw, np.arange(raw.n_times), 31, SETTINGS)
    assert again.unmixing_matrix_.tobytes() == ica.unmixing_matrix_.tobytes()


def test_conditions_are_asserted(prepared):
    raw, ica = prepared
    band_hz = (1.0, 95.0)
    assert iclabel.broken_conditions(raw, ica, band_hz) == []
    shifted = raw.copy()
    shifted.apply_function(lambda signal: signal + 1e-5 * np.sin(np.arange(len(signal))))
    with pytest.raises(UsageProblem, match="average reference is not applied"):
        iclabel.probabilities(shifted, ica, band_hz)
    with pytest.raises(UsageProblem, match=r"the band must be 1-90 Hz, not 0\.1-95 Hz"):
        iclabel.probabilities(raw, ica, (0.1, 95.0))
    with pytest.raises(UsageProblem, match="the band must be"):
        iclabel.probabilities(raw, ica, (1.0, 45.0))
    unplaced = raw.copy()
    unplaced.info["chs"][3]["loc"][:3] = np.nan
    with pytest.raises(UsageProblem, match="position"):
        iclabel.probabilities(unplaced, ica, band_hz)
    with pytest.raises(UsageProblem, match="exactly the good EEG channels"):
        iclabel.probabilities(raw.copy().drop_channels(["Cz"]), ica, band_hz)
    fast = mne.preprocessing.ICA(31, method="fastica", max_iter=1, random_state=0, verbose="error")
    fast.fit(raw, decim=20, verbose="error")
    with pytest.raises(UsageProblem, match="extended Infomax"):
        iclabel.probabilities(raw, fast, band_hz)


def test_label_is_the_librarys_own(prepared):
    from mne_icalabel.iclabel import iclabel_label_components

    raw, ica = prepared
    ours = iclabel.probabilities(raw, ica, (1.0, 95.0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it asks for exactly 100 Hz
        theirs = iclabel_label_components(raw, ica, inplace=False, backend="onnx")
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
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
    assert iclabel.conditions((1.0, 60.8), (0.3, 64.0), 32, (), settings).band_hz == (1.0, 60.8)


def test_removal_follows_thresholds_and_trust():
    def reason(valid=True, blink_share=0.0, **probabilities):
        row = np.array([probabilities.get(name, 0.0) for name in iclabel.CLASSES])
        return iclabel.removal(row, blink_share, valid, IclabelSettings())

    assert reason(eye=0.81) == "eye 0.81"
    assert reason(muscle=0.8) == "muscle 0.80"
    assert reason(eye=0.79) is None
    assert reason(heart=0.99) is None  # threshold 1: never
    assert reason(brain=0.99) is None
    assert reason(valid=False, muscle=0.99) is None
    assert reason(valid=False, eye=0.9) is None
    assert reason(valid=False, eye=0.96) == "eye 0.96"
    assert reason(valid=False, eye=0.6, blink_share=0.8) == "eye 0.60 and 80% of the blinks"
    assert reason(eye=0.6, blink_share=0.8) == "eye 0.60 and 80% of the blinks"
    assert reason(eye=0.6, blink_share=0.2) is None
    assert reason(valid=False, eye=0.1, blink_share=0.7) is None
    assert reason(valid=False, eye=0.1, blink_share=0.9) == "90% of the blinks"
    assert reason(eye=0.1, blink_share=0.9) is None

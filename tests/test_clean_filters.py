import numpy as np
import pytest
from scipy import signal

from eegpipe.clean import filters
from eegpipe.clean.settings import FilterSettings
from eegpipe.errors import UsageProblem

RATE_HZ = 200.0


def design(band_hz=(0.3, 49.0), line_hz=50.0, rate_hz=RATE_HZ):
    return filters.design(rate_hz, band_hz, line_hz, FilterSettings())


def spectrum(data, blocks, most=600):
    windows = filters.spectrum_windows(blocks, RATE_HZ, most)
    power = np.array([filters.density(row[windows], RATE_HZ) for row in data])
    return filters.spectrum_frequencies(RATE_HZ), power


def gain(design_, frequency_hz, seconds=40):
    """Amplitude of a sine after the filter, in the middle of the recording, against before."""
    time_s = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    wave = np.sin(2 * np.pi * frequency_hz * time_s)[np.newaxis]
    middle = slice(len(time_s) // 3, 2 * len(time_s) // 3)
    return filters.apply(wave, [(0, len(time_s))], design_)[0, middle].std() / wave[0, middle].std()


def test_passes_the_band_and_stops_the_rest():
    both = design()
    assert all(0.98 < gain(both, frequency_hz) < 1.02 for frequency_hz in (1, 4, 10, 30))
    assert gain(both, 49) == pytest.approx(0.25, abs=0.01)  # half at an edge of two passes, and the notch is near
    assert gain(both, 0.1) < 0.01
    assert gain(both, 80) < 0.03
    assert gain(both, 50) < 0.01  # the notch: 49 Hz alone would leave a third


@pytest.mark.parametrize("samples", [1000, 2500, 20000])
def test_is_the_same_as_running_the_sections_forwards_and_backwards(samples):
    noise = np.random.default_rng(0).normal(size=samples).cumsum() + 1000
    both = design()
    ours = filters.apply(noise[None], [(0, samples)], both)[0]
    padding = min(both.padding, samples - 1)
    theirs = signal.sosfiltfilt(both.sections, noise - noise.mean(), padlen=padding)
    # They differ at the ends only, in what comes before the mirrored signal.
    margin = min(500, samples // 4)
    assert np.abs(ours - theirs)[margin:-margin].max() < 0.02 * theirs.std()
    assert np.abs(ours - theirs).max() < 0.05 * theirs.std()


def test_several_designs_are_applied_as_each_alone():
    noise = np.random.default_rng(1).normal(size=5000)
    designs = [design(), design((1.0, 95.0))]
    together = filters.apply_all(noise, [(0, 2000), (2000, 5000)], designs)
    alone = [filters.apply(noise[None], [(0, 2000), (2000, 5000)], one)[0] for one in designs]
    np.testing.assert_allclose(together, alone, atol=2e-3)


def test_keeps_the_phase():
    time_s = np.arange(8000) / RATE_HZ
    wave = np.sin(2 * np.pi * 10 * time_s)[np.newaxis]
    filtered = filters.apply(wave, [(0, 8000)], design())
    assert np.corrcoef(filtered[0, 2000:6000], wave[0, 2000:6000])[0, 1] > 0.9999


def test_nothing_leaks_across_a_boundary():
    rng = np.random.default_rng(0)
    quiet, loud = rng.normal(size=(1, 3000)), 500 + 50 * rng.normal(size=(1, 3000))
    together = filters.apply(np.hstack([quiet, loud]), [(0, 3000), (3000, 6000)], design())
    alone = filters.apply(quiet, [(0, 3000)], design())
    assert np.array_equal(together[:, :3000], alone)
    smeared = filters.apply(np.hstack([quiet, loud]), [(0, 6000)], design())
    assert np.abs(smeared[:, :3000] - alone).max() > 50  # what the blocks are for


def test_upper_edge_gives_way_to_the_rate():
    assert design((1.0, 100.0), rate_hz=128.0).band_hz == (1.0, pytest.approx(60.8))
    with pytest.raises(UsageProblem, match="empty at a rate of 1 Hz"):
        design((1.0, 100.0), rate_hz=1.0)


def test_notch_only_where_the_band_reaches():
    assert design((0.3, 20.0)).notches_hz == ()
    assert design((1.0, 100.0), rate_hz=500.0).notches_hz == (50.0, 100.0, 150.0)
    assert design((1.0, 100.0), line_hz=60.0, rate_hz=128.0).notches_hz == (60.0,)


@pytest.mark.parametrize(("low_hz", "high_hz"), [(4.0, 45.0), (0.0, 75.0), (0.0, 100.0)])
def test_measured_band_finds_the_vendors_filter(low_hz, high_hz):
    rng = np.random.default_rng(3)
    # 1/f noise above white sensor noise, as an amplifier gives it.
    pink = signal.lfilter([1], [1, -0.98], rng.normal(size=(8, 12000)), axis=1) + 0.3 * rng.normal(size=(8, 12000))
    if low_hz:
        pink = signal.sosfiltfilt(signal.butter(4, low_hz, "highpass", fs=RATE_HZ, output="sos"), pink)
    if high_hz < 100:
        pink = signal.sosfiltfilt(signal.butter(6, high_hz, fs=RATE_HZ, output="sos"), pink)
    found = filters.measured_band(*spectrum(pink, [(0, 12000)]))
    assert found[0] == pytest.approx(low_hz, abs=2.0)
    assert found[1] == pytest.approx(high_hz, abs=8.0)


def test_spectrum_has_the_power_of_white_noise():
    rng = np.random.default_rng(0)
    noise = 3 * rng.normal(size=(2, 40000))
    frequencies_hz, power = spectrum(noise, [(0, 100), (100, 40000)])
    assert power.shape == (2, len(frequencies_hz))
    assert power[:, 5:-5].mean() == pytest.approx(9 / (RATE_HZ / 2), rel=0.05)
    assert power[:, 5:-5].mean() == pytest.approx(spectrum(noise, [(100, 40000)], most=100)[1].mean(), rel=0.05)
    assert np.isnan(spectrum(noise[:, :100], [(0, 100)])[1]).all()
    assert filters.measured_band(*spectrum(noise[:, :100], [(0, 100)])) == (0.0, 100.0)


def test_no_high_pass_where_the_data_begin_well_above_it():
    settings = FilterSettings()
    kept = filters.design(128, (0.3, 49), 50, settings, data_low_hz=0.3)
    idle = filters.design(128, (0.3, 49), 50, settings, data_low_hz=4.0)
    assert (kept.high_passed, idle.high_passed) == (True, False)
    # A short block of a rhythm, cut anywhere: the high-pass puts slow waves at its ends, without it there are none.
    rhythm = np.sin(2 * np.pi * 10 * np.arange(1280) / 128 + 1)[None]
    slow = [np.abs(filters.apply(rhythm, [(0, 1280)], one) - rhythm).max() for one in (kept, idle)]
    assert slow[1] < 0.02 < slow[0]

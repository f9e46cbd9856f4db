import numpy as np
import pytest

from eegpipe import channels
from eegpipe.clean import bad_channels, filters
from eegpipe.clean.settings import BadChannelSettings, FilterSettings

from clean_synthetic import MONTAGE_32, planted

POSITIONS_M = np.array([channels.position(name) for name in MONTAGE_32])


@pytest.fixture(scope="module")
def signal_uv():
    data = planted(duration_s=30.0).recording.raw.get_data() * 1e6
    return filters.apply(data, [(0, data.shape[1])], filters.design(200.0, (1.0, 95.0), 50.0, FilterSettings()))


def reasons(data_uv, marked=(), settings=None):
    index = bad_channels.windows([(0, data_uv.shape[1])], 200)
    settings = settings or BadChannelSettings()
    pieces_uv = bad_channels.pieces(data_uv, index)
    found = bad_channels.find(pieces_uv, MONTAGE_32, POSITIONS_M, marked, settings)
    return {one.name: one.reason.split(":")[0] for one in found}


def test_sound_channels_pass_with_blinks(signal_uv):
    assert reasons(signal_uv) == {}


def test_each_fault_has_its_reason(signal_uv):
    data = signal_uv.copy()
    rng = np.random.default_rng(0)
    faults = {name: MONTAGE_32.index(name) for name in ("C3", "P4", "Oz", "Fz")}
    data[faults["C3"]] = 0
    data[faults["P4"]] *= 1e-3
    data[faults["Oz"]] += 400 * rng.normal(size=data.shape[1])
    data[faults["Fz"]] = 20 * rng.normal(size=data.shape[1])
    assert reasons(data) == {"C3": "flat", "P4": "flat", "Oz": "noisy", "Fz": "uncorrelated"}


def test_gel_between_two_electrodes_is_found_whatever_the_reference(signal_uv):
    data = signal_uv.copy()
    first, second = MONTAGE_32.index("C3"), MONTAGE_32.index("CP5")
    rng = np.random.default_rng(0)
    data[[first, second]] = data[[first, second]].mean(axis=0) + 0.1 * rng.normal(size=(2, data.shape[1]))
    data += 300 * rng.normal(size=data.shape[1])  # a bad reference makes all channels alike, and none is bridged for it
    assert reasons(data) == {"C3": "bridged", "CP5": "bridged"}
    assert reasons(data, settings=BadChannelSettings(bridged=0)) == {}


def test_a_weak_channel_is_an_outlier(signal_uv):
    data = signal_uv.copy()
    data -= np.median(data, axis=0)
    data[MONTAGE_32.index("Pz")] *= 0.04
    assert reasons(data, settings=BadChannelSettings(noisy_deviations=3.5)) == {"Pz": "outlying"}


def test_the_channel_beside_the_reference_is_sound(signal_uv):
    cz = MONTAGE_32.index("Cz")
    data = signal_uv - 0.95 * signal_uv[cz]
    assert reasons(data) == {}


def test_frontal_channels_may_be_large_but_not_broken(signal_uv):
    data = signal_uv.copy()
    data[0] *= 20
    data[1] = 0
    assert reasons(data) == {"Fp2": "flat"}
    assert reasons(data, settings=BadChannelSettings(protected=())) == {"Fp1": "noisy", "Fp2": "flat"}


def test_channels_marked_by_the_data_set_stay_bad(signal_uv):
    assert reasons(signal_uv, marked=("T7",)) == {"T7": "marked bad in the data set"}


def test_a_burst_condemns_no_channel_and_is_no_calm_window(signal_uv):
    data = signal_uv.copy()
    data[10, 1000:1500] += 1e5
    assert reasons(data) == {}
    index = bad_channels.windows([(0, data.shape[1])], 200)
    calm = bad_channels.calm_windows(data, index, 10.0)
    assert np.flatnonzero(~calm).tolist() == [5, 6, 7]
    assert bad_channels.calm_windows(signal_uv, index, 10.0).all()


def test_windows_stay_inside_blocks():
    index = bad_channels.windows([(0, 250), (250, 299), (299, 510)], 100)
    assert index[:, 0].tolist() == [0, 100, 299, 399]
    assert index.shape == (4, 100)

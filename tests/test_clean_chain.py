import dataclasses
import json

import mne
import numpy as np
import pytest

from eegpipe.clean import filters
from eegpipe.clean.chain import clean_recording
from eegpipe.clean.settings import BadChannelSettings, CleanSettings, FilterSettings, IcaSettings, IclabelSettings
from eegpipe.errors import DataProblem

from clean_synthetic import MONTAGE_14, MONTAGE_32, planted

SETTINGS = CleanSettings()


def after_filters(planted_uv, blocks):
    """The planted brain signal through the chain's filters and reference only: what a perfect cleaning would give."""
    filtered = filters.apply(planted_uv, blocks, filters.design(200.0, (0.3, 49.0), 50.0, FilterSettings()))
    return filtered - filtered.mean(axis=0)


def without_ica(recording):
    return clean_recording(recording, dataclasses.replace(SETTINGS, ica=IcaSettings(enabled=False)))


@pytest.fixture(scope="module")
def source():
    """32 channels with a dead C3, in two blocks with an offset between them."""
    made = planted(duration_s=50.0, boundaries_s=(20.0,))
    c3 = MONTAGE_32.index("C3")

    def spoil(data):
        data[c3] = 0
        data[:, 4000:] += 5e-3
        return data

    made.recording.raw.apply_function(spoil, channel_wise=False)
    return made


@pytest.fixture(scope="module")
def cleaned(source):
    before = source.recording.raw.get_data()
    result = clean_recording(source.recording, SETTINGS)
    assert np.array_equal(source.recording.raw.get_data(), before)  # the input is not touched
    return result


def test_blinks_go_and_brain_stays(source, cleaned):
    recording, record = cleaned.recording, cleaned.record
    truth = after_filters(source.brain_uv, source.recording.blocks)
    result = recording.raw.get_data() * 1e6
    good = [index for index, name in enumerate(MONTAGE_32) if name != "C3"]
    assert np.median([np.corrcoef(truth[index], result[index])[0, 1] for index in good]) > 0.97
    assert ((result - truth)[good] ** 2).mean() < 0.05 * (truth[good] ** 2).mean()
    assert record.before.blink_uv > 80
    assert abs(record.after.blink_uv) < 0.06 * record.before.blink_uv
    assert any(reason.startswith("eye") for reason in record.removed)
    assert record.variance_kept < 0.8
    assert record.after.alpha_peak_hz == pytest.approx(10.0, abs=0.5)
    assert record.after.alpha_uv2 == pytest.approx(record.before.alpha_uv2, rel=0.1)
    assert record.before.line_db > 5 > 0 > record.after.line_db


def test_dead_channel_is_found_and_interpolated(source, cleaned):
    recording, record = cleaned.recording, cleaned.record
    assert record.bad_channels == {"C3": "flat: 0.00 uV"}
    assert recording.raw.info["bads"] == []
    truth = after_filters(source.brain_uv, source.recording.blocks)
    c3 = MONTAGE_32.index("C3")
    assert np.corrcoef(truth[c3], recording.raw.get_data()[c3])[0, 1] > 0.7


def test_what_comes_out(source, cleaned):
    recording, record = cleaned.recording, cleaned.record
    assert recording.id == source.recording.id
    assert recording.events == source.recording.events
    assert recording.raw.ch_names == list(MONTAGE_32)
    assert recording.raw.n_times == source.recording.raw.n_times
    assert recording.reference == "average"
    assert np.abs(recording.raw.get_data().mean(axis=0)).max() < 1e-12
    assert recording.history["Cleaning: bandpass"]["high cutoff (Hz)"] == 49.0
    assert (record.rank, len(record.components), record.blocks) == (30, 30, 2)
    assert record.iclabel_valid
    assert record.iclabel_reason == ""
    assert sum(component.variance for component in record.components) == pytest.approx(1, abs=0.1)
    stored = json.loads(json.dumps(record.as_json(), allow_nan=False))
    assert stored["components"][0]["probabilities"].keys() == {
        "brain", "muscle", "eye", "heart", "line", "channel", "other",
    }  # fmt: skip


def test_same_bytes_again_with_any_number_of_threads(source, cleaned):
    again = clean_recording(source.recording, SETTINGS, threads=3)
    assert again.recording.raw.get_data().tobytes() == cleaned.recording.raw.get_data().tobytes()
    assert again.record == cleaned.record
    for field in dataclasses.fields(again.evidence):
        assert np.array_equal(getattr(again.evidence, field.name), getattr(cleaned.evidence, field.name)), field.name


def test_a_step_in_one_block_does_not_reach_the_next(source):
    """The offset of 5 mV begins at 20 s: the first block is as without it."""
    undisturbed = planted(duration_s=50.0, boundaries_s=(20.0,)).recording
    good = [index for index, name in enumerate(MONTAGE_32) if name != "C3"]
    undisturbed.raw.info["bads"] = ["C3"]
    first = without_ica(source.recording).recording
    second = without_ica(undisturbed).recording
    np.testing.assert_allclose(first.raw.get_data()[good] * 1e6, second.raw.get_data()[good] * 1e6, atol=1e-3)


def test_fourteen_channels_at_128_hz_lose_their_blinks_only():
    made = planted(MONTAGE_14, rate_hz=128.0, duration_s=50.0)
    record = clean_recording(made.recording, SETTINGS).record
    assert not record.iclabel_valid
    assert "14 EEG channels" in record.iclabel_reason
    assert "ends at" in record.iclabel_reason
    assert record.iclabel_band_hz[1] <= 60.8
    assert abs(record.after.blink_uv) < 0.15 * record.before.blink_uv
    assert all("eye" in reason or "blinks" in reason for reason in record.removed)


def test_rank_deficient_data_are_decomposed_on_what_they_span():
    made = planted(MONTAGE_14, rate_hz=128.0, duration_s=40.0)
    data = made.recording.raw.get_data()
    u, s, v = np.linalg.svd(data, full_matrices=False)
    s[-2:] = 0  # as after somebody else's ICA
    made.recording.raw._data[:] = u * s @ v
    record = clean_recording(made.recording, SETTINGS).record
    assert record.rank == 12
    assert len(record.components) == 12
    assert record.converged


def test_quiet_data_come_out_as_the_filters_leave_them():
    made = planted(MONTAGE_14, rate_hz=128.0, duration_s=40.0, blinks=False)
    cleaned = clean_recording(made.recording, SETTINGS)
    recording, record = cleaned.recording, cleaned.record
    plain = without_ica(made.recording).recording
    assert record.removed == []
    assert record.variance_kept == 1.0
    np.testing.assert_allclose(recording.raw.get_data(), plain.raw.get_data(), atol=1e-12)


def test_too_little_data_are_left_without_ica():
    made = planted(duration_s=15.0)
    record = clean_recording(made.recording, SETTINGS).record
    assert record.ica_skipped.startswith("3.1 samples per weight (3000 samples for 31 components)")
    assert record.components == []
    assert record.variance_kept == 1.0


def test_other_channels_are_kept_and_never_referenced():
    made = planted(MONTAGE_14, rate_hz=128.0, duration_s=20.0)
    raw = made.recording.raw
    rng = np.random.default_rng(0)
    info = mne.create_info(["GSR1", "hEOG"], 128.0, ["misc", "eog"])
    extra = np.vstack([np.linspace(0, 1, raw.n_times), 1e-4 * rng.normal(size=raw.n_times).cumsum()])
    raw.add_channels([mne.io.RawArray(extra, info, verbose="error")], force_update_info=True)
    recording = without_ica(made.recording).recording
    after = recording.raw.get_data(["GSR1", "hEOG"])
    assert np.array_equal(after[0], extra[0])
    design = filters.design(128.0, (0.3, 49.0), 50.0, FilterSettings())
    np.testing.assert_allclose(after[1], filters.apply(extra[1:], [(0, raw.n_times)], design)[0], atol=1e-15)


def test_refusals_say_where_and_what():
    made = planted(MONTAGE_14, rate_hz=128.0, duration_s=10.0)
    broken = made.recording.raw.copy()
    broken._data[2, 5] = np.nan
    with pytest.raises(DataProblem, match=r"sub-01_task-emotion: found values that are not finite in F3"):
        clean_recording(dataclasses.replace(made.recording, raw=broken), SETTINGS)
    dead = made.recording.raw.copy()
    dead._data[:8] = 0
    with pytest.raises(DataProblem, match="found 8 bad of 14 EEG channels"):
        clean_recording(dataclasses.replace(made.recording, raw=dead), SETTINGS)
    unplaced = made.recording.raw.copy()
    unplaced.info["chs"][4]["loc"][:3] = np.nan
    with pytest.raises(DataProblem, match="no position for T7"):
        clean_recording(dataclasses.replace(made.recording, raw=unplaced), SETTINGS)


def test_settings_decide_what_is_removed():
    made = planted(MONTAGE_14, rate_hz=128.0, duration_s=30.0)
    record = clean_recording(made.recording, SETTINGS).record
    assert record.removed
    nothing = IclabelSettings(eye_outside=1.0, eye_with_blinks=1.0, blink_share_outside=1.0)
    record = clean_recording(made.recording, dataclasses.replace(SETTINGS, iclabel=nothing)).record
    assert record.removed == []
    made.recording.raw.info["bads"] = ["F3"]
    strict = BadChannelSettings(most_bad=0.0)
    with pytest.raises(DataProblem, match="at most 0%"):
        clean_recording(made.recording, dataclasses.replace(SETTINGS, bad_channels=strict))

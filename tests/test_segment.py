"""Windows on the stimulus clock: right to the sample at every rate, and never across a border."""

from dataclasses import replace

import mne
import numpy as np
import pytest

from eegpipe import affect
from eegpipe.channels import position, schema
from eegpipe.errors import DataProblem, UsageProblem
from eegpipe.recording import Event, Recording, RecordingId
from eegpipe.segment import WindowingSettings, segment_dataset, segment_recording

RATES = (125.0, 128.0, 200.0, 250.0, 500.0)
CHANNELS = ("Fp1", "Cz", "A1", "HEOG")


def make_recording(signal_uv, events, rate_hz, *, subject="01", session=None, channels=CHANNELS):
    """A recording with ``signal_uv`` on every channel (times 1, 2, ... in order)."""
    kinds = ["eog" if name.endswith("EOG") else "eeg" for name in channels]
    info = mne.create_info(list(channels), rate_hz, kinds)
    data = np.asarray(signal_uv) * np.arange(1, len(channels) + 1)[:, np.newaxis] * 1e-6
    raw = mne.io.RawArray(data, info, verbose="error")
    positions = {name: position(name) for name in channels if name in schema()}
    raw.set_montage(mne.channels.make_dig_montage(positions, coord_frame="head"), on_missing="ignore")
    return Recording(RecordingId(subject, session), raw, events, "average", 50.0)


def stimulus(onset_s, duration_s, trial=1, *, offset_s=0.0, **rest):
    return Event(onset_s, duration_s, "stimulus", trial, f"seed/{trial:02d}", offset_s, **rest)


def boundary(onset_s):
    return Event(onset_s, 0.0, "boundary")


def samples(seconds, rate_hz):
    return np.arange(round(seconds * rate_hz)) / rate_hz


@pytest.mark.parametrize("rate_hz", RATES)
@pytest.mark.parametrize("onset_samples", [0, 3, 517])
def test_an_oscillation_keeps_its_phase_to_a_twentieth_of_a_sample(rate_hz, onset_samples):
    """Sample k of window i lies at onset + 2 i + k / 125 s, also when the onset is no multiple of anything."""
    onset_s = onset_samples / rate_hz
    t = samples(40, rate_hz)
    frequency_hz = 17.3
    recording = make_recording(50 * np.sin(2 * np.pi * frequency_hz * t), [stimulus(onset_s, 30)], rate_hz)
    (trial,) = segment_recording(recording, WindowingSettings())
    assert trial.channels == ("Fp1", "Cz")
    assert trial.eeg.shape == (13, 2, 625)
    np.testing.assert_array_equal(trial.stimulus_time, 2.0 * np.arange(13))
    np.testing.assert_allclose(trial.recording_time, onset_s + trial.stimulus_time, rtol=0, atol=1e-9)
    inner = range(2, 11)  # the filter settles in the first and last seconds of the recording
    for window in inner:
        at = trial.recording_time[window] + np.arange(625) / 125
        carrier = np.exp(-2j * np.pi * frequency_hz * at) * np.hanning(625)
        response = 2j * (trial.eeg[window, 0] * carrier).sum() / np.hanning(625).sum()
        shift_samples = np.angle(response) / (2 * np.pi * frequency_hz) * 125
        assert abs(shift_samples) < 0.05
        assert abs(response) == pytest.approx(50, rel=0.01)  # microvolt
        assert trial.eeg[window, 1] == pytest.approx(2 * trial.eeg[window, 0])


@pytest.mark.parametrize("rate_hz", RATES)
def test_an_impulse_stays_where_it_was(rate_hz):
    """A bump t seconds after the onset peaks in sample round(125 t) of the trial, in every window that holds it."""
    onset_s = 211 / rate_hz
    for bump_s in (6.4, 7.52):  # on the new grid
        t = samples(20, rate_hz)
        bump = 80 * np.exp(-(((t - onset_s - bump_s) / 0.02) ** 2))
        (trial,) = segment_recording(make_recording(bump, [stimulus(onset_s, 15)], rate_hz), WindowingSettings())
        found = 0
        for window, start_s in enumerate(trial.stimulus_time):
            if start_s <= bump_s - 0.1 and bump_s + 0.1 <= start_s + 5:
                assert trial.eeg[window, 0].argmax() == round((bump_s - start_s) * 125)
                found += 1
        assert found >= 2


@pytest.mark.parametrize("rate_hz", RATES)
def test_a_chirp_has_the_right_frequency_at_the_right_time(rate_hz):
    t = samples(30, rate_hz)
    # Phase of a chirp whose frequency is 5 + t Hz.
    recording = make_recording(30 * np.sin(2 * np.pi * (5 * t + t**2 / 2)), [stimulus(0, 30)], rate_hz)
    (trial,) = segment_recording(recording, WindowingSettings())
    for window in range(2, 11):
        at = trial.recording_time[window] + np.arange(625) / 125
        expected = 30 * np.sin(2 * np.pi * (5 * at + at**2 / 2))
        error = trial.eeg[window, 0] - expected
        assert np.sqrt((error**2).mean()) < 0.02 * np.sqrt((expected**2).mean())


def test_what_the_band_and_the_new_rate_exclude_does_not_fold_back():
    for rate_hz in (200.0, 250.0, 500.0):
        t = samples(30, rate_hz)
        for frequency_hz, most_uv in ((0.05, 1), (80.0, 1), (95.0, 0.5)):
            recording = make_recording(100 * np.sin(2 * np.pi * frequency_hz * t), [stimulus(5, 20)], rate_hz)
            (trial,) = segment_recording(recording, WindowingSettings())
            assert np.abs(trial.eeg[2:-2, 0]).max() < most_uv


@pytest.mark.parametrize("rate_hz", RATES)
def test_a_window_holds_nothing_of_a_neighbouring_block(rate_hz):
    """Three joined trials; the outer two are huge, the middle one must not know."""
    lengths_s = (12.0, 9.0, 14.0)
    random = np.random.default_rng(3)
    pieces = [random.normal(0, 10, round(seconds * rate_hz)) for seconds in lengths_s]

    def middle(scale):
        onsets_s = (0.0, len(pieces[0]) / rate_hz, (len(pieces[0]) + len(pieces[1])) / rate_hz)
        events = [
            stimulus(onset_s, seconds, number)
            for number, (onset_s, seconds) in enumerate(zip(onsets_s, lengths_s, strict=True), start=1)
        ] + [boundary(onset_s) for onset_s in onsets_s[1:]]
        joined = np.concatenate([pieces[0] * scale, pieces[1], pieces[2] * scale])
        return list(segment_recording(make_recording(joined, events, rate_hz), WindowingSettings()))

    quiet, loud = middle(1), middle(1e6)
    assert [len(trial.eeg) for trial in quiet] == [4, 3, 5]  # floor((n - 625) / 250) + 1
    np.testing.assert_array_equal(quiet[1].eeg, loud[1].eeg)
    assert quiet[1].recording_time[0] == pytest.approx(len(pieces[0]) / rate_hz)


def test_windows_of_a_trial_lie_inside_it_when_trials_touch_in_one_block():
    """Without a boundary the neighbour is genuine signal; windows still end where their own trial ends."""
    rate_hz = 200.0
    t = samples(30, rate_hz)
    events = [stimulus(0, 9.996, 1), stimulus(9.996, 10.1, 2), stimulus(20.096, 4.9, 3)]
    trials = list(segment_recording(make_recording(np.sin(t), events, rate_hz), WindowingSettings()))
    assert [len(trial.eeg) for trial in trials] == [3, 3, 0]
    for trial, event in zip(trials, events, strict=True):
        assert trial.trial == event.trial
        assert all(event.onset_s - 0.0025 <= start for start in trial.recording_time)
        assert all(start + 5 <= event.onset_s + event.duration_s + 0.005 for start in trial.recording_time)


@pytest.mark.parametrize("rate_hz", [128.0, 200.0, 250.0, 500.0])
def test_the_recordings_own_rate_and_a_step_between_samples(rate_hz):
    """Window i begins at the sample nearest to 1.8 i s, and its times say where; no sample is changed by resampling."""
    settings = WindowingSettings(rate_hz=None, band_hz=(1.0, 49.0), window_s=2.0, step_s=1.8)
    onset = 37
    t = samples(40, rate_hz)
    noise = np.random.default_rng(2).normal(0, 10, len(t))
    recording = make_recording(noise, [stimulus(onset / rate_hz, 30)], rate_hz)
    (trial,) = segment_recording(recording, settings)
    starts = [round(float(np.round(1.8 * rate_hz * i, 6))) for i in range(len(trial.eeg))]
    assert len(trial.eeg) == 16  # 27.0 + 2 s end within 30 s, 28.8 + 2 s do not
    np.testing.assert_array_equal(trial.stimulus_time, np.array(starts) / rate_hz)
    np.testing.assert_allclose(trial.stimulus_time, 1.8 * np.arange(16), rtol=0, atol=0.5 / rate_hz + 1e-9)
    np.testing.assert_allclose(trial.recording_time, onset / rate_hz + trial.stimulus_time, rtol=0, atol=1e-9)
    assert trial.eeg.shape[2] == round(2 * rate_hz)
    whole = replace(settings, window_s=30.0, step_s=30.0)
    (uncut,) = segment_recording(recording, whole)
    for window, start in zip(trial.eeg, starts, strict=True):
        np.testing.assert_array_equal(window, uncut.eeg[0][:, start : start + round(2 * rate_hz)])


def test_half_a_sample_is_rounded_the_same_way_everywhere():
    """2.5 samples a step: up at every half, whatever the rounding of products."""
    settings = WindowingSettings(rate_hz=None, band_hz=(1.0, 30.0), window_s=0.1, step_s=0.025)
    assert settings.starts(30, 100.0).tolist() == [0, 3, 5, 8, 10, 13, 15, 18, 20]
    assert settings.starts(9, 100.0).tolist() == []


def test_one_rate_a_store(tmp_path):
    from eegpipe import bids
    from eegpipe.loader import load

    settings = WindowingSettings(rate_hz=None, band_hz=(1.0, 49.0), window_s=2.0, step_s=1.8)
    clean = write_clean(tmp_path / "clean")
    segment_dataset(clean, tmp_path / "seed.zarr", windowing="art", settings=settings)
    segments = load(tmp_path / "seed.zarr")
    assert (segments.rate_hz, segments.eeg.shape[2]) == (200.0, 400)
    other = make_recording(np.random.default_rng(1).normal(0, 20, 3000), [stimulus(0, 9)], 250.0, subject="11")
    bids.write_recording(other, clean, description="clean")
    with pytest.raises(DataProblem, match=r"200 Hz \(sub-9.*250 Hz \(sub-11.*expected one rate.*Set rate_hz"):
        segment_dataset(clean, tmp_path / "b.zarr", windowing="art", settings=settings)
    assert not (tmp_path / "b.zarr").exists()


def test_a_rate_of_its_own_that_the_band_does_not_fit():
    settings = WindowingSettings(rate_hz=None, band_hz=(1.0, 49.0), window_s=2.0, step_s=1.8)
    with pytest.raises(UsageProblem, match="end below half the rate"):
        list(segment_recording(make_recording(np.zeros(3000), [stimulus(0, 20)], 90.0), settings))


@pytest.mark.parametrize("seconds", [4.99, 5.0, 6.992, 7.0, 7.008, 63.0])
@pytest.mark.parametrize("rate_hz", [125.0, 128.0, 200.0])
def test_count_of_windows(seconds, rate_hz):
    n_native = round(seconds * rate_hz)
    n = n_native * 125 // int(rate_hz)
    recording = make_recording(np.zeros(n_native), [stimulus(0, seconds)], rate_hz, channels=("Cz",))
    (trial,) = segment_recording(recording, WindowingSettings())
    assert len(trial.eeg) == max(0, (n - 625) // 250 + 1)


def test_a_trial_carries_its_facts():
    joy = affect.from_word("joy")
    event = stimulus(2.0, 9.0, 7, offset_s=31.5, label="joy", affect=joy)
    recording = make_recording(np.zeros(3000), [event], 250.0, subject="012", session="2")
    (trial,) = segment_recording(recording, WindowingSettings(window_s=2, step_s=1.8))
    assert (trial.subject, trial.session, trial.trial, trial.stimulus) == ("012", "2", 7, "seed/07")
    assert (trial.label, trial.affect) == ("joy", joy)
    np.testing.assert_allclose(trial.stimulus_time, 31.5 + 1.8 * np.arange(4))
    np.testing.assert_allclose(trial.recording_time, 2.0 + 1.8 * np.arange(4))
    assert trial.eeg.shape[2] == 250


def test_equal_input_gives_equal_output():
    signal_uv = np.random.default_rng(5).normal(0, 10, 6000)
    runs = [
        next(segment_recording(make_recording(signal_uv, [stimulus(1, 20)], 200.0), WindowingSettings())).eeg.tobytes()
        for _ in range(2)
    ]
    assert runs[0] == runs[1]


@pytest.mark.parametrize(
    ("changes", "where", "found"),
    [
        ({"events": [stimulus(0, 20), boundary(10)]}, "trial 1", "across a boundary"),
        ({"events": [stimulus(5, 31)]}, "trial 1", "across a boundary or the end"),
        ({"events": [stimulus(0, 10, 1), stimulus(8, 10, 2)]}, "trial 2", "before the end of trial 1"),
        ({"events": [Event(0, 10, "stimulus", 1)]}, "trial 1", "without stimulus"),
        ({"channels": ("Cz", "EEG1")}, "channels", "EEG1"),
        ({"channels": ("A1", "HEOG")}, "channels", "no EEG channel"),
        ({"rate_hz": 90.0}, "SamplingFrequency", "90 Hz"),
        ({"rate_hz": 199.98734}, "SamplingFrequency", "199.98734"),
        ({"signal_uv": np.where(np.arange(6000) == 77, np.nan, 1.0)}, "signal", "Fp1, Cz"),
    ],
)
def test_wrong_recordings_are_refused(changes, where, found):
    plain = {"signal_uv": np.zeros(6000), "events": [stimulus(0, 20)], "rate_hz": 200.0}
    with pytest.raises(DataProblem) as refused:
        list(segment_recording(make_recording(**plain | changes), WindowingSettings()))
    assert refused.value.where.startswith("sub-01_task-emotion: ")
    assert where in refused.value.where
    assert found in refused.value.found


@pytest.mark.parametrize(
    "changes", [{"window_s": 0.333}, {"step_s": 0.001}, {"band_hz": (47.0, 0.5)}, {"band_hz": (0.5, 62.5)}]
)
def test_settings_that_do_not_fit_together_are_refused(changes):
    with pytest.raises(UsageProblem, match="windowing: "):
        WindowingSettings(**changes)


def write_clean(root, *, subjects=("9", "10"), dataset="seed"):
    """A cleaned data set of two sessions with three trials of 9, 12 and 4 s, the last one too short."""
    from eegpipe import bids, datasets

    rate_hz = 200.0
    random = np.random.default_rng(1)
    for subject in subjects:
        for session in ("1", "2"):
            events = [
                stimulus(0, 9, 1, label="positive", affect=affect.from_word("positive")),
                boundary(9),
                stimulus(9.5, 12, 2, label="negative", affect=affect.from_word("negative")),
                stimulus(22, 4, 3, label="neutral"),
            ]
            recording = make_recording(
                random.normal(0, 20, round(30 * rate_hz)), events, rate_hz, subject=subject, session=session
            )
            bids.write_recording(recording, root, description="clean")
    bids.write_root(
        root,
        about=datasets.get(dataset).about(simulated=True),
        description="clean",
        derivative={"Name": "clean", "Version": "1", "Description": "Cleaned"},
    )
    return root


def test_a_cleaned_data_set_becomes_one_store(tmp_path):
    from eegpipe.loader import load
    from eegpipe.store import open_store

    clean = write_clean(tmp_path / "clean")
    segment_dataset(clean, tmp_path / "seed.zarr", windowing="mdjpt", settings=WindowingSettings())
    segments = load(tmp_path / "seed.zarr")
    assert (segments.dataset, segments.subject_names, segments.session_names) == ("seed", ("9", "10"), ("1", "2"))
    assert segments.channels == ("Fp1", "Cz")
    assert segments.eeg.shape == (4 * (3 + 4), 2, 625)
    assert segments.labels == ("negative", "neutral", "positive")
    assert segments.recording_time[:7].tolist() == [0, 2, 4, 9.5, 11.5, 13.5, 15.5]
    assert segments.stimulus_time[:7].tolist() == [0, 2, 4, 0, 2, 4, 6]
    assert segments.label[:7].tolist() == [2, 2, 2, 0, 0, 0, 0]
    assert segments.valence[:7] == pytest.approx([1.71] * 3 + [-2.1] * 4)
    assert [segments.stimulus_names[key] for key in segments.stimulus[:7]] == ["seed/01"] * 3 + ["seed/02"] * 4
    assert segments.session.tolist() == ([0] * 7 + [1] * 7) * 2
    with open_store(tmp_path / "seed.zarr") as store:
        kept = store.attrs
    assert (kept["trials"], kept["trials_shorter_than_window"], kept["recordings"]) == (12, 4, 4)
    assert (kept["simulated"], kept["band_hz"], kept["window_s"], kept["step_s"]) == (True, [0.5, 47.0], 5.0, 2.0)
    assert len(kept["settings_hash"]) == len(kept["clean_digest"]) == 64

    segment_dataset(clean, tmp_path / "again.zarr", windowing="mdjpt", settings=WindowingSettings())
    assert load(tmp_path / "again.zarr").digest == segments.digest
    half = WindowingSettings(dtype="float16")
    segment_dataset(clean, tmp_path / "half.zarr", windowing="mdjpt", settings=half)
    np.testing.assert_allclose(load(tmp_path / "half.zarr").eeg, segments.eeg, rtol=2**-11, atol=1e-4)


def test_a_data_set_may_have_windows_of_its_own(tmp_path):
    from eegpipe.loader import load

    clean = write_clean(tmp_path / "clean", subjects=("9",))
    given = WindowingSettings(window_s=10.0, step_s=10.0, of_dataset={"seed": (2.0, 2.0), "deap": (1.0, 1.0)})
    segment_dataset(clean, tmp_path / "of.zarr", windowing="mdjpt", settings=given)
    plain = WindowingSettings(window_s=2.0, step_s=2.0)
    segment_dataset(clean, tmp_path / "plain.zarr", windowing="mdjpt", settings=plain)
    # The same store, so that another data set's entry changes nothing that follows.
    assert load(tmp_path / "of.zarr").digest == load(tmp_path / "plain.zarr").digest
    assert load(tmp_path / "of.zarr").eeg.shape[-1] == 250
    assert given.of("faced") == replace(given, of_dataset={})


def test_one_bad_recording_leaves_no_store_and_is_named(tmp_path):
    clean = write_clean(tmp_path / "clean", subjects=("9",))
    events = clean / "sub-9/ses-2/eeg/sub-9_ses-2_task-emotion_desc-clean_events.tsv"
    events.write_text(events.read_text().replace("negative", "gloomy"))
    with pytest.raises(DataProblem, match="gloomy") as refused:
        segment_dataset(clean, tmp_path / "seed.zarr", windowing="mdjpt", settings=WindowingSettings())
    assert "subject 9, session 2, trial 2" in refused.value.where
    assert [item.name for item in tmp_path.iterdir()] == ["clean"]


def test_a_folder_without_cleaned_recordings_is_refused(tmp_path):
    with pytest.raises(UsageProblem, match="no cleaned recording"):
        segment_dataset(tmp_path, tmp_path / "a.zarr", windowing="mdjpt", settings=WindowingSettings())

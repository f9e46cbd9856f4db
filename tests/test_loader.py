"""Segments in memory equal what was written, whichever way they are read."""

import numpy as np
import pytest
from test_store import CHANNELS, HEADER, make_trials

from eegpipe.errors import DataProblem, UsageProblem
from eegpipe.loader import PER_SEGMENT, load
from eegpipe.store import SHARD_SEGMENTS, StoreHeader, store_digest, write_store


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("stores") / "seed.zarr"
    write_store(path, make_trials(n_segments=SHARD_SEGMENTS // 3), HEADER)
    return path


def test_load_returns_what_was_written(path):
    segments = load(path)
    written = list(make_trials(n_segments=SHARD_SEGMENTS // 3))
    np.testing.assert_array_equal(segments.eeg, np.concatenate([trial.eeg for trial in written]).astype(np.float32))
    assert segments.eeg.dtype == np.float32
    assert segments.channels == CHANNELS
    assert (segments.dataset, segments.windowing, segments.rate_hz) == ("seed", "mdjpt", 125.0)
    assert segments.labels == HEADER.labels
    assert segments.digest == store_digest(path)
    per_trial = SHARD_SEGMENTS // 3
    for number, trial in enumerate(written):
        here = slice(number * per_trial, (number + 1) * per_trial)
        assert {segments.subject_names[i] for i in segments.subject[here]} == {trial.subject}
        assert {segments.session_names[i] for i in segments.session[here]} == {trial.session}
        assert {segments.stimulus_names[i] for i in segments.stimulus[here]} == {trial.stimulus}
        assert {segments.labels[i] for i in segments.label[here]} == {trial.label}
        assert set(segments.trial[here]) == {trial.trial}
        np.testing.assert_array_equal(segments.stimulus_time[here], trial.stimulus_time)
        np.testing.assert_array_equal(segments.recording_time[here], trial.recording_time)
    assert set(segments.valence) == {1.5}
    assert set(segments.arousal) == {-0.5}
    assert set(segments.affect_source) == {3}


def test_select_by_mask_and_by_position(path):
    segments = load(path)
    mask = segments.trial == 2
    chosen = segments.select(mask)
    assert len(chosen) == mask.sum() == len(segments) // 2
    assert set(chosen.trial) == {2}
    np.testing.assert_array_equal(chosen.eeg, segments.eeg[mask])
    backwards = segments.select([7, 3])
    np.testing.assert_array_equal(backwards.recording_time, segments.recording_time[[7, 3]])
    assert backwards.subject_names == segments.subject_names
    assert backwards.digest == segments.digest


def test_mapped_cache_gives_the_same_and_is_made_once(path, tmp_path):
    plain, mapped = load(path), load(path, cache=tmp_path)
    assert isinstance(mapped.eeg, np.memmap)
    for name in PER_SEGMENT:
        np.testing.assert_array_equal(getattr(plain, name), getattr(mapped, name))
    (file,) = tmp_path.iterdir()
    before = file.stat().st_mtime_ns
    load(path, cache=tmp_path)
    assert file.stat().st_mtime_ns == before


def test_float16_is_read_as_float32(tmp_path):
    write_store(tmp_path / "a.zarr", make_trials(), StoreHeader("seed", "w", 125.0, HEADER.labels, "float16"))
    eeg = np.concatenate([trial.eeg for trial in make_trials()])
    loaded = load(tmp_path / "a.zarr").eeg
    assert loaded.dtype == np.float32
    np.testing.assert_allclose(loaded, eeg, rtol=2**-11, atol=1e-6)
    assert not np.array_equal(loaded, eeg.astype(np.float32))


def test_a_lost_shard_is_an_error_and_not_silence(tmp_path):
    write_store(tmp_path / "a.zarr", make_trials(n_segments=SHARD_SEGMENTS // 2 + 1), HEADER)
    (tmp_path / "a.zarr/eeg/c/1/0/0").unlink()
    for cache in (None, tmp_path / "cache"):
        with pytest.raises(DataProblem, match=f"segments {SHARD_SEGMENTS} to"):
            load(tmp_path / "a.zarr", cache=cache)
    assert list((tmp_path / "cache").iterdir()) == []


def test_no_store_is_a_usage_problem(tmp_path):
    with pytest.raises(UsageProblem, match="no segment store"):
        load(tmp_path)

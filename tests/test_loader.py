"""Segments in memory equal what was written, whichever way they are read."""

import gc
from dataclasses import replace

import numpy as np
import pytest
from test_store import CHANNELS, HEADER, make_trials

from eegpipe import decoded, loader
from eegpipe.decoded import Streamed
from eegpipe.errors import DataProblem, UsageProblem
from eegpipe.loader import PER_SEGMENT, load, load_all
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


def test_what_fits_lies_in_memory_and_the_rest_is_streamed(path, tmp_path, monkeypatch, capfd):
    write_store(tmp_path / "small.zarr", make_trials(n_segments=5), HEADER)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    plain, small = load_all([path, tmp_path / "small.zarr"], memory=10**9)
    assert type(plain.eeg) is type(small.eeg) is np.ndarray
    assert capfd.readouterr().err == ""
    streamed, same = load_all([path, tmp_path / "small.zarr"], memory=small.eeg.nbytes + 1)
    said = capfd.readouterr().err
    assert "seed (" in said
    assert f"streamed from {tmp_path}/cache/eegpipe" in said
    assert type(streamed.eeg) is Streamed
    assert type(same.eeg) is np.ndarray
    for name in PER_SEGMENT:
        np.testing.assert_array_equal(getattr(plain, name), getattr(streamed, name))
    assert streamed.digest == plain.digest
    assert [file.name for file in (tmp_path / "cache/eegpipe").iterdir()] == [f"{plain.digest}.npy"]
    del streamed
    gc.collect()
    assert list((tmp_path / "cache/eegpipe").iterdir()) == []
    monkeypatch.setenv("EEGPIPE_MEMORY", "0MB")
    monkeypatch.setenv("EEGPIPE_CACHE", str(tmp_path / "named"))
    assert type(load(path).eeg) is Streamed
    gc.collect()
    assert [file.name for file in (tmp_path / "named").iterdir()] == [f"{plain.digest}.npy"]


@pytest.mark.parametrize(
    ("worth_threads", "piece"), [(loader._WORTH_THREADS, loader._PIECE), (0, loader._PIECE), (0, 1)]
)
def test_windows_are_gathered_into_an_array_that_is_there(path, tmp_path, monkeypatch, worth_threads, piece):
    monkeypatch.setattr(loader, "_WORTH_THREADS", worth_threads)
    monkeypatch.setattr(loader, "_PIECE", piece)
    monkeypatch.setattr(decoded, "cores", lambda: 3)
    rows = np.array([5, 0, 5, 11])
    for segments in (load(path), load(path, cache=tmp_path)):
        out = np.full((6, *segments.eeg.shape[1:]), np.nan, np.float32)
        taken = segments.windows(rows, out)
        assert np.shares_memory(taken, out)
        np.testing.assert_array_equal(taken, segments.eeg[rows])
        np.testing.assert_array_equal(segments.windows(rows), taken)
        assert np.isnan(out[4:]).all()
        assert segments.windows(rows[:0], out).shape == (0, *segments.eeg.shape[1:])
        with pytest.raises(IndexError):
            segments.windows(np.array([len(segments)]), out)
    double = replace(segments, eeg=segments.eeg.astype(np.float64))
    np.testing.assert_array_equal(double.windows(rows, out), taken)

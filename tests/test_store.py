"""The store on disk: what plain xarray sees, equal bytes, and nothing half-written."""

import os
import signal
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eegpipe import affect, channels
from eegpipe.errors import DataProblem, UsageProblem
from eegpipe.store import (
    SHARD_SEGMENTS,
    StoreHeader,
    TrialSegments,
    keep_mantissa,
    natural_key,
    open_store,
    store_digest,
    write_store,
)

HEADER = StoreHeader("seed", "mdjpt", 125.0, ("negative", "neutral", "positive"), attributes={"simulated": True})
CHANNELS = ("Fp1", "Cz", "O2")


def make_trials(subjects=("9", "10"), n_segments=3, n_times=20, trials=(1, 2)):
    random = np.random.default_rng(0)
    for subject in subjects:
        for trial in trials:
            yield TrialSegments(
                random.normal(0, 20, (n_segments, len(CHANNELS), n_times)),
                CHANNELS,
                subject,
                "1",
                trial,
                f"seed/{trial:02d}",
                np.arange(n_segments) * 2.0,
                100.0 * trial + np.arange(n_segments) * 2.0,
                HEADER.labels[trial % 3],
                affect.Affect(1.5, -0.5, affect.AffectSource.WORD_NORM),
            )


def files_of(path):
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_plain_xarray_opens_it_without_a_warning_and_it_means_something(tmp_path):
    import xarray

    path = tmp_path / "seed.zarr"
    write_store(path, make_trials(), HEADER)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = xarray.open_zarr(path)
        data.load()
    assert set(data.data_vars) == {"eeg"}
    assert data["eeg"].dims == ("segment", "channel", "time")
    expected = {
        "channel": (("channel",), None),
        "channel_id": (("channel",), "int16"),
        "position": (("channel", "xyz"), "float32"),
        "time": (("time",), "float32"),
        "subject": (("segment",), "int32"),
        "session": (("segment",), "int32"),
        "trial": (("segment",), "int32"),
        "stimulus": (("segment",), "int64"),
        "stimulus_time": (("segment",), "float64"),
        "recording_time": (("segment",), "float64"),
        "valence": (("segment",), "float32"),
        "arousal": (("segment",), "float32"),
        "affect_source": (("segment",), "int8"),
        "label": (("segment",), "int16"),
    }
    assert set(data.coords) == set(expected)
    for name, (dims, dtype) in expected.items():
        assert data[name].dims == dims
        assert dtype is None or data[name].dtype == dtype
        assert data[name].attrs["long_name"]
    assert list(data["channel"].values) == list(CHANNELS)
    assert list(data["channel_id"].values) == [channels.channel_id(name) for name in CHANNELS]
    assert data["eeg"].attrs["units"] == "uV"
    assert data["time"].values[-1] == pytest.approx(19 / 125)
    assert data["affect_source"].attrs["flag_meanings"].split()[3] == "word_norm"
    assert data.attrs["subject_names"] == ["9", "10"]
    assert data["subject"].values.tolist() == [0] * 6 + [1] * 6
    assert data["label"].values.tolist() == [1, 1, 1, 2, 2, 2] * 2
    # A person's question in xarray's own words.
    chosen = data.where(data["stimulus_time"] >= 4, drop=True).sel(channel="Cz")
    assert chosen["eeg"].shape == (4, 20)
    random = np.random.default_rng(0)
    np.testing.assert_array_equal(data["eeg"].values[:3], random.normal(0, 20, (3, 3, 20)).astype(np.float32))


def test_stimulus_numbers_are_the_same_in_every_store(tmp_path):
    write_store(tmp_path / "a.zarr", make_trials(trials=(1, 2)), HEADER)
    write_store(tmp_path / "b.zarr", make_trials(trials=(2,)), HEADER)
    with open_store(tmp_path / "a.zarr") as a, open_store(tmp_path / "b.zarr") as b:
        assert dict(zip(b.attrs["stimulus_ids"], b.attrs["stimulus_names"], strict=True)) == {3653465574: "seed/02"}
        assert b["stimulus"].values[0] == a["stimulus"].values[3] != a["stimulus"].values[0]


def test_two_names_of_one_crc_are_refused(tmp_path):
    # "plumless" and "buckeroo" are a known collision of CRC-32.
    trials = [
        TrialSegments(np.zeros((1, 1, 4)), ("Cz",), "1", "1", 1, name, np.zeros(1), np.zeros(1))
        for name in ("plumless", "buckeroo")
    ]
    with pytest.raises(DataProblem, match="CRC-32"):
        write_store(tmp_path / "x.zarr", trials, HEADER)
    assert list(tmp_path.iterdir()) == []


def test_equal_input_gives_equal_bytes_over_many_shards(tmp_path):
    n_segments = SHARD_SEGMENTS // 2 + 17
    for name in ("a.zarr", "b.zarr"):
        write_store(tmp_path / name, make_trials(n_segments=n_segments), HEADER)
    assert files_of(tmp_path / "a.zarr") == files_of(tmp_path / "b.zarr")
    assert store_digest(tmp_path / "a.zarr") == store_digest(tmp_path / "b.zarr")
    assert len(list((tmp_path / "a.zarr" / "eeg" / "c").iterdir())) == 3
    before = np.concatenate([trial.eeg for trial in make_trials(n_segments=n_segments)]).astype(np.float32)
    with open_store(tmp_path / "a.zarr") as data:
        np.testing.assert_array_equal(data["eeg"].values, before)
    text = b"".join(content for name, content in files_of(tmp_path / "a.zarr").items() if name.endswith(".json"))
    assert str(tmp_path).encode() not in text
    assert os.uname().nodename.encode() not in text


def test_digest_sees_one_changed_byte_and_a_moved_file(tmp_path):
    path = tmp_path / "a.zarr"
    write_store(path, make_trials(), HEADER)
    before = store_digest(path)
    shard = path / "eeg" / "c" / "0" / "0" / "0"
    content = bytearray(shard.read_bytes())
    content[100] ^= 1
    shard.write_bytes(content)
    changed = store_digest(path)
    content[100] ^= 1
    shard.write_bytes(content)
    assert store_digest(path) == before != changed
    shard.rename(shard.with_name("1"))
    assert store_digest(path) != before


def test_a_failure_leaves_the_old_store_and_nothing_else(tmp_path):
    path = tmp_path / "a.zarr"
    write_store(path, make_trials(), HEADER)
    before = files_of(path)

    def broken():
        yield from make_trials()
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        write_store(path, broken(), HEADER)
    assert files_of(path) == before
    assert [item.name for item in tmp_path.iterdir()] == ["a.zarr"]
    write_store(path, make_trials(subjects=("3",)), HEADER)
    with open_store(path) as data:
        assert data.attrs["subject_names"] == ["3"]
    assert [item.name for item in tmp_path.iterdir()] == ["a.zarr"]


def test_a_killed_writer_leaves_no_store_and_the_next_one_is_not_disturbed(tmp_path):
    path = tmp_path / "a.zarr"
    program = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
import time; from pathlib import Path; import test_store as t
def slow():
    yield from t.make_trials(n_segments=t.SHARD_SEGMENTS)
    print("half", flush=True); time.sleep(60)
t.write_store(Path({str(path)!r}), slow(), t.HEADER)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "half\n"
        with pytest.raises(UsageProblem, match="Another process"):
            write_store(path, make_trials(), HEADER)
        process.send_signal(signal.SIGKILL)
    assert not path.exists()
    assert list(tmp_path.glob(".a.zarr.partial/eeg/c/*"))
    write_store(path, make_trials(), HEADER)
    write_store(tmp_path / "b.zarr", make_trials(), HEADER)
    assert files_of(path) == files_of(tmp_path / "b.zarr")
    assert sorted(item.name for item in tmp_path.iterdir()) == ["a.zarr", "b.zarr"]


def one(**changes):
    plain = TrialSegments(np.ones((1, 1, 4)), ("Cz",), "1", "1", 1, "seed/01", np.zeros(1), np.zeros(1))
    return replace(plain, **changes)


@pytest.mark.parametrize(
    ("trials", "dtype", "found"),
    [
        ([], "float32", "0 trials"),
        ([one(eeg=np.ones((0, 1, 4)))], "float32", "1 trials, none as long"),
        ([one(), one(channels=("Pz",))], "float32", "differing in Cz, Pz"),
        ([one(label="joy")], "float32", "the label 'joy'"),
        ([one(affect=affect.Affect(5.0, 0.0, affect.AffectSource.SELF_REPORT))], "float32", "valence 5"),
        ([one(eeg=np.full((1, 1, 4), np.nan))], "float32", "NaN"),
        ([one(eeg=np.full((1, 1, 4), -70000.0))], "float16", "70000 microvolt"),
    ],
)
def test_wrong_trials_are_refused_by_name(tmp_path, trials, dtype, found):
    with pytest.raises(DataProblem) as refused:
        write_store(tmp_path / "a.zarr", trials, StoreHeader("seed", "w", 125.0, ("negative",), dtype))
    assert found in refused.value.found
    assert list(tmp_path.iterdir()) == []


def test_another_folder_is_never_replaced(tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").touch()
    with pytest.raises(UsageProblem, match="no segment store"):
        write_store(tmp_path / "precious", make_trials(), HEADER)
    assert (tmp_path / "precious" / "file").exists()


def test_natural_order():
    assert sorted(["sub-10", "sub-9", "a", "1", "02"], key=natural_key) == ["1", "02", "a", "sub-9", "sub-10"]


@pytest.mark.parametrize("bits", [1, 10, 11, 22])
def test_a_short_mantissa_is_the_nearest_number_that_has_one(bits):
    rng = np.random.default_rng(4)
    values = (rng.normal(0, 20, 20_000) * 10.0 ** rng.integers(-6, 6, 20_000)).astype(np.float32)
    values[:4] = 0.0, -0.0, 1e-40, np.finfo(np.float32).tiny
    rounded = values.copy()
    keep_mantissa(rounded, bits)
    assert not (rounded.view(np.uint32) & np.uint32(2 ** (23 - bits) - 1)).any()
    normal = np.abs(values) >= np.finfo(np.float32).tiny
    assert (np.abs(rounded - values)[normal] <= 2.0 ** -(bits + 1) * np.abs(values)[normal]).all()
    # Against numpy's own nearest, where it has such a type.
    if bits == 10:
        inside = (np.abs(values) < 6e4) & (np.abs(values) > 1e-4)
        np.testing.assert_array_equal(rounded[inside], values[inside].astype(np.float16).astype(np.float32))
    again = rounded.copy()
    keep_mantissa(again, bits)
    np.testing.assert_array_equal(again, rounded)


def test_ties_go_to_the_even_neighbour():
    values = np.array([1 + 2**-12, 1 + 3 * 2**-12, -1 - 2**-12, 2 - 2**-13], np.float32)
    keep_mantissa(values, 11)
    assert values.tolist() == [1.0, 1 + 2**-10, -1.0, 2.0]


def test_a_store_with_a_short_mantissa_says_so_and_is_smaller(tmp_path):
    for name, bits, dtype in (("all", 23, "float32"), ("some", 11, "float32"), ("half", 11, "float16")):
        header = replace(HEADER, mantissa_bits=bits, dtype=dtype)
        write_store(tmp_path / f"{name}.zarr", make_trials(n_segments=100, n_times=200), header)
    size = {path.stem: sum(file.stat().st_size for file in path.rglob("c/**/*")) for path in tmp_path.iterdir()}
    assert size["some"] < 0.65 * size["all"]
    with open_store(tmp_path / "all.zarr") as exact, open_store(tmp_path / "some.zarr") as data:
        assert "mantissa_bits" not in exact["eeg"].attrs
        assert data["eeg"].attrs["mantissa_bits"] == 11
        assert data["eeg"].dtype == np.float32
        expected = exact["eeg"].values.copy()
        keep_mantissa(expected, 11)
        np.testing.assert_array_equal(data["eeg"].values, expected)
    with open_store(tmp_path / "half.zarr") as data:
        assert "mantissa_bits" not in data["eeg"].attrs
        written = np.concatenate([trial.eeg for trial in make_trials(n_segments=100, n_times=200)])
        np.testing.assert_array_equal(data["eeg"].values, written.astype(np.float16))

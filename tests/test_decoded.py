"""Signals that are read from a decoded file: the same numbers, whoever uses the file, and nothing left behind."""

import fcntl
import gc
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from eegpipe import decoded
from eegpipe.decoded import cache_folder, stream
from eegpipe.errors import DataProblem, UsageProblem

SHAPE = (40, 3, 50)


def signal():
    return np.random.default_rng(5).normal(0, 20, SHAPE).astype(np.float32)


def blocks():
    yield from np.array_split(signal(), 7)


def never():
    raise AssertionError("decoded again")
    yield


@pytest.fixture
def streamed(tmp_path):
    return stream(blocks, SHAPE, "digest", tmp_path / "cache", stays=False)


@pytest.mark.parametrize("read_bytes", [decoded._READ_BYTES, 2 * 4 * 150])
@pytest.mark.parametrize("small_bytes", [decoded._SMALL_BYTES, 0])
def test_every_way_to_ask_gives_what_an_array_gives(streamed, monkeypatch, read_bytes, small_bytes):
    monkeypatch.setattr(decoded, "_READ_BYTES", read_bytes)
    monkeypatch.setattr(decoded, "_SMALL_BYTES", small_bytes)
    eeg = signal()
    rows = np.random.default_rng(6).integers(-40, 40, 200)
    for index in (
        rows,
        rows.astype(np.int32),
        np.arange(40),
        np.array([], dtype=int),
        [3, -1, 3],
        [],
        7,
        np.int64(-2),
        slice(None),
        slice(5, 31),
        slice(None, None, -3),
        slice(9, 2),
        np.arange(40) % 3 == 0,
        (rows, np.abs(rows) % 3),
        (rows, 1),
        (slice(2, 5), slice(None), 4),
        (..., 0),
    ):
        answer = streamed[index]
        assert type(answer) is np.ndarray
        np.testing.assert_array_equal(answer, eeg[index])
    assert streamed.shape == SHAPE
    assert streamed.dtype == np.float32
    np.testing.assert_array_equal(streamed.T, eeg.T)
    np.testing.assert_array_equal(streamed.reshape(120, 50)[[5, 7]], eeg.reshape(120, 50)[[5, 7]])
    assert streamed.max() == eeg.max()
    out = np.full((5, 3, 50), np.nan, np.float32)
    streamed.read_into(np.array([4, 4, 39, 0, 1]), out)
    np.testing.assert_array_equal(out, eeg[[4, 4, 39, 0, 1]])


@pytest.mark.parametrize("index", [40, -41, [0, 40], np.array([-41]), (np.array([0]), np.array([3]))])
def test_rows_that_are_not_there(streamed, index):
    with pytest.raises(IndexError):
        streamed[index]


def test_one_file_for_all_and_none_afterwards(tmp_path):
    first = stream(blocks, SHAPE, "digest", tmp_path, stays=False)
    second = stream(never, SHAPE, "digest", tmp_path, stays=False)
    other = stream(blocks, SHAPE, "other", tmp_path, stays=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["digest.npy", "other.npy"]
    np.testing.assert_array_equal(np.load(tmp_path / "digest.npy"), signal())
    del first, other
    gc.collect()
    assert [path.name for path in tmp_path.iterdir()] == ["digest.npy"]
    np.testing.assert_array_equal(second[:], signal())
    view = second.T
    del second
    gc.collect()
    np.testing.assert_array_equal(view, signal().T)
    del view
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_a_named_folder_keeps_its_files(tmp_path):
    del_me = stream(blocks, SHAPE, "digest", tmp_path, stays=True)
    del del_me
    gc.collect()
    np.testing.assert_array_equal(stream(never, SHAPE, "digest", tmp_path, stays=True)[3], signal()[3])
    stream(blocks, SHAPE, "other", tmp_path, stays=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["digest.npy", "other.npy"]


def test_remains_of_a_killed_process_are_finished_or_removed(tmp_path):
    whole = stream(blocks, SHAPE, "half", tmp_path, stays=True)
    del whole
    # A header is written last: a file without is not complete, whatever its length.
    content = bytearray((tmp_path / "half.npy").read_bytes())
    content[:128] = bytes(128)
    (tmp_path / "half.npy").write_bytes(content)
    (tmp_path / "old.npy").write_bytes(b"of yesterday")
    held = os.open(tmp_path / "old.npy", os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_SH)
    again = stream(blocks, SHAPE, "half", tmp_path, stays=False)
    np.testing.assert_array_equal(again[:], signal())
    assert (tmp_path / "old.npy").exists()  # somebody uses it
    os.close(held)
    stream(blocks, SHAPE, "new", tmp_path, stays=False)
    gc.collect()
    assert [path.name for path in tmp_path.iterdir()] == ["half.npy"]


def test_a_failure_while_decoding_leaves_nothing(tmp_path):
    def broken():
        yield signal()[:5]
        raise DataProblem("seed", "NaN", "finite signal", "Run it again.")

    with pytest.raises(DataProblem):
        stream(broken, SHAPE, "digest", tmp_path, stays=True)
    assert list(tmp_path.iterdir()) == []


def test_no_room_and_no_right_to_write_are_one_line(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(decoded.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000}))
        with pytest.raises(UsageProblem, match="EEGPIPE_CACHE"):
            stream(blocks, SHAPE, "digest", tmp_path, stays=True)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(UsageProblem, match=r"EEGPIPE_CACHE.*EEGPIPE_MEMORY"):
        stream(blocks, SHAPE, "digest", tmp_path / "file", stays=True)


def test_without_locks_every_process_has_its_own_file(tmp_path, monkeypatch):
    monkeypatch.setattr(decoded, "_lock", lambda *_: False)
    array = stream(blocks, SHAPE, "digest", tmp_path, stays=False)
    assert list(tmp_path.iterdir()) == []
    np.testing.assert_array_equal(array[[7, 3]], signal()[[7, 3]])
    np.testing.assert_array_equal(array.T, signal().T)


def test_a_file_that_was_cut_is_an_error(tmp_path):
    array = stream(blocks, SHAPE, "digest", tmp_path, stays=True)
    os.truncate(tmp_path / "digest.npy", 5000)
    with pytest.raises(DataProblem, match="shorter"):
        array[[30]]


def test_processes_at_the_same_time_decode_once(tmp_path):
    program = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path; import numpy as np, test_decoded as t
def counted():
    print("decodes", flush=True)
    yield from t.blocks()
array = t.stream(counted, t.SHAPE, "digest", Path({str(tmp_path)!r}), stays=False)
print("ready", flush=True); sys.stdin.readline()
assert np.array_equal(array[:], t.signal())
"""
    started = [
        subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    said = []
    for process in started:
        while (line := process.stdout.readline().strip()) != "ready":
            assert line, "ended"
            said.append(line)
    assert said == ["decodes"]
    assert [path.name for path in tmp_path.iterdir()] == ["digest.npy"]
    for process in started:
        process.communicate("end\n")
    assert [process.returncode for process in started] == [0, 0, 0]
    assert list(tmp_path.iterdir()) == []


def test_nobody_waits_for_a_user_to_end(tmp_path, monkeypatch):
    """All look at the same moment and find nothing; then one writes and the others use what it wrote, while it does."""
    count, complete, decodes, arrays = 3, decoded._complete, [], []
    looked, here = threading.Barrier(count), threading.local()

    def at_the_same_moment(*arguments):
        answer = complete(*arguments)
        if not hasattr(here, "first"):
            here.first = answer
            looked.wait()
        return answer

    def counted():
        decodes.append(1)
        yield from blocks()

    def use():
        arrays.append(stream(counted, SHAPE, "digest", tmp_path, stays=False))

    monkeypatch.setattr(decoded, "_complete", at_the_same_moment)
    users = [threading.Thread(target=use, daemon=True) for _ in range(count)]
    for user in users:
        user.start()
    for user in users:
        user.join(timeout=30)
    assert len(arrays) == count
    assert len(decodes) == 1
    for array in arrays:
        np.testing.assert_array_equal(array[:], signal())
    del array
    arrays.clear()
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_a_child_by_fork_reads_and_takes_nothing_away(tmp_path):
    array = stream(blocks, SHAPE, "digest", tmp_path, stays=False)
    array[np.array([3, 9, 1])]
    child = os.fork()
    if not child:
        right = np.array_equal(array[np.array([3, 9, 1])], signal()[[3, 9, 1]])
        del array
        gc.collect()
        os._exit(0 if right else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert [path.name for path in tmp_path.iterdir()] == ["digest.npy"]
    np.testing.assert_array_equal(array[:], signal())


def test_where_files_lie():
    assert cache_folder({"EEGPIPE_CACHE": "/scratch"}) == (Path("/scratch"), True)
    assert cache_folder({"XDG_CACHE_HOME": "/x", "HOME": "/home/a"}) == (Path("/x/eegpipe"), False)
    assert cache_folder({"HOME": "/home/a", "EEGPIPE_CACHE": ""}) == (Path("/home/a/.cache/eegpipe"), False)

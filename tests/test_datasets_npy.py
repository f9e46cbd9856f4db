"""NumPy files: what is in them comes back, and nothing in them is run or believed."""

from __future__ import annotations

import io
import os
import pickle
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from eegpipe.datasets.formats.npy import read_npy, read_npy_header, read_npz
from eegpipe.datasets.formats.pickles import load_bytes
from eegpipe.errors import DataProblem

MIB = 2**20


class Bomb:
    """Unpickling it makes a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def problem_of(read, *args, **kwargs) -> DataProblem:
    with pytest.raises(DataProblem) as caught:
        read(*args, **kwargs)
    return caught.value


@pytest.mark.parametrize("dtype", ["<f8", ">f4", "<i2", "|u1", "|b1", "<f2", ">i8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_come_back(tmp_path, dtype, order):
    array = np.asarray(np.arange(24).reshape(2, 3, 4) % 2, dtype=dtype, order=order)
    np.save(tmp_path / "a.npy", array)
    read = read_npy(tmp_path / "a.npy", "a.npy", largest=MIB)
    np.testing.assert_array_equal(read, array)
    assert read.dtype.isnative
    assert read_npy_header(tmp_path / "a.npy", "a.npy").shape == (2, 3, 4)


def test_other_header_versions_and_scalars(tmp_path):
    for version in ((1, 0), (2, 0), (3, 0)):
        with (tmp_path / "a.npy").open("wb") as file:
            np.lib.format.write_array(file, np.float64(3.5), version=version)
        assert read_npy(tmp_path / "a.npy", "a.npy", largest=MIB) == 3.5


def test_every_cut_and_every_added_byte_is_one_problem(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(6.0))
    whole = (tmp_path / "a.npy").read_bytes()
    for length in range(len(whole)):
        (tmp_path / "a.npy").write_bytes(whole[:length])
        assert problem_of(read_npy, tmp_path / "a.npy", "a.npy", largest=MIB).where == "a.npy"
    (tmp_path / "a.npy").write_bytes(whole + b"x")
    assert "177 bytes" in problem_of(read_npy, tmp_path / "a.npy", "a.npy", largest=MIB).found


def test_every_changed_byte_gives_numbers_or_one_problem(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(6.0))
    whole = (tmp_path / "a.npy").read_bytes()
    for place in range(len(whole)):
        for value in (0, 0x27, 0x39, 0xFF):
            (tmp_path / "a.npy").write_bytes(whole[:place] + bytes([value]) + whole[place + 1 :])
            try:
                read = read_npy(tmp_path / "a.npy", "a.npy", largest=MIB)
            except DataProblem:
                continue
            assert getattr(read, "nbytes", 48) == 48


def test_a_header_that_asks_for_a_terabyte_takes_no_memory(tmp_path):
    text = "{'descr': '<f8', 'fortran_order': False, 'shape': (100000000000,), }".ljust(117) + "\n"
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode())
    assert "800000000128" in problem_of(read_npy, tmp_path / "a.npy", "a.npy", largest=MIB).expected


def test_a_long_header_takes_no_time(tmp_path):
    text = "{'descr': '<f8', 'fortran_order': False, 'shape': (" + "1" * 60_000
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode())
    start = time.monotonic()
    problem_of(read_npy, tmp_path / "a.npy", "a.npy", largest=MIB)
    assert time.monotonic() - start < 2


@pytest.mark.parametrize("descr", ["[('a', '<f8')]", "'<M8[s]'", "'<U4'", "__import__('os').getcwd()", "'<f16'"])
def test_a_header_is_not_evaluated(tmp_path, descr):
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': (1,), }}".ljust(117) + "\n"
    content = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + bytes(16)
    (tmp_path / "a.npy").write_bytes(content)
    assert "header" in problem_of(read_npy, tmp_path / "a.npy", "a.npy", largest=MIB).found


def test_objects_of_numbers_are_read_and_nothing_else_runs(tmp_path):
    file, made = tmp_path / "a.npy", tmp_path / "made"
    np.save(file, {"de": np.arange(4.0), "n": 3}, allow_pickle=True)
    read = read_npy(file, "a.npy", largest=MIB)
    np.testing.assert_array_equal(read["de"], np.arange(4.0))
    ragged = np.empty(2, object)
    ragged[:] = [np.zeros(2), np.ones(3)]
    np.save(file, ragged, allow_pickle=True)
    assert [len(one) for one in read_npy(file, "a.npy", largest=MIB)] == [2, 3]

    for hostile in (Bomb(made), {"de": Bomb(made)}, [Bomb(made)]):
        np.save(file, np.array(hostile, dtype=object), allow_pickle=True)
        problem = problem_of(read_npy, file, "a.npy", largest=MIB)
        assert "mkdir" in problem.found
        assert not made.exists()
        # The trap is real: numpy itself runs it.
        np.load(file, allow_pickle=True)
        made.rmdir()


def test_archives_like_those_of_seed_v(tmp_path):
    features = {0: np.arange(10.0).reshape(2, 5), 1: np.ones((3, 5))}
    labels = {trial: np.full(len(one), 2) for trial, one in features.items()}
    np.savez(tmp_path / "1.npz", data=pickle.dumps(features), label=pickle.dumps(labels))
    read = read_npz(tmp_path / "1.npz", "1.npz", largest=MIB)
    assert sorted(read) == ["data", "label"]
    data = load_bytes(read["data"], "1.npz: data")
    assert sorted(data) == [0, 1]
    np.testing.assert_array_equal(data[0], features[0])
    np.testing.assert_array_equal(load_bytes(read["label"], "1.npz: label")[1], labels[1])

    made = tmp_path / "made"
    np.savez(tmp_path / "1.npz", data=pickle.dumps({0: Bomb(made)}))
    read = read_npz(tmp_path / "1.npz", "1.npz", largest=MIB)
    assert "mkdir" in problem_of(load_bytes, read["data"], "1.npz: data").found
    assert not made.exists()


def test_a_compressed_archive_and_its_damage(tmp_path):
    file = tmp_path / "1.npz"
    np.savez_compressed(file, data=np.arange(50.0), more=np.arange(3))
    assert read_npz(file, "1.npz", largest=MIB)["data"][-1] == 49
    whole = file.read_bytes()
    for length in range(0, len(whole), 7):
        file.write_bytes(whole[:length])
        assert problem_of(read_npz, file, "1.npz", largest=MIB).where.startswith("1.npz")
    for place in range(0, len(whole), 3):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x41]) + whole[place + 1 :])
        try:
            read_npz(file, "1.npz", largest=MIB)
        except DataProblem:
            continue


def test_a_zip_bomb_stops_before_it_unpacks(tmp_path):
    file = tmp_path / "1.npz"
    np.savez_compressed(file, data=np.zeros(8 * MIB))
    assert file.stat().st_size < MIB
    assert "67108992 bytes" in problem_of(read_npz, file, "1.npz", largest=MIB).found
    # The same with a directory that claims 200 bytes.
    content = file.read_bytes().replace((8 * 8 * MIB + 128).to_bytes(4, "little"), (200).to_bytes(4, "little"))
    file.write_bytes(content)
    problem_of(read_npz, file, "1.npz", largest=MIB)
    # Many members that are each small enough.
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(8):
            array = io.BytesIO()
            np.save(array, np.zeros(30_000))
            archive.writestr(f"{number}.npy", array.getvalue())
    assert "at most" in problem_of(read_npz, file, "1.npz", largest=MIB).expected


def test_archives_with_strange_members(tmp_path):
    file = tmp_path / "1.npz"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("../x.txt", "x")
    assert "no array" in problem_of(read_npz, file, "1.npz", largest=MIB).found
    with zipfile.ZipFile(file, "w") as archive:
        for number in range(65):
            archive.writestr(f"{number}.npy", b"")
    assert "65 members" in problem_of(read_npz, file, "1.npz", largest=MIB).found

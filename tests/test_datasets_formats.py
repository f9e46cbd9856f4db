"""Hostile and damaged files: nothing runs, nothing large is allocated, one clear refusal."""

from __future__ import annotations

import os
import pickle
import struct
import tracemalloc

import h5py
import numpy as np
import pytest
from scipy.io import loadmat, savemat, whosmat

from eegpipe.datasets.formats import mat5, matlab
from eegpipe.datasets.formats.edf import read_header
from eegpipe.datasets.formats.pickles import read_pickle
from eegpipe.errors import DataProblem

import vendor_files

MIB = 2**20


def refusal(file, *, largest=MIB) -> DataProblem:
    with pytest.raises(DataProblem) as caught:
        read_pickle(file, "file.pkl", largest=largest)
    return caught.value


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("dtype", ["<f8", ">f8", "<f4", "u1", "<i2", "?"])
def test_arrays_of_every_protocol(tmp_path, protocol, dtype):
    array = (np.arange(24).reshape(2, 3, 4) % 2).astype(dtype)
    file = tmp_path / "a.pkl"
    for value in (array, np.asfortranarray(array), array[..., ::2]):
        file.write_bytes(pickle.dumps(value, protocol=protocol))
        read = read_pickle(file, "a.pkl", largest=MIB)
        np.testing.assert_array_equal(read, value)
        assert read.dtype == np.dtype(dtype).newbyteorder("=")


def test_old_pickles(tmp_path):
    array = vendor_files.noise(3, 5)
    vendor_files.python2_pickle(tmp_path / "two.dat", {"data": array, "note": "ä"})
    content = (tmp_path / "two.dat").read_bytes()
    assert b"numpy.core.multiarray\n_reconstruct" in content
    assert b"_codecs" not in content
    read = read_pickle(tmp_path / "two.dat", "two.dat", largest=MIB)
    np.testing.assert_array_equal(read["data"], array)
    assert read["note"] == "ä"
    vendor_files.numpy1_pickle(tmp_path / "one.pkl", array)
    assert b"numpy.core.multiarray" in (tmp_path / "one.pkl").read_bytes()
    np.testing.assert_array_equal(read_pickle(tmp_path / "one.pkl", "one.pkl", largest=MIB), array)


def test_scalars_and_plain_containers(tmp_path):
    value = {"rate": np.float64(250.5), "names": ["Cz", ("Pz", 3, None, True)]}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(value))
    assert read_pickle(tmp_path / "a.pkl", "a.pkl", largest=MIB) == value


class Runs:
    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_that_runs_code_does_not(tmp_path, protocol):
    trace = tmp_path / "trace"
    cases = {
        f"{os.system.__module__}.system": Runs(os.system, f"touch {trace}"),
        "builtins.eval" if protocol > 2 else "__builtin__.eval": Runs(eval, f"open({str(trace)!r}, 'w')"),
    }
    for name, value in cases.items():
        file = tmp_path / "evil.pkl"
        file.write_bytes(pickle.dumps({"data": np.zeros(3), "x": [value]}, protocol=protocol))
        problem = refusal(file)
        assert f"the global '{name}'" in problem.found
        assert problem.where == "file.pkl"
        assert not trace.exists()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"cos\nsystem\n(S'true'\ntR.", "'os.system'"),
        (b"(S'true'\nios\nsystem\n.", "'os.system'"),
        (b"cnumpy\nndarray\n(I1000000000000\ntR.", "damaged"),  # ndarray is never callable
        (b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I1000000000000\ntS'b'\ntR.", "not built as numpy"),
        (b"cnumpy\ndtype\n(S'O'\ntR.", "dtype object"),
        (b"cnumpy\ndtype\n(S'f8,O'\ntR.", "does not hold plain numbers"),
        (b"cnumpy\ndtype\n(S'no such'\ntR.", "the dtype 'no such'"),
        (b"cnumpy\ndtype\n}S'__call__'\nI1\nsb.", "attributes set on a function"),
        (b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR.", "without content"),
        (b"\x80\x02T\xff\xff\xff\x7f.", "damaged"),  # a text of 2 GiB
        (b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.", "damaged"),  # bytes without end
        (b"\x80\x02Nr\xff\xff\xff\xff.", None),  # a memo index of 4 billion, harmless here
        (b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7fN.", "damaged"),  # a frame without end
        (b"P1\n.", "damaged"),  # a persistent id
        (b"\x80\x02\x82\x01.", "damaged"),  # an extension code
        (b"", "damaged"),
        (b"not a pickle", "damaged"),
    ],
)
def test_hand_made_opcodes(tmp_path, content, told):
    file = tmp_path / "evil.pkl"
    file.write_bytes(content)
    tracemalloc.start()
    if told is None:
        assert read_pickle(file, "file.pkl", largest=MIB) is None
    else:
        assert told in refusal(file).found
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * MIB


def test_object_and_structured_arrays_are_refused(tmp_path):
    file = tmp_path / "a.pkl"
    for array in (np.array([{}, None], dtype=object), np.zeros(2, dtype=[("a", "f8")]), np.array(["x"])):
        file.write_bytes(pickle.dumps(array))
        assert "does not hold plain numbers" in refusal(file).found


def test_content_shorter_than_the_shape_is_refused(tmp_path):
    file = tmp_path / "a.pkl"
    content = pickle.dumps(np.zeros((2, 3)), protocol=2)
    assert content.count(b"K\x02K\x03\x86") == 1
    file.write_bytes(content.replace(b"K\x02K\x03\x86", b"K\x02K\x04\x86"))
    assert "shape (2, 4) with 48 bytes" in refusal(file).found


def test_a_larger_file_is_not_opened(tmp_path):
    file = tmp_path / "a.pkl"
    with file.open("wb") as stream:
        stream.truncate(2**40)  # sparse
    assert str(2**40) in refusal(file).found


def test_matlab_73_is_named(tmp_path):
    file = tmp_path / "a.mat"
    with h5py.File(file, "w", userblock_size=512) as content:
        content["x"] = np.zeros(3)
    with file.open("r+b") as stream:
        stream.write(b"MATLAB 7.3 MAT-file, Platform: PCWIN64".ljust(128))
    with pytest.raises(DataProblem, match=r"7\.3 \(HDF5\)") as caught:
        matlab.read_variable(file, "a.mat", "x")
    assert "-v7" in caught.value.cure


@pytest.mark.parametrize("content", [b"", b"MATLAB 5.0", b"x" * 5000, bytes(200)])
def test_what_is_no_matlab_file(tmp_path, content):
    file = tmp_path / "a.mat"
    file.write_bytes(content)
    with pytest.raises(DataProblem) as caught:
        matlab.read_variable(file, "a.mat", "x")
    assert caught.value.where == "a.mat"


def test_missing_matlab_names_come_with_the_nearest(tmp_path):
    file = tmp_path / "a.mat"
    savemat(file, {"labels": np.zeros(3), "st": {"EEG": 1.0}})
    with pytest.raises(DataProblem, match="nearest labels"):
        matlab.read_variable(file, "a.mat", "label")
    with pytest.raises(DataProblem, match="the names EEG"):
        matlab.struct_field(matlab.read_variable(file, "a.mat", "st"), "Data", "a.mat: st")
    with pytest.raises(DataProblem, match="expected a struct"):
        matlab.struct_field(matlab.read_variable(file, "a.mat", "labels"), "EEG", "a.mat: st")


def test_small_matlab_integers_become_floats(tmp_path):
    savemat(tmp_path / "a.mat", {"score": np.array([[1, 5]], dtype=np.uint8)})
    score = matlab.numbers(matlab.read_variable(tmp_path / "a.mat", "a.mat", "score"), "a.mat")
    assert (score - 3).tolist() == [[-2, 2]]


@pytest.mark.parametrize("value", ["text", vendor_files.cells([1.0]), {"a": 1.0}])
def test_only_numbers_pass_as_numbers(tmp_path, value):
    savemat(tmp_path / "a.mat", {"x": value})
    with pytest.raises(DataProblem, match="an array of numbers"):
        matlab.numbers(matlab.read_variable(tmp_path / "a.mat", "a.mat", "x"), "a.mat")


def plain(value):
    """What scipy or mat5 read, as nested lists and dicts that can be compared."""
    if isinstance(value, mat5.Struct):
        return [{name: plain(part) for name, part in element.items()} for element in value.elements]
    if isinstance(value, mat5.Cell):
        return [plain(part) for part in value.elements]
    if isinstance(value, np.ndarray) and value.dtype.names:
        return [{name: plain(row[name]) for name in value.dtype.names} for row in value.ravel(order="F")]
    if isinstance(value, np.ndarray) and value.dtype == object:
        return [plain(part) for part in value.ravel(order="F")]
    if isinstance(value, np.ndarray) and value.dtype.kind == "U":
        return value.item() if value.size else ""
    return (value.dtype.name, value.shape, value.tobytes(order="F")) if isinstance(value, np.ndarray) else value


@pytest.mark.parametrize("compressed", [False, True])
def test_matlab_values_are_those_that_scipy_reads(tmp_path, compressed):
    file = tmp_path / "a.mat"
    numbers = {kind: np.arange(24).reshape(2, 3, 4).astype(kind) for kind in "bBhHiIqQfd"}
    nested = {"one": np.eye(3), "a_longer_name": "text", "cells": vendor_files.cells(["ä", 3.5, {"deep": np.uint8(7)}])}
    rows = np.array([[(1.0, "x"), (np.zeros((0, 3)), "")]], dtype=[("number", object), ("word", object)])
    written = {f"number_{kind}": array for kind, array in numbers.items()} | {"nested": nested, "rows": rows}
    savemat(file, written | {"yes": np.array([[True, False]]), "s": "hello"}, do_compression=compressed)
    expected = loadmat(file)
    heads = mat5.list_variables(file)
    assert [head.name for head in heads] == [name for name in expected if not name.startswith("__")]
    assert [(head.name, head.shape) for head in heads] == [
        (name, shape if name != "s" else (1, 5)) for name, shape, _ in whosmat(file)
    ]
    for head in heads:
        assert plain(mat5.read_variable(file, head.name, largest=MIB)) == plain(expected[head.name])


def test_files_that_matlab_wrote(realdata):
    files = sorted((realdata / "iclabel_golden").rglob("*.mat"))
    assert files
    for file in files:
        expected = loadmat(file)
        for head in mat5.list_variables(file):
            read = mat5.read_variable(file, head.name, largest=64 * MIB)
            assert plain(read) == plain(expected[head.name]), (file.name, head.name)


def test_what_is_not_wanted_is_not_read(tmp_path):
    file = tmp_path / "a.mat"
    large = np.zeros((1000, 1000))
    savemat(file, {"first": large, "st": {"a": large, "b": {"a": 1.0, "c": 2.0}}, "last": 5.0}, do_compression=True)
    tracemalloc.start()
    assert mat5.read_variable(file, "last", largest=100) == [[5]]
    value = mat5.read_variable(file, "st", largest=10 * MIB, skip=("a",))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert value.elements[0]["a"] == mat5.Other("skipped")
    assert value.elements[0]["b"].elements[0]["c"] == [[2]]
    assert peak < 2 * MIB
    with pytest.raises(DataProblem, match="at most 1048576 are right"):
        matlab.read_variable(file, "a.mat", "first")


def matrix(kind: int, *parts: bytes, shape=(1, 1), name: bytes = b"x") -> bytes:
    """A matrix element of a MAT file from its head and the bytes behind it."""
    head = struct.pack("<IIII", 6, 8, kind, 0) + struct.pack("<IIii", 5, 8, *shape)
    content = head + struct.pack("<II", 1, len(name)) + name.ljust(8, b"\0") + b"".join(parts)
    return struct.pack("<II", 14, len(content)) + content


FIELD_A = struct.pack("<HHi", 5, 4, 8) + struct.pack("<II", 1, 8) + b"a".ljust(8, b"\0")
DOUBLE = struct.pack("<IId", 9, 8, 1.5)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (matrix(6, DOUBLE, shape=(2**31 - 1, 2**31 - 1)), "with 8 bytes of content"),
        (matrix(6, DOUBLE, shape=(-1, 1)), "negative size"),
        (matrix(6, struct.pack("<II", 9, 2**32 - 1)), "larger than the one around it"),
        (matrix(6, struct.pack("<IId", 99, 8, 1.5)), "with 8 bytes of content"),
        (matrix(1, DOUBLE, shape=(2**31 - 1, 1)), "arrays in 16 bytes"),
        (matrix(1, DOUBLE), "where an array should be"),
        (matrix(1, struct.pack("<II", 14, 2**20)), "where an array should be"),
        (matrix(2, FIELD_A, shape=(2**31 - 1, 2**31 - 1)), "arrays in 0 bytes"),
        (matrix(2, DOUBLE), "a field of the head is missing"),
        (matrix(77, DOUBLE), "unknown class 77"),
        (struct.pack("<II", 14, 2**20), "shorter than its variables"),
        (struct.pack("<II", 15, 8) + b"notzlib!", "header check"),
        (struct.pack("<II", 9, 8) + bytes(8), "an element of type 9"),
        (b"\1\2\3", "ends in the middle"),
    ],
)
def test_hostile_matlab_sizes(tmp_path, content, told):
    file = tmp_path / "a.mat"
    file.write_bytes(b"MATLAB 5.0".ljust(124) + b"\0\1IM" + content)
    tracemalloc.start()
    with pytest.raises(DataProblem) as caught:
        matlab.read_variable(file, "a.mat", "x", largest=2**40)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert told in caught.value.found
    assert peak < MIB


def test_deep_matlab_cells_are_refused(tmp_path):
    content = matrix(6, DOUBLE)
    for _ in range(100):
        content = matrix(1, content)
    (tmp_path / "a.mat").write_bytes(b"MATLAB 5.0".ljust(124) + b"\0\1IM" + content)
    with pytest.raises(DataProblem, match="levels of cells"):
        matlab.read_variable(tmp_path / "a.mat", "a.mat", "x")


def test_matlab_functions_objects_and_odd_arrays_are_not_numbers(tmp_path):
    file = tmp_path / "a.mat"
    for number, kind in ((3, "object"), (5, "sparse"), (16, "function")):
        file.write_bytes(b"MATLAB 5.0".ljust(124) + b"\0\1IM" + matrix(number, DOUBLE))
        with pytest.raises(DataProblem, match=f"a MATLAB {kind}"):
            matlab.numbers(matlab.read_variable(file, "a.mat", "x"), "a.mat")
    savemat(file, {"x": np.array([[1 + 2j]])})
    with pytest.raises(DataProblem, match="a MATLAB complex"):
        matlab.numbers(matlab.read_variable(file, "a.mat", "x"), "a.mat")


def test_changed_bytes_are_refused_or_harmless(tmp_path):
    """Scipy's reader crashes the process on some of these files."""
    good = tmp_path / "good.mat"
    savemat(good, {"label": np.arange(15), "st": {"a": vendor_files.cells(["b", 1.0])}, "x": vendor_files.noise(3, 4)})
    content, file = good.read_bytes(), tmp_path / "a.mat"
    random = np.random.default_rng(0)
    outcomes = {"read": 0, "refused": 0}
    for _ in range(500):
        changed = bytearray(content)
        for place in random.integers(128, len(content), random.integers(1, 5)):
            changed[place] = random.integers(256)
        file.write_bytes(changed[: random.integers(128, len(content) * 3)])
        for name in ("label", "st", "x"):
            try:
                matlab.read_variable(file, "a.mat", name)
                outcomes["read"] += 1
            except DataProblem:
                outcomes["refused"] += 1
    assert min(outcomes.values()) > 100


def test_a_flipped_bit_in_compressed_numbers_is_noticed(tmp_path):
    file = tmp_path / "a.mat"
    savemat(file, {"x": np.round(vendor_files.noise(50, 50))}, do_compression=True)
    content = bytearray(file.read_bytes())
    content[-2] ^= 1  # in the checksum: the numbers themselves still unpack
    file.write_bytes(content)
    with pytest.raises(DataProblem, match="cannot be read"):
        matlab.read_variable(file, "a.mat", "x")


def test_edf_size_must_match_the_header(tmp_path):
    file = tmp_path / "a.edf"
    vendor_files.eegmat_file(file, seconds=2)
    assert read_header(file, "a.edf").duration_s == 2
    whole = file.read_bytes()
    for content in (whole[:-1000], whole + b"xx", whole[:300], b"", b"<html>" + whole):
        file.write_bytes(content)
        with pytest.raises(DataProblem):
            read_header(file, "a.edf")

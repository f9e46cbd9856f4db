"""Hostile and damaged files: nothing runs, nothing large is allocated, one clear refusal."""

from __future__ import annotations

import os
import pickle
import tracemalloc

import h5py
import numpy as np
import pytest
import vendor_files
from scipy.io import savemat

from eegpipe.datasets.formats import matlab
from eegpipe.datasets.formats.edf import read_header
from eegpipe.datasets.formats.pickles import read_pickle
from eegpipe.errors import DataProblem

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
    with pytest.raises(DataProblem, match="a struct with the field"):
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


def test_matlab_functions_and_objects_are_refused():
    from scipy.io.matlab import MatlabFunction, MatlabOpaque

    for kind in (MatlabFunction, MatlabOpaque):
        with pytest.raises(DataProblem, match=kind.__name__):
            matlab.numbers(np.zeros(3).view(kind), "a.mat")


def test_edf_size_must_match_the_header(tmp_path):
    file = tmp_path / "a.edf"
    vendor_files.eegmat_file(file, seconds=2)
    assert read_header(file, "a.edf").duration_s == 2
    whole = file.read_bytes()
    for content in (whole[:-1000], whole + b"xx", whole[:300], b"", b"<html>" + whole):
        file.write_bytes(content)
        with pytest.raises(DataProblem):
            read_header(file, "a.edf")

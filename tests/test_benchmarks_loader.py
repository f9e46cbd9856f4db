"""The benchmark of the loader in miniature: its windows, its readers, its rows."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from eegpipe.loader import load

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def modules():
    """The scripts' own modules: they are no package, so that they run from anywhere."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        import batches
        import eeg_windows
        import loader
        import streaming

        yield {"batches": batches, "windows": eeg_windows, "loader": loader, "streaming": streaming}
    finally:
        sys.path.remove(str(BENCHMARKS))


@pytest.fixture
def inside(modules, monkeypatch, tmp_path):
    """The script in this process, with its environment put back."""
    for name in ("EEGPIPE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(modules["loader"], "run", modules["streaming"]._run)
    monkeypatch.setattr(modules["batches"], "torcheeg_lmdb", missing)
    monkeypatch.setattr(modules["loader"], "torcheeg_lmdb", missing)

    def run(*options: str) -> dict[str, dict]:
        file = tmp_path / "figures.json"
        modules["loader"].main([*options, "--folder", str(tmp_path), "--json", str(file)])
        assert [path.name for path in tmp_path.iterdir()] == ["figures.json"]
        return {row["name"]: row for row in json.loads(file.read_text())}

    return run


def missing(*_):
    raise ModuleNotFoundError("No module named 'lmdb'")


def test_the_windows_are_eeg_cut_with_overlap(modules, tmp_path):
    made = modules["windows"].WindowSet(120)
    segments = load(made.write(tmp_path / "bench.zarr"))
    assert segments.eeg.shape == (120, 60, 1000)
    np.testing.assert_array_equal(segments.eeg[0, :, 400:], segments.eeg[1, :, :600])
    power = np.abs(np.fft.rfft(segments.eeg[:4], axis=2)) ** 2
    hz = np.fft.rfftfreq(1000, 1 / 200)
    assert power[..., hz > 60].sum() < 0.01 * power.sum()
    low, alpha, high = (power[..., (hz > a) & (hz < b)].mean() for a, b in ((1, 4), (9, 11), (20, 40)))
    assert min(low, alpha) > 3 * high
    assert 5 < segments.eeg.std() < 50


def test_batches_without_torcheeg(inside, capsys):
    rows = inside("--only", "batches", "--segments", "60", "--batch", "4", "9", "--rounds", "2")
    said = capsys.readouterr().out
    assert "torcheeg's LMDB is not measured: No module named 'lmdb'" in said
    assert set(rows) == {"random_batches_vs_memmap", "random_batches_vs_zarr_python", "random_batches_vs_copy"}
    for row in rows.values():
        assert min(row["ours"], row["rival"]) > 0
        assert row["ratio"] == pytest.approx(row["ours"] / row["rival"], rel=1e-2)


def test_torcheeg_from_a_folder_of_its_own(modules, tmp_path, monkeypatch):
    """A stand-in with torcheeg's interface: what is written is read by its keys."""
    package = tmp_path / "installed" / "torcheeg"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "io.py").write_text(
        "class EEGSignalIO(dict):\n"
        "    def __init__(self, io_path, io_size, io_mode): assert io_mode == 'lmdb' and io_size > 0\n"
        "    def write_eeg(self, eeg): key = str(len(self)); self[key] = eeg.copy(); return key\n"
        "    read_eeg = dict.__getitem__\n"
    )
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("torcheeg", "torcheeg.io"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    eeg = np.random.default_rng(0).normal(size=(5, 2, 3)).astype(np.float32)
    gather = modules["batches"].torcheeg_lmdb(eeg, tmp_path, tmp_path / "installed")
    np.testing.assert_array_equal(gather(np.array([3, 0, 3])), eeg[[3, 0, 3]])
    for name in ("torcheeg", "torcheeg.io"):
        monkeypatch.delitem(sys.modules, name)


def test_readers_that_give_other_windows_are_found_out(modules):
    Reader, rates = modules["batches"].Reader, modules["batches"].rates
    eeg = np.arange(40.0).reshape(10, 4)
    same = rates({"a": Reader(eeg.__getitem__, 2), "b": Reader(lambda rows: eeg[rows], 1)}, 10, [2, 3], 2)
    assert set(same) == {"a", "b"}
    assert set(same["a"]) == {2, 3}
    with pytest.raises(SystemExit, match="The windows of b are others"):
        rates({"a": Reader(eeg.__getitem__, 2), "b": Reader(lambda rows: eeg[rows] + 1, 1)}, 10, [2], 2)
    assert modules["batches"].overall({10: 5.0, 20: 20.0}) == 10.0


def test_size_and_files(inside, modules, monkeypatch):
    monkeypatch.setattr(modules["loader"], "_CODED", 60)
    rows = inside("--only", "size", "--segments", "60")
    assert rows["store_size_vs_float32"]["ratio"] < 0.6
    files = rows["seed_store_files"]
    # 15 clips of 185 to 265 s, 15 people, 3 sessions; a file each 256 windows.
    assert 70_000 < files["rival"] < 80_000
    assert files["rival"] / 256 < files["ours"] < 1000


def test_streaming_rows(inside, modules, monkeypatch):
    monkeypatch.setattr(modules["loader"], "_TURNS", 1)
    rows = inside("--only", "streaming", "--segments", "60", "--steps", "1")
    assert set(rows) == {"streaming_vs_resident", "streaming_cached_vs_resident", "streaming_peak_memory"}
    assert min(row["ours"] for row in rows.values()) > 0


def test_dvc_row(inside):
    row = inside("--only", "dvc", "--segments", "60")["dvc_add_vs_md5"]
    assert row["rival"] > 0

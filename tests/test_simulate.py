"""The simulator: vendor files that are the vendor's to the byte layout, reproducible, with truth that matches them.

Files are opened with scipy and pickle here, not with eegpipe's readers: a format error that both sides share must not
pass.
"""

from __future__ import annotations

import csv
import hashlib
import itertools
import json
import pickle
import pickletools
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat
from scipy.io.matlab import whosmat

from eegpipe.errors import UsageProblem
from eegpipe.simulate import SimulateSettings, simulate

from vendor_signals import file_signals

SEED_LABELS = [1, 0, -1, -1, 0, 1, -1, 0, 1, 1, 0, -1, 0, 1, -1]
SIZES = {"seed": (2, 5), "deap": (2, 4), "faced": (2, 5), "dreamer": (2, 4)}


@pytest.fixture(scope="module")
def trees(tmp_path_factory) -> dict[str, Path]:
    """Two people of every data set; the truth lies in ``<name>-truth`` beside each tree."""
    root = tmp_path_factory.mktemp("simulated")
    for name, (subjects, trial_s) in SIZES.items():
        settings = SimulateSettings(subjects=subjects, sessions=1, trial_s=trial_s, seed=3)
        simulate(name, root / name, settings, truth=root / f"{name}-truth")
    return {name: root / name for name in SIZES}


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def rows(tree: Path) -> list[dict[str, str]]:
    with (tree.with_name(f"{tree.name}-truth") / "trials.tsv").open(encoding="utf-8") as lines:
        return list(csv.DictReader(lines, delimiter="\t"))


def truth(tree: Path, stem: str) -> np.lib.npyio.NpzFile:
    return np.load(tree.with_name(f"{tree.name}-truth") / f"{stem}.npz")


@pytest.mark.parametrize("name", ["seed", "deap", "faced"])
def test_same_seed_same_bytes_whatever_the_number_of_people(name, trees, tmp_path):
    _, trial_s = SIZES[name]
    one = SimulateSettings(subjects=1, sessions=1, trial_s=trial_s, seed=3)
    simulate(name, tmp_path / name, one, truth=tmp_path / "truth")
    alone, both = digests(tmp_path / name), digests(trees[name])
    shared = set(alone) - {"eegpipe-simulated.json", "Recording_info.csv"}
    assert shared
    assert {path: both[path] for path in shared} == {path: alone[path] for path in shared}
    first = digests(tmp_path)
    simulate(name, tmp_path / name, one, truth=tmp_path / "truth")
    assert digests(tmp_path) == first
    simulate(
        name,
        tmp_path / name,
        SimulateSettings(subjects=1, sessions=1, trial_s=trial_s, seed=4),
        truth=tmp_path / "truth",
    )
    assert not set(digests(tmp_path / name).values()) & {alone[path] for path in shared if "label" not in path}


def test_marker_says_what_was_shrunk(trees):
    marker = json.loads((trees["seed"] / "eegpipe-simulated.json").read_text())
    assert marker["simulated"] is True
    assert marker["seed"] == 3
    assert (marker["facts"]["subjects"], marker["facts"]["sessions"], marker["facts"]["trials"]) == (2, 1, 15)
    lengths = marker["facts"]["trial_s"]
    assert len(lengths) == 15
    assert max(lengths) > min(lengths)  # SEED's clips differ in length
    assert json.loads((trees["deap"] / "eegpipe-simulated.json").read_text())["facts"]["trial_s"] == [7.0] * 40


def test_seed_files(trees):
    folder = trees["seed"] / "Preprocessed_EEG"
    assert sorted(path.name for path in folder.iterdir()) == ["1_20131027.mat", "2_20140404.mat", "label.mat"]
    assert loadmat(folder / "label.mat")["label"].tolist() == [SEED_LABELS]
    lengths = json.loads((trees["seed"] / "eegpipe-simulated.json").read_text())["facts"]["trial_s"]
    prefixes = set()
    for name in ("1_20131027.mat", "2_20140404.mat"):
        variables = whosmat(folder / name)
        assert [shape for _, shape, _ in variables] == [(62, int(200 * seconds) + 1) for seconds in lengths]
        assert {kind for _, _, kind in variables} == {"double"}
        prefix, _, last = variables[-1][0].partition("_eeg")
        assert last == "15"
        prefixes.add(prefix)
        content = (folder / name).read_bytes()
        assert content[:10] == b"MATLAB 5.0"
        assert struct.unpack("<I", content[128:132]) == (15,)  # zlib-compressed element
    assert len(prefixes) == 2


def test_seed_sessions_differ_in_signal_but_share_the_clip_lengths(tmp_path):
    settings = SimulateSettings(subjects=1, trial_s=4)
    simulate("seed", tmp_path / "seed", settings, truth=tmp_path / "truth")
    files = sorted((tmp_path / "seed" / "Preprocessed_EEG").glob("1_*.mat"))
    assert [path.stem for path in files] == ["1_20131027", "1_20131030", "1_20131107"]
    first, second = (loadmat(path)["qaa_eeg3"] for path in files[:2])
    assert first.shape == second.shape
    assert not np.array_equal(first, second)


def test_deap_files(trees):
    folder = trees["deap"] / "data_preprocessed_python"
    assert sorted(path.name for path in folder.iterdir()) == ["s01.dat", "s02.dat"]
    content = (folder / "s01.dat").read_bytes()
    assert content[:2] == b"\x80\x02"
    opcodes = {opcode.name for opcode, _, _ in pickletools.genops(content)}
    assert "BINSTRING" in opcodes  # a str of Python 2, not the bytes of Python 3
    with pytest.raises(UnicodeDecodeError):
        pickle.loads(content)
    loaded = pickle.loads(content, encoding="latin1")
    assert list(loaded) == ["data", "labels"]
    data, labels = loaded["data"], loaded["labels"]
    assert data.shape == (40, 40, (3 + 4) * 128)
    assert data.dtype == labels.dtype == np.float64
    assert labels.shape == (40, 4)
    assert labels.min() >= 1
    assert labels.max() <= 9
    np.testing.assert_allclose(data[:, :32].mean(axis=1), 0, atol=1e-3)  # average reference
    power = np.abs(np.fft.rfft(data[:, :32], axis=-1)) ** 2
    hz = np.fft.rfftfreq(data.shape[-1], 1 / 128)
    inside, below = (hz > 5) & (hz < 40), (hz > 0) & (hz < 2)
    assert power[..., inside].mean() > 20 * power[..., below].mean()


def test_faced_files(trees):
    tree = trees["faced"]
    content = (tree / "Processed_data" / "sub001.pkl").read_bytes()
    assert content[:2] == b"\x80\x04"
    assert b"numpy.core.multiarray" in content
    assert b"numpy._core" not in content
    assert all(True for _ in pickletools.genops(content))  # frames have the right length
    array = pickle.loads(content)
    assert array.shape == (28, 32, 5 * 250)
    assert array.dtype == np.float64
    assert array.flags.c_contiguous
    np.testing.assert_allclose(array.mean(axis=1), 0, atol=1e-3)

    remarks = loadmat(tree / "Data" / "sub001" / "After_remarks.mat")["After_remark"]
    assert remarks.shape == (28, 1)
    assert remarks.dtype.names == ("score", "trial", "vid", "Accuracy", "ResponseTime")
    assert [int(remark["trial"][0, 0]) for remark in remarks[:, 0]] == list(range(1, 29))
    order = [int(remark["vid"][0, 0]) for remark in remarks[:, 0]]
    assert sorted(order) == list(range(1, 29))
    assert order != sorted(order)
    valence = [-1 if clip <= 12 else 0 if clip <= 16 else 1 for clip in order]
    assert all(len(set(valence[at : at + 4])) == 1 for at in range(0, 28, 4))
    by_clip = dict(zip(order, (remark["score"] for remark in remarks[:, 0]), strict=True))
    for row in (row for row in rows(tree) if row["subject"] == "001"):
        score = by_clip[int(row["stimulus"].removeprefix("faced/"))]
        assert score.shape == (1, 12)
        assert float(row["rating_joy"]) == pytest.approx(score[0, 0], abs=1e-4)
        assert float(row["rating_arousal"]) == pytest.approx(score[0, 8], abs=1e-4)
        assert float(row["rating_valence"]) == pytest.approx(score[0, 9], abs=1e-4)
    header = (tree / "Recording_info.csv").read_text().splitlines()[0]
    assert header == "sub,Gender,Age,Cohort ,Sample_rate,Unit"


def test_faced_pickle_of_full_size_has_the_vendors_byte_count(tmp_path):
    from eegpipe.simulate.containers import write_numpy1_pickle

    write_numpy1_pickle(tmp_path / "sub000.pkl", np.zeros((28, 32, 7500)))
    assert (tmp_path / "sub000.pkl").stat().st_size == 53_760_164


def test_dreamer_file(trees):
    root = loadmat(trees["dreamer"] / "DREAMER.mat")["DREAMER"]
    assert root.dtype.names == (
        "Data", "EEG_SamplingRate", "ECG_SamplingRate", "EEG_Electrodes", "noOfSubjects", "noOfVideoSequences",
        "Disclaimer", "Provider", "Version", "Acknowledgement",
    )  # fmt: skip
    content = root[0, 0]
    assert (content["EEG_SamplingRate"].item(), content["ECG_SamplingRate"].item()) == (128, 256)
    assert [name.item() for name in content["EEG_Electrodes"][0]][:3] == ["AF3", "F7", "F3"]
    assert content["Data"].shape == (1, 2)
    person = content["Data"][0, 0][0, 0]
    assert person.dtype.names == ("Age", "Gender", "EEG", "ECG", "ScoreValence", "ScoreArousal", "ScoreDominance")
    for score in ("ScoreValence", "ScoreArousal", "ScoreDominance"):
        assert person[score].shape == (18, 1)
        assert person[score].dtype == np.uint8
        assert set(person[score].ravel()) <= {1, 2, 3, 4, 5}
    lengths = set()
    for clip in range(18):
        baseline, stimulus = (person["EEG"][part][0, 0][clip, 0] for part in ("baseline", "stimuli"))
        assert baseline.shape == (SIZES["dreamer"][1] * 128, 14)
        assert stimulus.shape[1] == 14
        assert stimulus.shape[0] % 128 == 0
        assert person["ECG"]["stimuli"][0, 0][clip, 0].shape == (2 * stimulus.shape[0], 2)
        assert 4000 < np.median(stimulus) < 4400  # the level of the unsigned converter
        lengths.add(stimulus.shape[0])
    assert len(lengths) > 1


def test_people_in_the_one_dreamer_file_do_not_depend_on_their_number(trees, tmp_path):
    settings = SimulateSettings(subjects=1, sessions=1, trial_s=4, seed=3)
    simulate("dreamer", tmp_path / "dreamer", settings, truth=tmp_path / "truth")
    alone, both = (loadmat(tree / "DREAMER.mat")["DREAMER"][0, 0] for tree in (tmp_path / "dreamer", trees["dreamer"]))
    for signal in ("EEG", "ECG"):
        cells = [file["Data"][0, 0][0, 0][signal][0, 0]["stimuli"] for file in (alone, both)]
        assert all(np.array_equal(*pair) for pair in zip(cells[0][:, 0], cells[1][:, 0], strict=True))


@pytest.mark.parametrize("name", SIZES)
def test_truth_lies_under_the_signal_of_the_file(name, trees):
    signals = file_signals(name, trees[name])
    table = rows(trees[name])
    assert {row["recording"] for row in table} == set(signals)
    for stem, signal in signals.items():
        answer = truth(trees[name], stem)
        clean = answer["clean_uv"]
        assert clean.shape == signal.shape
        assert clean.dtype == np.float32
        good = [row for row, channel in enumerate(answer["channels"]) if channel not in answer["bad_channels"]]
        # Above the drifts and the eyes, what stands in the file is mostly brain, sample for sample.
        hz = np.fft.rfftfreq(signal.shape[1], 1 / answer["rate_hz"])
        band = ((hz > 7) & (hz < 40)).astype(float)
        pair = [np.fft.irfft(np.fft.rfft(x[good]) * band, signal.shape[1]) for x in (signal, clean)]
        corr = [np.corrcoef(a, b)[0, 1] for a, b in zip(*pair, strict=True)]
        assert np.median(corr) > 0.8
        mine = [row for row in table if row["recording"] == stem]
        edges = [(int(row["onset_sample"]), int(row["onset_sample"]) + int(row["n_samples"])) for row in mine]
        assert all(first[1] <= second[0] for first, second in itertools.pairwise(edges))
        assert edges[-1][1] == signal.shape[1]
        assert [int(row["trial"]) for row in mine] == list(range(1, len(mine) + 1))


def test_truth_gives_seed_labels_and_deap_ratings_of_the_files(trees):
    words = {1: "positive", 0: "neutral", -1: "negative"}
    mine = [row["label"] for row in rows(trees["seed"]) if row["subject"] == "02"]
    assert mine == [words[code] for code in SEED_LABELS]
    labels = pickle.loads((trees["deap"] / "data_preprocessed_python" / "s02.dat").read_bytes(), encoding="latin1")
    mine_deap = [row for row in rows(trees["deap"]) if row["subject"] == "02"]
    for column, name in enumerate(("valence", "arousal", "dominance", "liking")):
        np.testing.assert_allclose([float(row[f"rating_{name}"]) for row in mine_deap], labels["labels"][:, column])
    # A rating of 5 is the middle of 1-9: 0 in -4..4.
    np.testing.assert_allclose([float(row["valence"]) for row in mine_deap], labels["labels"][:, 0] - 5, atol=1e-4)
    assert {int(row["onset_sample"]) % (7 * 128) for row in mine_deap} == {3 * 128}


def test_blinks_are_where_the_truth_says(trees):
    signal = file_signals("seed", trees["seed"])["sub-01_ses-1_task-emotion"]
    answer = truth(trees["seed"], "sub-01_ses-1_task-emotion")
    onsets = answer["artefact_onset_s"][answer["artefact_kind"] == "blink"]
    assert len(onsets) >= 5
    frontal = signal[0] - answer["clean_uv"][0]
    # 0.11 s after its onset a blink peaks; 0.4 s before it the eye was open.
    peaks = np.array([frontal[round((onset + 0.11) * 200)] for onset in onsets if onset > 0.5])
    before = np.array([frontal[round((onset - 0.3) * 200)] for onset in onsets if onset > 0.5])
    assert np.median(peaks - before) > 50


@pytest.mark.parametrize(
    ("name", "settings", "says"),
    [
        ("eegmat", SimulateSettings(), "10.13026/C2JQ1P"),
        ("sed", SimulateSettings(), "Did you mean 'seed'"),
        ("seed", SimulateSettings(subjects=16), "more than seed has"),
        ("deap", SimulateSettings(sessions=2), "more than deap has"),
        ("faced", SimulateSettings(trial_s=31), "only shrinks"),
    ],
)
def test_wrong_requests_are_refused_before_anything_is_written(name, settings, says, tmp_path):
    with pytest.raises(UsageProblem, match=says):
        simulate(name, tmp_path / "out", settings, truth=tmp_path / "truth")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_not_simulated_is_never_replaced(tmp_path):
    (tmp_path / "SEED").mkdir()
    (tmp_path / "SEED" / "1_20131027.mat").write_bytes(b"somebody's data")
    with pytest.raises(UsageProblem, match="not simulated"):
        simulate("seed", tmp_path / "SEED", SimulateSettings(subjects=1), truth=tmp_path / "truth")
    assert (tmp_path / "SEED" / "1_20131027.mat").read_bytes() == b"somebody's data"
    with pytest.raises(UsageProblem, match="outside"):
        simulate("seed", tmp_path / "new", SimulateSettings(subjects=1), truth=tmp_path / "new" / "truth")


def test_an_interrupted_simulation_leaves_nothing(tmp_path, monkeypatch):
    import eegpipe.datasets.faced.simulate as faced

    def interrupted(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(faced, "_write_remarks", interrupted)
    with pytest.raises(KeyboardInterrupt):
        simulate("faced", tmp_path / "out", SimulateSettings(subjects=1, trial_s=4), truth=tmp_path / "truth")
    assert list(tmp_path.iterdir()) == []


def test_import_is_light():
    code = "import sys, eegpipe.simulate; print(sorted({'mne', 'numpy', 'scipy', 'torch'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"

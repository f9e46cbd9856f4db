"""EmoEEG-MC: what the README means, trials from marks, arrays that are not unpickled, both forms agree."""

from __future__ import annotations

import shutil
from pathlib import Path

import mne
import numpy as np
import pytest

from eegpipe import datasets
from eegpipe.datasets.emoeeg_mc import DATASET, facts, guide
from eegpipe.datasets.formats.edf import read_header
from eegpipe.errors import DataProblem
from eegpipe.simulate import SimulateSettings, simulate

RAW, DERIVATIVE = DATASET.variants
EDF = "sub-02/eeg/sub-02_task-emotion_eeg.edf"
IMA = "derivatives/sub-02/ses-ima/eeg/sub-02_ses-ima_task-emotion_reorder.npy"


@pytest.fixture(scope="module")
def simulated(tmp_path_factory) -> Path:
    """sub-02 in both forms, as on OpenNeuro."""
    root = tmp_path_factory.mktemp("emoeeg")
    for variant, people in (("derivative", 2), ("raw", 1)):
        settings = SimulateSettings(variant=variant, subjects=people, trial_s=4, seed=6)
        simulate("emoeeg_mc", root / variant, settings, truth=root / f"truth-{variant}")
    (root / "raw/derivatives").mkdir()
    shutil.move(root / "derivative/derivatives/sub-02", root / "raw/derivatives/sub-02")
    return root / "raw"


@pytest.fixture
def tree(simulated, tmp_path) -> Path:
    shutil.copytree(simulated, tmp_path / "raw")
    return tmp_path / "raw"


def read(root: Path, variant=RAW):
    [entry] = variant.discover(root).entries
    return variant.read(root, entry)


def refusal(root: Path, variant=RAW) -> DataProblem:
    with pytest.raises(DataProblem) as caught:
        read(root, variant)
    return caught.value


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_the_files_by_mne_and_numpy(simulated):
    raw = mne.io.read_raw_edf(simulated / EDF, verbose="error")
    assert raw.info["sfreq"] == 1200
    assert tuple(raw.ch_names[:64]) == facts.CHANNELS
    assert len(raw.ch_names) == 68
    codes = [one["description"] for one in raw.annotations]
    assert (codes.count("32"), codes.count("33")) == (21, 21)  # sub-02: vid-33 rating-31 ima-32 fade-30
    assert codes.count("31") >= 42
    assert "sub-02: vid-33 rating-31 ima-32 fade-30" in (simulated / "README.md").read_text()
    array = np.load(simulated / IMA)
    assert (array.shape[:2], array.dtype) == ((64, 21), np.float64)
    assert np.abs(array.mean(axis=0)).max() < 1e-9  # average reference


def test_a_raw_recording(simulated):
    recording = read(simulated)
    raw = mne.io.read_raw_edf(simulated / EDF, verbose="error")
    assert tuple(recording.raw.ch_names) == facts.CHANNELS
    np.testing.assert_allclose(recording.raw.get_data(), raw.get_data()[:64], rtol=2e-7, atol=1e-13)
    marks = [(one["onset"], one["description"]) for one in raw.annotations]
    starts = [onset for onset, code in marks if code in ("32", "33")]
    np.testing.assert_allclose([event.onset_s for event in recording.stimuli], starts, atol=1e-3)
    for event in recording.stimuli:
        ends = ("31",) if "/vid-" in event.stimulus else ("30", "31")
        assert event.onset_s + event.duration_s == pytest.approx(
            next(onset for onset, code in marks if onset > event.onset_s and code in ends), abs=1e-3
        )
        assert set(event.ratings) == set(facts.RATINGS)
        assert event.affect.valence == pytest.approx((event.ratings["valence"] - 3.5) * 8 / 7)
        assert event.affect.arousal == pytest.approx((event.ratings["arousal"] - 3.5) * 8 / 7)
    assert sorted(event.trial for event in recording.stimuli) == list(range(1, 43))
    assert len({event.stimulus for event in recording.stimuli}) == 42
    assert recording.sex in ("F", "M")
    # Rows of the table are in order of time.
    rows = [line.split("\t") for line in (simulated / "sub-02/beh/sub-02_task-emotion_beh.tsv").open()][1:]
    assert [event.ratings["liking"] for event in recording.stimuli] == [float(row[11]) for row in rows]


def test_the_two_forms_agree(simulated):
    raw, derivative = read(simulated), read(simulated, DERIVATIVE)
    assert [event.stimulus for event in derivative.stimuli] == [
        f"emoeeg_mc/{context}-{name}" for context in ("ima", "vid") for name in facts.STIMULI
    ]
    by_stimulus = {event.stimulus: event for event in raw.stimuli}
    correlations = []
    signal, cleaned = raw.raw.get_data(), derivative.raw.get_data()
    for event, (first, last) in zip(derivative.stimuli, derivative.blocks, strict=True):
        other = by_stimulus[event.stimulus]
        assert (event.label, event.ratings, event.affect) == (other.label, other.ratings, other.affect)
        stop = round((other.onset_s + other.duration_s) * 1200)
        theirs = signal[:, stop - 6 * (last - first) : stop : 6]
        theirs = theirs - theirs.mean(axis=0)
        correlations += [np.corrcoef(a, b)[0, 1] for a, b in zip(theirs, cleaned[:, first:last], strict=True)]
    assert np.median(correlations) > 0.8


def test_which_form_a_folder_is(simulated, tmp_path):
    assert datasets.recognise(simulated)[1].name == "raw"
    assert DERIVATIVE.recognise(simulated)
    (tmp_path / "ds005540").symlink_to(simulated)
    assert datasets.recognise(tmp_path)[1].name == "raw"
    assert DERIVATIVE.discover(simulated / "derivatives").root == simulated
    only = tmp_path / "only"
    shutil.copytree(simulated / "derivatives", only / "derivatives")
    assert [variant.name for variant in DATASET.variants if variant.recognise(only)] == ["derivative"]
    # Another BIDS folder with the same task name.
    other = tmp_path / "other/sub-02/eeg"
    other.mkdir(parents=True)
    (other / "sub-02_task-emotion_eeg.edf").write_bytes(b"")
    assert DATASET.recognise(tmp_path / "other") is None


README = """
- **sub55**: Missing 3 imagery trials (Trials 19-21) and 3 video trials (Trials 40-42).
- **sub56**: Missing 2 imagery trials (Trials 20 and 21).
- **sub57**: Missing 4 imagery trials (Trials 6, 8, 13, and 21) and 6 video trials (Trials 23, 24, 36, 37, 38, and 42).

`reorder = ['sad4', 'sad5', 'sad8']`

53. `['neu8', 'neu4', 'dis5']`
- **sub54 Imagery sequence**:
  `['ten8', 'ten5']`

- **sub54 Video sequence**:
  `['joy8', 'joy5', 'joy4']`

- **sub55**: The sequence for imagery and video trials is:
  `['dis5', 'sad4']`

- **sub56**:
  - Imagery sequence:
    `['joy8']`
  - Video sequence:
    `['joy8', 'joy5']`

## Guide for labels
     sub-09: ima-5, fade-3, rating-4, vid-6
     sub-16: vid-24 rating-22 ima-23 fede-21
     sub-55: vid-30  rating-28  ima-29  fade-27
"""


def test_the_readme(tmp_path):
    (tmp_path / "Readme.md").write_text(README)
    found = guide.read_guide(tmp_path)
    assert found.codes == {
        9: {5: "ima", 3: "fade", 4: "rating", 6: "vid"},
        16: {24: "vid", 22: "rating", 23: "ima", 21: "fade"},
        55: {30: "vid", 28: "rating", 29: "ima", 27: "fade"},
    }
    assert found.orders == {
        53: {"ima": ("neu8", "neu4", "dis5"), "vid": ("neu8", "neu4", "dis5")},
        54: {"ima": ("ten8", "ten5"), "vid": ("joy8", "joy5", "joy4")},
        55: {"ima": ("dis5", "sad4"), "vid": ("dis5", "sad4")},
        56: {"ima": ("joy8",), "vid": ("joy8", "joy5")},
    }
    assert found.missing == {
        55: {"ima": (19, 20, 21), "vid": (19, 20, 21)},
        56: {"ima": (20, 21)},
        57: {"ima": (6, 8, 13, 21), "vid": (2, 3, 15, 16, 17, 21)},
    }


@pytest.mark.parametrize(
    ("old", "new", "where", "found"),
    [
        ("sub-02: vid-33", "sub-02: vid-31", "README.md: line", "vid 31"),
        ("sub-02: vid-33", "sub-02: vid-19", f"{EDF}: marks of video trials", "0 trials"),
        ("sub-02: vid-33", "sub-02:", "README.md: line", "rating 31"),
        ("     sub-02:", "     sub-03:", "README.md: event codes of sub-02", "none"),
        ("2. `[", "4. `[", "README.md: imagery sequence of sub-02", "none"),
        ("2. `['", "2. `['xyz', '", "README.md: line", "'xyz'"),
        ("2. `[", "2. `['sad4', 'sad4', ", "README.md: line", "twice"),
    ],
)
def test_a_readme_that_does_not_fit(tree, old, new, where, found):
    replace(tree / "README.md", old, new)
    problem = refusal(tree)
    assert problem.where.startswith(where)
    assert found in problem.found


def test_tables_of_the_user_replace_the_readme(tree):
    before = read(tree)
    order = guide.read_guide(tree).order_of(2, "ima")
    (tree / "README.md").unlink()
    found = RAW.discover(tree)
    assert [problem.where for problem in found.problems] == ["README.md"]
    assert "codes" in refusal(tree).cure
    codes = "subject\tfade\trating\tima\tvid\nsub-02\t30\t31\t32\t33\n"
    (tree / guide.CODES_TABLE).write_text(codes)
    lines = [f"02\t{block}\t{k}\t{name}" for block in ("vid", "ima") for k, name in enumerate(order, 1)]
    (tree / guide.ORDER_TABLE).write_text("\n".join(["subject\tblock\ttrial\tstimulus", *reversed(lines)]))
    assert not RAW.discover(tree).problems
    assert read(tree).stimuli == before.stimuli
    (tree / guide.CODES_TABLE).write_text(codes.replace("33", "x"))
    problem = refusal(tree)
    assert (problem.where, problem.found) == (f"{guide.CODES_TABLE}: line 2, vid", "'x'")


def test_a_film_of_the_wrong_length_is_refused(tree):
    order = guide.read_guide(tree).order_of(2, "vid")
    text = (tree / "README.md").read_text()
    swapped = text.replace("'joy4'", "'?'", 1) if text.count("'joy4'") == 1 else text
    head, line, tail = swapped.partition(f"2. `{list(order)}`")
    line = line.replace("'dis8'", "'?'").replace("'joy4'", "'dis8'").replace("'?'", "'joy4'")
    (tree / "README.md").write_text(head + line + tail)
    problem = refusal(tree)
    assert "between its marks" in problem.found
    assert "(joy4)" in problem.where or "(dis8)" in problem.where


def test_signals_that_are_refused(tree):
    file = tree / EDF
    whole = file.read_bytes()
    n = len(read_header(file, "x").labels)

    def told(at: int, content: bytes, where: str, found: str) -> None:
        file.write_bytes(whole[:at] + content + whole[at + len(content) :])
        problem = refusal(tree)
        assert problem.where.startswith(f"{EDF}{where}")
        assert found in problem.found
        file.write_bytes(whole)

    told(256 + 16 * 3, b"XX7", ": channels", "without AF7")
    told(256 + 16 * 64, b"Fp1  ", ": channels", "68 channels")
    told(256 + (16 + 80) * n, b"kg", ": units", "'kg'")
    told(244, b"2       ", ": rate", "600 Hz")
    told(256 + (16 + 80) * n, b"".join(b"nV      " for _ in range(64)), "", "as if in")
    file.write_bytes(whole[:-5])
    assert "bytes" in refusal(tree).found
    file.write_bytes(whole)
    # Two marks of films are lost.
    lost = whole.replace(b"\x1433\x14", b"\x1439\x14", 2)
    file.write_bytes(lost)
    assert refusal(tree).found == "19 trials"


@pytest.mark.parametrize(
    ("cell", "where", "found"),
    [("8.1", "scores", "8.1"), ("-1", "score_1", "'-1'"), ("x", "score_1", "'x'")],
)
def test_ratings_that_are_refused(tree, cell, where, found):
    table = tree / "sub-02/beh/sub-02_task-emotion_beh.tsv"
    lines = table.read_text().splitlines()
    cells = lines[3].split("\t")
    lines[3] = "\t".join([*cells[:2], cell, *cells[3:]])
    table.write_text("\n".join(lines))
    problem = refusal(tree)
    assert problem.where.endswith(f"beh.tsv: {where}")
    assert found in problem.found
    # A row too few: nothing tells which.
    table.write_text("\n".join(lines[:3] + lines[4:]))
    recording = read(tree)
    assert not any(event.ratings for event in recording.stimuli)
    assert {event.affect.source.text for event in recording.stimuli} == {"word-norm"}
    assert any("41 rows" in note for note in recording.notes)


def test_files_that_are_missing_are_said(tree):
    (tree / "sub-02/beh/sub-02_task-emotion_beh.tsv").unlink()
    (tree / "sub-07/beh").mkdir(parents=True)
    (tree / "sub-07/beh/sub-07_task-emotion_beh.tsv").write_text("")
    assert [problem.where for problem in RAW.discover(tree).problems] == ["sub-02/beh/sub-02_task-emotion_beh.tsv"]
    shutil.copy(tree / EDF, tree / "sub-02/eeg/sub-02_task-emotion_run-01_eeg.edf")
    assert "sub-02/eeg" in [problem.where for problem in RAW.discover(tree).problems]
    (tree / IMA).unlink()
    [problem] = DERIVATIVE.discover(tree).problems
    assert problem.found == "no reordered file of imagery"


def test_arrays_that_are_refused(tree):
    array = np.load(tree / IMA)

    def told(written: np.ndarray, found: str) -> None:
        np.save(tree / IMA, written, allow_pickle=True)
        problem = refusal(tree, DERIVATIVE)
        assert problem.where.startswith(IMA)
        assert found in problem.found

    told(array[:, :20], "(64, 20, ")
    told(array.transpose(1, 0, 2), "(21, 64, ")
    told(array.astype(np.float32), "f4")
    told(array * 1e-6, "as if in volt")
    told(np.array([{"a": array}], dtype=object), "Python objects")
    broken = array.copy()
    broken[3, 4, 5] = np.nan
    told(broken, "1 values that are NaN")
    np.save(tree / IMA, array)
    (tree / IMA).write_bytes((tree / IMA).read_bytes()[:-8])
    assert "bytes" in refusal(tree, DERIVATIVE).found


def test_without_raw_files_the_word_stands_for_the_rating(tree):
    (tree / EDF).unlink()
    recording = read(tree, DERIVATIVE)
    assert {event.affect.source.text for event in recording.stimuli} == {"word-norm"}
    assert not any(event.ratings for event in recording.stimuli)
    assert "emotion word" in recording.notes[0]

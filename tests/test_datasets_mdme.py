"""MDME: videos cut by the id row, ratings matched by video, three rates in one file."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from scipy.io import savemat

from eegpipe import datasets
from eegpipe.datasets.mdme import DATASET
from eegpipe.errors import DataProblem

import vendor_files

VARIANT = DATASET.variants[0]
# Old names of the temporal electrodes in the file, new ones in the schema.
CHANNELS = [
    "Fp1",
    "Fp2",
    "Fz",
    "F3",
    "F4",
    "F7",
    "F8",
    "Cz",
    "C3",
    "C4",
    "T7",
    "T8",
    "P3",
    "P4",
    "P7",
    "P8",
    "O1",
    "O2",
]
REST = 40


def content(*, seed: int = 0, order=(REST, *range(32)), trial_s: float = 2) -> dict[str, np.ndarray]:
    """The variables of ``datas.mat``: every stretch has the mean of its video's number."""
    parts = []
    for video in order:
        block = np.empty((19, round(300 * trial_s)))
        block[:18] = vendor_files.noise(18, block.shape[1], seed=seed + video) + video
        block[18] = video
        parts.append(block)
    eeg = np.concatenate(parts, axis=1)
    seconds = eeg.shape[1] / 300
    return {
        "eeg_datas": eeg,
        "gsr_datas": np.ones((2, round(4 * seconds))),
        "ppg_datas": np.ones((2, round(100 * seconds))),
        "dis_label": np.ones((32, 20)),
    }


def marks(seed: int = 0) -> list[list[int]]:
    """Lines of the table: video, arousal, valence, dominance, in an order of presentation."""
    random = np.random.default_rng(seed)
    return [[int(video), *random.integers(1, 10, 3).tolist()] for video in random.permutation(32)]


def write(root, number: int = 1, variables=None, table=None):
    inner = root / str(number) / str(number)
    inner.mkdir(parents=True, exist_ok=True)
    savemat(root / str(number) / "datas.mat", variables or content(seed=100 * number), do_compression=True)
    lines = [",".join(map(str, row)) for row in (table or marks(number))]
    (inner / "Arousal_Valence.csv").write_text("\n".join(lines), encoding="utf-8")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("made") / "MDME" / "MDME"
    for number in (10, 2):
        write(root, number)
    mark(root, people=[2, 10])
    return root


def mark(root, people):
    vendor_files.mark(root, subjects=len(people), people=people, trials=32, trial_s=[2.0] * 32)


def read(root, index=0):
    found = VARIANT.discover(root)
    return VARIANT.read(found.root, found.entries[index])


def test_signal_events_and_ratings(tree):
    recording = read(tree, 1)
    assert (recording.id.subject, recording.id.session) == ("10", None)
    assert recording.raw.ch_names == CHANNELS
    assert set(recording.raw.get_channel_types()) == {"eeg"}
    assert recording.raw.info["sfreq"] == 300
    table = {video: row for video, *row in marks(10)}
    planted = content(seed=1000)["eeg_datas"]
    assert len(recording.stimuli) == 32
    for video, event in enumerate(recording.stimuli):
        assert (event.trial, event.stimulus) == (video + 1, f"mdme/{video:02d}")
        assert event.label == ("positive" if video < 8 else "negative" if video < 16 else "mixed")
        arousal, valence, dominance = table[video]
        assert event.ratings == {"arousal": arousal, "valence": valence, "dominance": dominance}
        assert (event.affect.valence, event.affect.arousal) == (valence - 5, arousal - 5)
        first = round(event.onset_s * 300)
        signal_uv = (recording.raw.get_data()[:, first : first + 600] * 1e6).astype(np.float32)
        np.testing.assert_array_equal(signal_uv, planted[:18, planted[18] == video].astype(np.float32))
    assert len(recording.boundaries) == 31
    assert recording.notes == ()


@pytest.mark.parametrize("named", ["MDME/MDME", "MDME", "."])
def test_the_folder_may_be_named_at_either_end(tree, named):
    root = tree.parents[1] / named
    dataset, variant = datasets.recognise(root)
    assert (dataset.name, variant.name) == ("mdme", "mat")
    found = variant.discover(root)
    assert [entry.id.subject for entry in found.entries] == ["02", "10"]
    assert all((found.root / file).is_file() for entry in found.entries for file in entry.files)


def test_numbered_folders_of_other_data_sets_are_not_claimed(tmp_path):
    for name in ("1/1_20160518.mat", "2/raw.bdf", "3/datas.npz", "x/datas.mat"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert not VARIANT.recognise(tmp_path)


def names_only(root, people):
    for number in people:
        inner = root / str(number) / str(number)
        inner.mkdir(parents=True)
        (inner / "Arousal_Valence.csv").touch()
        (root / str(number) / "datas.mat").touch()
    return VARIANT.discover(root)


def test_which_73_of_the_80_there_are_does_not_matter(tmp_path):
    found = names_only(tmp_path, range(8, 81))
    assert (len(found.entries), found.problems) == (73, [])
    shutil.rmtree(tmp_path / "70")
    found = VARIANT.discover(tmp_path)
    [problem] = found.problems
    assert (problem.found, problem.expected) == ("72 folders", "73 subjects of 80")
    assert len(found.entries) == 72


def test_the_earlier_release_is_complete(tmp_path):
    people = sorted(set(range(1, 36)) - {3, 4, 13, 16, 17, 27, 31})
    found = names_only(tmp_path, people)
    assert (len(found.entries), found.problems) == (28, [])
    assert any("earlier release" in note for note in found.notes)


def test_missing_and_surplus_files_are_problems(tmp_path):
    names_only(tmp_path, [1, 2, 81])
    (tmp_path / "1/1/Arousal_Valence.csv").unlink()
    (tmp_path / "2/datas.mat").unlink()
    found = VARIANT.discover(tmp_path)
    wheres = [problem.where for problem in found.problems[:3]]
    assert wheres == ["1/1/Arousal_Valence.csv", "2/datas.mat", "81"]
    assert found.entries == []


def test_rest_may_lie_anywhere_and_other_variables_may_be_absent(tmp_path):
    order = (3, REST, *range(31, 3, -1), REST, 2, 1, 0, REST)
    variables = {"eeg_datas": content(order=order)["eeg_datas"]}
    write(tmp_path, variables=variables)
    mark(tmp_path, people=[1])
    recording = read(tmp_path)
    means = [recording.raw.get_data(start=first, stop=last).mean() * 1e6 for first, last in recording.blocks]
    np.testing.assert_allclose(means, range(32), atol=0.5)


def test_a_video_a_little_longer_than_published_is_kept_and_noted(tmp_path):
    variables = content()
    eeg = variables["eeg_datas"]
    last = np.flatnonzero(eeg[18] == 7)[-1]
    variables["eeg_datas"] = np.insert(eeg, [last] * 150, eeg[:, [last]], axis=1)
    write(tmp_path, variables=variables)
    mark(tmp_path, people=[1])
    recording = read(tmp_path)
    assert [event.duration_s for event in recording.stimuli[6:9]] == [2, 2.5, 2]
    assert recording.notes == ("Not as long as published, kept as they are: videos 7.",)


def change_eeg(change):
    def apply(variables, _):
        variables["eeg_datas"] = change(variables["eeg_datas"])

    return apply


def ids(change):
    def apply(variables, _):
        change(variables["eeg_datas"][18])

    return apply


def rows(change):
    return lambda _, table: change(table)


def nan(eeg):
    eeg[4, 5000] = np.nan
    return eeg


@pytest.mark.parametrize(
    ("change", "where", "told"),
    [
        (lambda variables, _: variables.pop("eeg_datas"), "1/datas.mat", "no variable eeg_datas"),
        (change_eeg(lambda eeg: eeg[1:]), "1/datas.mat", "(18, 19800)"),
        (change_eeg(lambda eeg: eeg.T), "1/datas.mat", "(19800, 19)"),
        (change_eeg(lambda eeg: eeg.astype(np.int16)), "1/datas.mat", "int16"),
        (change_eeg(lambda eeg: eeg[:, ::3]), "1/datas.mat: rate", "66.0 s of gsr_datas"),
        (change_eeg(lambda eeg: eeg[:, eeg[18] != 5]), "1/datas.mat: video ids", "video 5 in 0 stretches"),
        (change_eeg(lambda eeg: np.vstack([eeg[18:], eeg[:18]])), "1/datas.mat: video ids", "values such as"),
        (ids(lambda row: row.__setitem__(slice(900, 1000), 40)), "1/datas.mat: video ids", "video 0 in 2 stretches"),
        (ids(lambda row: row.__setitem__(row == 6, 7)), "1/datas.mat: video ids", "video 6 in 0 stretches"),
        (ids(lambda row: row.__setitem__(0, np.nan)), "1/datas.mat: video ids", "1 values such as nan"),
        (ids(lambda row: row.__setitem__(0, 32)), "1/datas.mat: video ids", "1 values such as 32"),
        (ids(lambda row: row.__setitem__(slice(600, 1190), 40)), "1/datas.mat: video ids", "video 0 for 0.03"),
        (change_eeg(nan), "1/datas.mat: video 7", "in channel F4"),
        (change_eeg(lambda eeg: np.vstack([eeg[:18] * 1e-6, eeg[18:]])), "1/datas.mat: video 0", "as if in volt"),
        (change_eeg(lambda eeg: np.vstack([eeg[:18] * 0, eeg[18:]])), "1/datas.mat: video 0", "the same value"),
        (rows(lambda table: table.pop()), "1/1/Arousal_Valence.csv", "the ratings of 31 videos"),
        (rows(lambda table: table.append([32, 5, 5, 5])), "1/1/Arousal_Valence.csv: line 33", "32, 5, 5, 5"),
        (rows(lambda table: table.append(table[0])), "1/1/Arousal_Valence.csv: line 33", "a new video"),
        (rows(lambda table: table.insert(0, ["id", "a", "v", "d"])), "1/1/Arousal_Valence.csv: line 1", "id, a, v, d"),
        (rows(lambda table: table[3].pop()), "1/1/Arousal_Valence.csv: line 4", "arousal, valence, dominance"),
        (rows(lambda table: table[3].__setitem__(1, 10)), "1/1/Arousal_Valence.csv: line 4", "(1 to 9)"),
        (rows(lambda table: table[3].__setitem__(1, 0)), "1/1/Arousal_Valence.csv: line 4", "(1 to 9)"),
        (rows(lambda table: table[3].__setitem__(2, 4.5)), "1/1/Arousal_Valence.csv: line 4", "4.5"),
        (rows(lambda table: table[3].__setitem__(2, "nan")), "1/1/Arousal_Valence.csv: line 4", "nan"),
    ],
)  # fmt: skip
def test_refusals(tmp_path, change, where, told):
    variables, table = content(), marks()
    change(variables, table)
    write(tmp_path, variables=variables or {"nothing": 1}, table=table)
    mark(tmp_path, people=[1])
    with pytest.raises(DataProblem) as caught:
        read(tmp_path)
    assert caught.value.where == where
    assert told in str(caught.value)


def test_no_byte_leads_to_anything_but_a_refusal(tmp_path):
    """Any changed byte, any cut: a recording, or one refusal."""
    write(tmp_path)
    mark(tmp_path, people=[1])
    random = np.random.default_rng(1)
    refused = []
    for name in ("1/datas.mat", "1/1/Arousal_Valence.csv"):
        good = (tmp_path / name).read_bytes()
        for attempt in range(60):
            # The head of the file, where sizes and types stand, is where a change does most.
            at = int(random.integers(0, min(len(good), 600 if attempt % 2 else len(good))))
            changed = good[:at] if attempt % 5 == 0 else good[:at] + random.bytes(1) + good[at + 1 :]
            (tmp_path / name).write_bytes(changed)
            try:
                assert len(read(tmp_path).stimuli) == 32
            except DataProblem as problem:
                refused.append(problem.where.startswith(name))
        (tmp_path / name).write_bytes(good)
    assert all(refused)
    assert len(refused) > 30

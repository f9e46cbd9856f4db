"""MPED: 34 trials of which 28 are clips, mastoids among the rows, and names of persons that no output may hold."""

from __future__ import annotations

import hashlib
import logging
import shutil

import numpy as np
import pytest
from scipy.io import savemat

from eegpipe import datasets
from eegpipe.bids import convert
from eegpipe.datasets.mped import DATASET
from eegpipe.errors import DataProblem, UsageProblem
from eegpipe.inspect import inspect

import vendor_files

VARIANT = DATASET.variants[0]
LABELS = [0, 2, 1, 4, 3, 5, 6, 7, 8, 1, 2, 3, 8, 6, 7, 4, 5, 0, 1, 5, 6, 2, 2, 1, 8, 7, 6, 4, 4, 3, 5, 3, 7, 8]
WORDS = ["rest", "neutral", "joy", "funny", "angry", "fear", "disgust", "sadness", "unexplained"]
USED = [trial for trial, label in enumerate(LABELS, start=1) if 1 <= label <= 7]
# Invented: nobody is called so. What has these letters in an output is a leak.
NAMES = ["qxmallow", "Qxverbena", "QXyarrow"]
TRIAL_S = 0.25


def trial(number: int, *, rows: int = 64, seed: int = 0) -> np.ndarray:
    """(row, sample): the mean of a row is its own number (from 1), ten thousand times the trial's added."""
    samples = 250 if LABELS[number - 1] in range(1, 8) else 120
    levels = 1e4 * number + np.arange(1, rows + 1)[:, np.newaxis]
    return vendor_files.noise(rows, samples, seed=100 * seed + number) + levels


def person(folder, name: str, change=lambda _: None, **kinds) -> None:
    parts = {"d": {}, "dd": {}}
    for number in range(1, 35):
        parts["d" if number < 18 else "dd"][f"raw_eeg{number}"] = trial(number, **kinds)
    change(parts)
    (folder / name).mkdir(parents=True, exist_ok=True)
    for ending, variables in parts.items():
        savemat(folder / name / f"{name}_{ending}.mat", variables)


def labels(folder, values=LABELS) -> None:
    savemat(folder / "raw_EEG_Label.mat", {"eeg_label": np.array([values], dtype=np.uint8)})


def mark(root, people: int) -> None:
    vendor_files.mark(root, subjects=people, trials=28, trial_s=[TRIAL_S] * 28)


def by_rank(names):
    return sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("mped")
    mark(root, len(NAMES))
    folder = root / "raw_EEG_signals"
    for seed, name in enumerate(NAMES):
        person(folder, name, seed=seed)
    labels(folder)
    return root


@pytest.fixture
def alone(tmp_path):
    """A tree of one person, and how to read it."""

    def read(change=lambda _: None, values=LABELS, **kinds):
        mark(tmp_path, 1)
        person(tmp_path / "raw_EEG_signals", NAMES[0], change, **kinds)
        labels(tmp_path / "raw_EEG_signals", values)
        return read_again(tmp_path)

    return read


def read_again(root, index=0):
    found = VARIANT.discover(root)
    return VARIANT.read(found.root, found.entries[index])


def names_in(text: str) -> bool:
    return any(name.lower() in text.lower() for name in NAMES)


def test_signal_and_events(tree):
    recording = read_again(tree, 1)
    seed = NAMES.index(by_rank(NAMES)[1])
    kinds = dict(zip(recording.raw.ch_names, recording.raw.get_channel_types(), strict=True))
    assert len(kinds) == 64
    assert [name for name, kind in kinds.items() if kind == "misc"] == ["M1", "M2"]
    assert (recording.raw.ch_names[32], recording.raw.ch_names[42]) == ("M1", "M2")
    assert recording.raw.info["sfreq"] == 1000
    assert [event.trial for event in recording.stimuli] == USED
    assert len(recording.boundaries) == 27
    for event in recording.stimuli:
        assert event.stimulus == f"mped/{event.trial:02d}"
        assert event.label == WORDS[LABELS[event.trial - 1]]
        assert event.affect.source.text == "word-norm"
        first = round(event.onset_s * 1000)
        signal_uv = (recording.raw.get_data(start=first, stop=first + 250) * 1e6).astype(np.float32)
        np.testing.assert_array_equal(signal_uv, trial(event.trial, seed=seed).astype(np.float32))


def test_the_folder_may_be_named_at_either_end_and_lack_the_labels(tmp_path):
    folder = tmp_path / "MPED" / "raw_EEG_signals" / "raw_EEG_signals"
    person(folder, NAMES[0])
    (folder / "__MACOSX").mkdir()
    mark(folder, 1)
    roots = [tmp_path / name for name in ("", "MPED", "MPED/raw_EEG_signals", "MPED/raw_EEG_signals/raw_EEG_signals")]
    for with_labels in (False, True):
        if with_labels:
            labels(folder)
        for root in roots:
            dataset, _ = datasets.recognise(root)
            assert dataset.name == "mped"
        found = VARIANT.discover(roots[-1])
        assert len(found.entries) == 1
        assert [problem.where for problem in found.problems] == ([] if with_labels else [LABEL_FILE])
        assert len(VARIANT.read(found.root, found.entries[0]).stimuli) == 28


LABEL_FILE = "raw_EEG_signals: raw_EEG_Label.mat"


def test_rows_beyond_the_cap_are_left_out_and_noted(alone):
    recording = alone(rows=67)
    assert len(recording.raw.ch_names) == 64
    assert recording.notes == ("The last 3 of 67 rows are not read: what they are is not published.",)


def test_single_precision_is_read_too(alone):
    def single(parts):
        for variables in parts.values():
            variables.update({name: array.astype(np.float32) for name, array in variables.items()})

    assert len(alone(single).stimuli) == 28


# --- names ------------------------------------------------------------------------------------------------------------


def test_numbers_are_ranks_of_digests(tree):
    found = VARIANT.discover(tree)
    assert [entry.id.subject for entry in found.entries] == ["01", "02", "03"]
    folders = [entry.files[0].split("/")[1] for entry in found.entries]
    assert folders == by_rank(NAMES)
    assert folders not in (NAMES, sorted(NAMES))
    assert not names_in(repr(found.entries))


def damage(folder) -> None:
    """One fault of every kind that a folder can have, in three more people's folders and between them."""
    for name in ("qxverbena2", "qxmallow3", "qxmallow4"):
        shutil.copytree(folder / NAMES[0], folder / name)
        for file in list((folder / name).iterdir()):
            file.rename(file.with_name(file.name.replace(NAMES[0], name)))
    (folder / "qxverbena2" / "qxverbena2_dd.mat").unlink()
    (folder / "qxmallow3" / "qxmallow3_d.mat").rename(folder / "qxmallow3" / "qxyarrow_d.mat")
    (folder / "qxmallow4" / "qxmallow4_d.mat").write_bytes(b"")
    (folder / "qxmallow.zip").touch()
    (folder / NAMES[0] / "QXverbena.txt").touch()
    file = folder / NAMES[1] / f"{NAMES[1]}_d.mat"
    file.write_bytes(file.read_bytes()[:5000])
    person(folder, NAMES[2], lambda parts: parts["d"].update(qxyarrow_eeg=parts["d"].pop("raw_eeg3")), seed=2)


def test_no_output_holds_a_name(tree, tmp_path, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    raw, out = tmp_path / "raw", tmp_path / "bids"
    shutil.copytree(tree, raw)
    convert(DATASET, raw, out, workers=1)
    whole = [file for file in out.rglob("*") if file.is_file()]
    assert sum(file.suffix == ".eeg" for file in whole) == 3
    damage(raw / "raw_EEG_signals")
    mark(raw, 6)
    found = VARIANT.discover(raw)
    outcomes = convert(DATASET, raw, tmp_path / "damaged", workers=1)
    failed = {outcome.key: outcome.problem for outcome in outcomes if outcome.status == "failed"}
    assert (len(failed), len(outcomes)) == (5, 6), "\n".join(f"{key}: {problem}" for key, problem in failed.items())
    report = inspect(raw, read=True)
    written = [file for folder in (out, tmp_path / "damaged") for file in folder.rglob("*")]
    texts = [repr(outcomes), repr(found), report.to_json(), caplog.text, *capfd.readouterr()]
    texts += [str(file.relative_to(tmp_path)) for file in written]
    texts += [file.read_bytes().decode("latin1") for file in written if file.is_file()]
    assert not [text for text in texts if names_in(text)]
    # The tree itself is full of them, so the search can find something.
    assert sum(names_in(str(file)) for file in raw.rglob("*")) > 10


@pytest.mark.parametrize("what", ["open", "vanished"])
def test_an_error_of_the_system_does_not_name_the_file(tree, tmp_path, what, monkeypatch):
    shutil.copytree(tree, tmp_path / "raw")
    found = VARIANT.discover(tmp_path / "raw")
    entry = found.entries[0]
    if what == "vanished":
        shutil.rmtree((found.root / entry.files[0]).parent)
    else:
        from eegpipe.datasets.formats import mat5

        def refuse(path):
            raise PermissionError(13, "Permission denied", str(path))

        monkeypatch.setattr(mat5, "list_variables", refuse)
    with pytest.raises(DataProblem) as caught:
        VARIANT.read(found.root, entry)
    assert not names_in(str(caught.value))
    assert caught.value.where.startswith("subject 01")


def test_the_users_table_keeps_the_numbers(tree, tmp_path, monkeypatch):
    raw, key = tmp_path / "raw", tmp_path / "private" / "people.tsv"
    key.parent.mkdir()
    shutil.copytree(tree, raw)
    monkeypatch.setenv("EEGPIPE_MPED_KEY", str(key))
    names = by_rank(NAMES)
    assert [entry.id.subject for entry in VARIANT.discover(raw).entries] == ["01", "02", "03"]
    content = key.read_text(encoding="utf-8")
    assert content.splitlines() == ["folder\tsubject", *(f"{name}\t{n}" for n, name in enumerate(names, start=1))]
    assert key.stat().st_mode & 0o077 == 0
    shutil.rmtree(raw / "raw_EEG_signals" / names[0])
    found = VARIANT.discover(raw)
    assert [entry.id.subject for entry in found.entries] == ["02", "03"]
    assert [problem.found for problem in found.problems] == ["no folder for subjects 1"]
    # Without it the two would be called 1 and 2.
    monkeypatch.delenv("EEGPIPE_MPED_KEY")
    assert [entry.id.subject for entry in VARIANT.discover(raw).entries] == ["01", "02"]
    # The user's numbers count, and what is not in the table is no guess.
    monkeypatch.setenv("EEGPIPE_MPED_KEY", str(key))
    key.write_text(f"folder\tsubject\n{names[2]}\t9\n", encoding="utf-8")
    found = VARIANT.discover(raw)
    assert [entry.id.subject for entry in found.entries] == ["09"]
    assert found.problems[0].found == "1 folders not in your table"
    assert not names_in(str(found.problems))


def test_a_partial_folder_writes_no_table(tree, tmp_path, monkeypatch):
    raw, key = tmp_path / "raw", tmp_path / "people.tsv"
    shutil.copytree(tree, raw)
    mark(raw, 5)
    monkeypatch.setenv("EEGPIPE_MPED_KEY", str(key))
    assert "3 folders" in str(VARIANT.discover(raw).problems[0])
    assert not key.exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "folder\tsubject\nQxverbena\n",
        "folder\tsubject\nQxverbena\t24\n",
        "folder\tsubject\nQxverbena\tone\n",
        "folder\tsubject\nQxverbena\t1\nQxverbena\t2\n",
        "folder\tsubject\nQxverbena\t1\nqxmallow\t1\n",
        "name,subject\nQxverbena,1\n",
        "folder\tsubject\n" + "Qxverbena" * 10_000,
        "folder\tsubject\n\x00\t\x00",
    ],
)
def test_a_wrong_table_is_refused_without_repeating_it(tree, tmp_path, monkeypatch, text):
    key = tmp_path / "people.tsv"
    key.write_text(text, encoding="utf-8")
    monkeypatch.setenv("EEGPIPE_MPED_KEY", str(key))
    with pytest.raises(UsageProblem) as caught:
        VARIANT.discover(tree)
    assert "EEGPIPE_MPED_KEY" in str(caught.value)
    assert not names_in(str(caught.value))


def test_the_table_must_lie_outside_the_data(tree, tmp_path, monkeypatch):
    raw = tmp_path / "raw"
    shutil.copytree(tree, raw)
    inside = ("people.tsv", "raw_EEG_signals/people.tsv", "raw_EEG_signals/../raw_EEG_signals/Qxverbena/people.tsv")
    for name in (*inside, "../nowhere/people.tsv", ".."):
        monkeypatch.setenv("EEGPIPE_MPED_KEY", str(raw / name))
        with pytest.raises(UsageProblem, match="EEGPIPE_MPED_KEY"):
            VARIANT.discover(raw)
    assert not list(raw.rglob("people.tsv"))


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_missing_and_surplus_files_are_problems(tree, tmp_path):
    raw = tmp_path / "raw"
    shutil.copytree(tree, raw)
    folder = raw / "raw_EEG_signals"
    second = by_rank(NAMES)[1]
    (folder / second / f"{second}_dd.mat").unlink()
    found = VARIANT.discover(raw)
    assert [entry.id.subject for entry in found.entries] == ["01", "03"]
    assert [problem.where for problem in found.problems] == ["raw_EEG_signals: subject 02: part 2"]
    (folder / "surplus").mkdir()
    found = VARIANT.discover(raw)
    assert (found.entries, [problem.found for problem in found.problems]) == ([], ["4 folders"])


def set_trial(number, change):
    def apply(parts):
        variables = parts["d" if number < 18 else "dd"]
        variables[f"raw_eeg{number}"] = change(variables[f"raw_eeg{number}"])

    return apply


def nan(array):
    array[32, 7] = np.nan
    return array


@pytest.mark.parametrize(
    ("change", "where", "told"),
    [
        (lambda parts: parts["d"].pop("raw_eeg9"), "subject 01: part 1", "raw_eeg1 to raw_eeg17"),
        (lambda parts: parts["dd"].update(raw_eeg35=trial(2)), "subject 01: part 2", "raw_eeg18 to raw_eeg34"),
        (lambda parts: parts.update(d=parts["dd"], dd=parts["d"]), "subject 01: part 1", "the trials 18, 19"),
        (lambda parts: parts["d"].clear() or parts["d"].update(x=1), "subject 01: part 1", "1 arrays of other names"),
        (set_trial(3, lambda array: array[:62]), "subject 01: part 1: raw_eeg3", "shape (62, 250)"),
        (set_trial(3, lambda array: array.T), "subject 01: part 1: raw_eeg3", "shape (250, 64)"),
        (set_trial(20, lambda array: array[:, :-1]), "subject 01: part 2: raw_eeg20", "0.249 s"),
        (set_trial(20, lambda array: array[:, ::5]), "subject 01: part 2: raw_eeg20", "at 1000 Hz"),
        (set_trial(20, lambda array: np.vstack([array, array[:1]])), "subject 01", "trials of 64, 65 rows"),
        (set_trial(20, lambda array: array.astype(np.int32)), "subject 01: part 2: raw_eeg20", "int32 of shape"),
        (set_trial(20, lambda _: "text"), "subject 01: part 2: raw_eeg20", "char of shape"),
        (set_trial(20, nan), "subject 01: part 2: raw_eeg20", "in channel M1"),
        (set_trial(20, lambda array: array * 1e-6), "subject 01: part 2: raw_eeg20", "as if in volt"),
        (set_trial(20, lambda array: array * 0), "subject 01: part 2: raw_eeg20", "the same value"),
    ],
)  # fmt: skip
def test_refusals(alone, change, where, told):
    with pytest.raises(DataProblem) as caught:
        alone(change)
    assert caught.value.where == where
    assert told in str(caught.value)
    assert not names_in(str(caught.value))


def test_the_list_of_30_labels_is_refused(alone):
    with pytest.raises(DataProblem, match="belongs to the features") as caught:
        alone(values=[label for label in LABELS if label != 8])
    assert caught.value.where == "subject 01: raw_EEG_signals/raw_EEG_Label.mat: eeg_label"


def test_real_files_have_trials_of_minutes(alone, tmp_path):
    alone()
    (tmp_path / "eegpipe-simulated.json").unlink()
    with pytest.raises(DataProblem, match=r"found 0\.25 s, expected 100 to 340 s at 1000 Hz"):
        read_again(tmp_path)


def test_no_byte_leads_to_anything_but_a_refusal(alone, tmp_path):
    """Any changed byte, any cut: a recording, or one refusal without a name."""
    alone()
    random = np.random.default_rng(1)
    folder, refused = tmp_path / "raw_EEG_signals", []
    for name, attempts in ((f"{NAMES[0]}/{NAMES[0]}_d.mat", 60), ("raw_EEG_Label.mat", 40)):
        good = (folder / name).read_bytes()
        for attempt in range(attempts):
            at = int(random.integers(0, min(len(good), 260 if attempt % 2 else len(good))))
            changed = good[:at] if attempt % 5 == 0 and at else good[:at] + random.bytes(1) + good[at + 1 :]
            (folder / name).write_bytes(changed)
            try:
                assert len(read_again(tmp_path).stimuli) == 28
            except DataProblem as problem:
                refused.append(not names_in(str(problem)))
        (folder / name).write_bytes(good)
    assert all(refused)
    assert len(refused) > 20

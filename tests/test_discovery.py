"""Discovery of full-size trees: by names alone, every recording, in the order of numbers.

The files are empty: whoever opens one finds nothing in it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from eegpipe import datasets
from eegpipe.datasets import seed_iv


def days(subject: int) -> list[str]:
    return [f"2014{3 * session + 1:02d}{subject:02d}" for session in range(3)]


TREES = {
    ("seed", "preprocessed"): [
        *(f"SEED_EEG/Preprocessed_EEG/{subject}_{day}.mat" for subject in range(1, 16) for day in days(subject)),
        "SEED_EEG/Preprocessed_EEG/label.mat",
    ],
    ("seed", "raw"): [
        *(f"SEED_EEG/SEED_RAW_EEG/{subject}_{session}.cnt" for subject in range(1, 16) for session in (1, 2, 3)),
        "SEED_EEG/SEED_RAW_EEG/time.txt",
    ],
    ("seed_iv", "eeg_raw_data"): [
        f"SEED-IV/eeg_raw_data/{session}/{subject}_{seed_iv.DATES[session - 1][subject - 1]}.mat"
        for session in (1, 2, 3)
        for subject in range(1, 16)
    ],
    ("seed_vii", "raw"): [
        f"SEED-VII/{name}"
        for subject in range(1, 21)
        for session in (1, 2, 3, 4)
        for stem in (f"{subject}_2022{session:02d}{subject:02d}_{session}",)
        for name in (f"EEG_raw/{stem}.cnt", *(f"save_info/{stem}_{kind}_info.csv" for kind in ("save", "trigger")))
    ],
    ("faced", "raw"): [
        f"Data/Data/sub{subject:03d}/{name}"
        for subject in range(123)
        for name in ("data.bdf", "evt.bdf", "After_remarks.mat", "recordInformation.json")
    ],
    ("faced", "processed"): [
        *(f"Processed_data/sub{subject:03d}.pkl" for subject in range(123)),
        *(f"Data/sub{subject:03d}/After_remarks.mat" for subject in range(123)),
    ],
    ("deap", "python"): [
        f"data_preprocessed_python/data_preprocessed_python/s{subject:02d}.dat" for subject in range(1, 33)
    ],
    ("deap", "matlab"): [f"data_preprocessed_matlab/s{subject:02d}.mat" for subject in range(1, 33)],
    ("amigos", "preprocessed"): [
        f"Data_Preprocessed_P{subject:02d}/Data_Preprocessed_P{subject:02d}.mat" for subject in range(1, 41)
    ],
    ("mdme", "mat"): [
        f"{subject}/{name}" for subject in range(8, 81) for name in ("datas.mat", f"{subject}/Arousal_Valence.csv")
    ],
}


@pytest.fixture(params=TREES, ids="-".join)
def tree(request, tmp_path) -> tuple[str, str, Path]:
    for name in TREES[request.param]:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return *request.param, tmp_path


def test_a_full_tree_is_listed_by_names(tree):
    name, form, root = tree
    recognised = datasets.recognise(root)
    assert recognised is not None
    assert (recognised[0].name, recognised[1].name) == (name, form)
    variant = datasets.get(name).variant(form)
    found = variant.discover(root)
    facts = variant.facts
    assert [str(problem) for problem in found.problems] == []
    assert not found.simulated
    expected = facts.subjects * facts.sessions - (3 if name == "amigos" else 0)  # three people saw no long videos
    assert len({entry.id for entry in found.entries}) == len(found.entries) == expected
    numbers = [int(entry.id.subject) for entry in found.entries]
    assert numbers == sorted(numbers)
    assert set(numbers) == set(range(8, 81) if name == "mdme" else facts.numbers)


def test_a_missing_file_is_named(tree):
    name, form, root = tree
    gone = root / TREES[name, form][12]
    gone.unlink()
    found = datasets.get(name).variant(form).discover(root)
    assert found.problems
    subject = int(next(entry.id.subject for entry in found.entries))
    assert subject in datasets.get(name).facts.numbers or name == "mdme"

"""From simulated vendor files to segments, against what the simulator planted: nothing is lost, moved or swapped.

The truth is read here with csv and numpy alone, BIDS with mne_bids, the store with xarray: no reader of the package
checks itself.
"""

from __future__ import annotations

import csv
import hashlib
import math
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import mne
import mne_bids
import numpy as np
import pytest
import xarray

from eegpipe import datasets
from eegpipe.bids import convert, validate
from eegpipe.clean.settings import CleanSettings, IcaSettings
from eegpipe.clean.stage import clean_dataset
from eegpipe.inspect import inspect
from eegpipe.segment import WindowingSettings, segment_dataset
from eegpipe.simulate import SimulateSettings, simulate

# Every variant of every data set that has a simulator, with and without the documented irregularities.
CASES = [
    (dataset.name, variant.name, traps)
    for dataset in map(datasets.get, datasets.NAMES)
    for variant in dataset.variants
    if variant.simulator
    for traps in (False, True)
]
PEOPLE = {True: 4, False: 2}


def name_of(case) -> str:
    return "-".join((*case[:2], "traps" if case[2] else "plain"))


@pytest.fixture(scope="module", params=CASES, ids=name_of)
def made(request, tmp_path_factory) -> Iterator[tuple[str, Path]]:
    """(data set, folder with raw, truth and bids)."""
    name, variant, traps = request.param
    root = tmp_path_factory.mktemp(name_of(request.param))
    design = datasets.get(name).variant(variant).simulator.design
    people = min(PEOPLE[traps] if not traps else max(PEOPLE[traps], len(design.trap_people)), len(design.people))
    sessions = min(2, design.sessions)
    settings = SimulateSettings(variant=variant, subjects=people, sessions=sessions, trial_s=8, traps=traps, seed=5)
    simulate(name, root / "raw", settings, truth=root / "truth")
    report = inspect(root / "raw")
    assert (report.kind, dict(report.facts)["data set"]) == ("vendor files", name)
    assert [finding for finding in report.findings if finding.severity == "error"] == []
    outcomes = convert(datasets.get(name), root / "raw", root / "bids", workers=1)
    expected = refused(root)
    failed = {outcome.key: outcome.problem for outcome in outcomes if outcome.status == "failed"}
    assert set(failed) == set(expected), failed
    for key, text in expected.items():
        assert text in failed[key]
        assert "Known (" in failed[key]
    assert {outcome.key for outcome in outcomes} - set(expected) == {row["recording"] for row in planted(root)}
    yield name, root
    shutil.rmtree(root)


def planted(root: Path) -> list[dict[str, str]]:
    with (root / "truth/trials.tsv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t"))


def refused(root: Path) -> dict[str, str]:
    """Recording -> a part of the message with which a right reader refuses it."""
    table = root / "truth/refused.tsv"
    rows = csv.DictReader(table.open(encoding="utf-8"), delimiter="\t") if table.is_file() else []
    return {row["recording"]: row["text"] for row in rows}


def number(text: str) -> float:
    return math.nan if text == "n/a" else float(text)


def test_bids_has_no_error_and_its_order_is_natural(made):
    _, root = made
    assert [one for one in validate(root / "bids") if one.severity == "error"] == []
    with (root / "bids/quality.tsv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter="\t"))
    good = [row["recording"] for row in rows if row["status"] == "ok"]
    assert good == list(dict.fromkeys(row["recording"] for row in planted(root)))
    for row in rows:
        if row["status"] == "ok":
            assert int(row["trials"]) == sum(one["recording"] == row["recording"] for one in planted(root))


def test_plain_mne_bids_gives_back_the_planted_signal_and_events(made):
    _, root = made
    by_recording: dict[str, list[dict[str, str]]] = {}
    for row in planted(root):
        by_recording.setdefault(row["recording"], []).append(row)
    for stem, truth in by_recording.items():
        raw = read_with_mne_bids(root / "bids", stem)
        with np.load(root / f"truth/{stem}.npz") as exact:
            assert [raw.ch_names[index] for index in mne.pick_types(raw.info, eeg=True)] == list(
                exact["signal_channels"]
            )
            assert raw.n_times == exact["signal_samples"]
            assert raw.info["sfreq"] == pytest.approx(float(exact["rate_hz"]), rel=1e-9)
            read_uv = np.ascontiguousarray(raw.get_data(picks=list(exact["signal_channels"])) * 1e6, dtype="<f4")
            np.testing.assert_array_equal(read_uv[:, :1000], exact["signal_first_uv"])
            assert [hashlib.sha256(row.tobytes()).hexdigest() for row in read_uv] == list(exact["signal_sha256"])
        compare_events(raw, truth)


# Clips come back in later sessions; everywhere else each session has its own.
SAME_CLIPS = {"seed"}
# Everybody sees the clips in an order of their own, and the files keep it.
OWN_ORDER = {
    "amigos-original",
    "faced-raw",
    "faced-rehost",
    "deap-original",
    "mahnob_hci-bdf",
    "emoeeg_mc-raw",
    "bids-bids",
}


def test_a_clip_has_one_name_in_every_subject_and_session(made, request):
    name, root = made
    shown: dict[tuple[str, str], list[str]] = {}
    for table in sorted((root / "bids").rglob("*_events.tsv")):
        entities = dict(part.split("-") for part in table.stem.split("_")[:-1])
        with table.open(encoding="utf-8", newline="") as lines:
            rows = [row for row in csv.DictReader(lines, delimiter="\t") if row["trial_type"] == "stimulus"]
        labels = {row["stimulus"]: row["label"] for row in rows}
        shown[entities["sub"], entities.get("ses", "1")] = [row["stimulus"] for row in rows]
        assert len(labels) == len(rows)  # no clip twice in a session
        stem = table.name.removesuffix("_events.tsv")
        assert labels == {row["stimulus"]: row["label"] for row in planted(root) if row["recording"] == stem}
    for (subject, session), clips in shown.items():
        for (other, its_session), its_clips in shown.items():
            if session == its_session and len(clips) == len(its_clips):
                assert set(clips) == set(its_clips)
            elif subject == other and session != its_session:
                same = set(clips) == set(its_clips) if name in SAME_CLIPS else not set(clips) & set(its_clips)
                assert same
    firsts = [clips for (_, session), clips in shown.items() if session == min(one for _, one in shown)]
    assert (len(set(map(tuple, firsts))) > 1) == (request.node.callspec.id.rpartition("-")[0] in OWN_ORDER) or len(
        {len(clips) for clips in firsts}
    ) > 1


def read_with_mne_bids(root: Path, stem: str) -> mne.io.BaseRaw:
    entities = dict(part.split("-") for part in stem.split("_"))
    path = mne_bids.BIDSPath(
        root=root,
        subject=entities["sub"],
        session=entities.get("ses"),
        task=entities["task"],
        datatype="eeg",
        suffix="eeg",
        extension=".vhdr",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return mne_bids.read_raw_bids(path, verbose="ERROR")


def compare_events(raw: mne.io.BaseRaw, truth: list[dict[str, str]]) -> None:
    shown = [annotation for annotation in raw.annotations if annotation["description"] == "stimulus"]
    truth = sorted(truth, key=lambda row: int(row["onset_sample"]))
    assert [one["extras"]["stimulus"] for one in shown] == [row["stimulus"] for row in truth]
    for annotation, row in zip(shown, truth, strict=True):
        rate_hz = float(row["rate_hz"])
        assert annotation["onset"] * rate_hz == pytest.approx(int(row["onset_sample"]), abs=1e-3)
        assert annotation["duration"] * rate_hz == pytest.approx(int(row["n_samples"]), abs=1e-3)
        extras = annotation["extras"]
        assert str(extras["trial"]) == row["trial"]
        assert extras.get("label", "n/a") == row["label"]
        for column in ("valence", "arousal", *(key for key in row if key.startswith("rating_"))):
            # The table of the truth has six digits.
            assert number(str(extras.get(column, "n/a"))) == pytest.approx(
                number(row[column]), abs=1e-5, nan_ok=True
            ), column
        assert extras["affect_source"] == row["affect_source"]


# --- from there to segments, for the first variant of the sets of the demonstration -----------------------------------


@pytest.fixture(scope="module", params=("seed", "deap", "faced", "dreamer"))
def segmented(request, tmp_path_factory) -> tuple[str, Path]:
    name, root = request.param, tmp_path_factory.mktemp(request.param)
    settings = SimulateSettings(subjects=2, sessions=1, trial_s=8, seed=5)
    simulate(name, root / "raw", settings, truth=root / "truth")
    convert(datasets.get(name), root / "raw", root / "bids", workers=1)
    # The signal is not compared after cleaning, so the costly part of it is left out.
    outcomes = clean_dataset(root / "bids", root / "clean", CleanSettings(ica=IcaSettings(enabled=False)), workers=1)
    assert [outcome.status for outcome in outcomes] == ["done", "done"]
    segment_dataset(root / "clean", root / f"{name}.zarr", windowing="mdjpt", settings=WindowingSettings())
    return name, root


def test_the_derivative_has_no_error(segmented):
    _, root = segmented
    assert [one for one in validate(root / "clean") if one.severity == "error"] == []


def test_every_segment_equals_the_planted_truth(segmented):
    name, root = segmented
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        store = xarray.open_zarr(root / f"{name}.zarr").load()
    truth = {(row["subject"], row["trial"]): row for row in planted(root)}
    stimuli = dict(zip(store.attrs["stimulus_ids"], store.attrs["stimulus_names"], strict=True))
    labels, subjects = store.attrs["labels"], store.attrs["subject_names"]
    positions = list(zip(store.subject.values, store.trial.values, strict=True))
    expected = sum(max(0, (int(row["n_samples"]) / float(row["rate_hz"]) - 5) // 2 + 1) for row in truth.values())
    assert len(positions) == expected > 0
    for index, (subject, trial) in enumerate(positions):
        row = truth[subjects[subject], str(trial)]
        one = store.isel(segment=index)
        assert stimuli[int(one.stimulus)] == row["stimulus"]
        assert (labels[int(one.label)] if int(one.label) >= 0 else "n/a") == row["label"]
        for axis in ("valence", "arousal"):
            assert float(one[axis]) == pytest.approx(number(row[axis]), abs=1e-5, nan_ok=True)
        # To the sample: a window begins a whole number of steps after the planted onset.
        onset_s = int(row["onset_sample"]) / float(row["rate_hz"])
        since_s = float(one.recording_time) - onset_s
        assert since_s == pytest.approx(2 * round(since_s / 2), abs=1e-6)
        assert 0 <= since_s <= int(row["n_samples"]) / float(row["rate_hz"]) - 5 + 1e-6


def test_channels_have_the_ids_of_the_schema(segmented):
    name, root = segmented
    store = xarray.open_zarr(root / f"{name}.zarr")
    with Path(datasets.__file__).parents[1].joinpath("channels.tsv").open(encoding="utf-8") as lines:
        ids = {row["name"]: int(row["id"]) for row in csv.DictReader(lines, delimiter="\t")}
    names = [str(channel) for channel in store.channel.values]
    assert [ids[channel] for channel in names] == store.channel_id.values.tolist()
    with np.load(next((root / "truth").glob("*.npz"))) as exact:
        assert names == list(exact["signal_channels"])


def test_real_recordings_come_back_through_plain_mne_bids(realdata, tmp_path):
    vendor = realdata / "physionet_eegmat"
    outcomes = convert(datasets.get("eegmat"), vendor, tmp_path, workers=1)
    assert {outcome.status for outcome in outcomes} == {"done"}
    for number, task in ((1, "rest"), (2, "arithmetic")):
        path = mne_bids.BIDSPath(
            root=tmp_path, subject="03", task=task, datatype="eeg", suffix="eeg", extension=".vhdr"
        )
        raw = mne_bids.read_raw_bids(path, verbose="ERROR")
        edf = mne.io.read_raw_edf(vendor / f"Subject03_{number}.edf", verbose="ERROR")
        assert len(raw.ch_names) == len(edf.ch_names) == 21
        read_uv, vendor_uv = ((one.get_data()[:19] * 1e6).astype(np.float32) for one in (raw, edf))
        np.testing.assert_array_equal(read_uv, vendor_uv)
        [shown] = [annotation for annotation in raw.annotations if annotation["description"] == "stimulus"]
        assert shown["onset"] == 0
        assert shown["duration"] == pytest.approx(raw.n_times / 500)
        extras = shown["extras"]
        assert (extras["label"], extras["stimulus"]) == (task, f"eegmat/{task}")
        assert (extras["valence"], extras["arousal"], extras["affect_source"]) == ("n/a", "n/a", "n/a")

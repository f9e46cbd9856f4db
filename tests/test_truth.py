"""From simulated vendor files to segments, against what the simulator planted: nothing is lost, moved or swapped.

The truth is read here with csv and numpy alone, the vendor's signal with scipy and pickle, BIDS with mne_bids, the
store with xarray: no reader of the package checks itself.
"""

from __future__ import annotations

import csv
import math
import warnings
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
from eegpipe.segment import WindowingSettings, segment_dataset
from eegpipe.simulate import SimulateSettings, simulate

from vendor_signals import file_signals

NAMES = ("seed", "deap", "faced", "dreamer")
# SEED, DEAP and FACED: channels of the file that are EEG; DREAMER: all.
EEG_ROWS = {"seed": 62, "deap": 32, "faced": 30, "dreamer": 14}


@pytest.fixture(scope="module", params=NAMES)
def made(request, tmp_path_factory) -> tuple[str, Path]:
    """(data set, folder with raw, truth, bids, clean and a store)."""
    name, root = request.param, tmp_path_factory.mktemp(request.param)
    settings = SimulateSettings(subjects=2, sessions=1, trial_s=8, seed=5)
    simulate(name, root / "raw", settings, truth=root / "truth")
    outcomes = convert(datasets.get(name), root / "raw", root / "bids", workers=1)
    assert [outcome.status for outcome in outcomes] == ["done", "done"]
    # The signal is not compared after cleaning, so the costly part of it is left out.
    outcomes = clean_dataset(root / "bids", root / "clean", CleanSettings(ica=IcaSettings(enabled=False)), workers=1)
    assert [outcome.status for outcome in outcomes] == ["done", "done"]
    segment_dataset(root / "clean", root / f"{name}.zarr", windowing="mdjpt", settings=WindowingSettings())
    return name, root


def planted(root: Path) -> list[dict[str, str]]:
    with (root / "truth/trials.tsv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t"))


def number(text: str) -> float:
    return math.nan if text == "n/a" else float(text)


def test_bids_and_derivative_have_no_error(made):
    _, root = made
    for folder in ("bids", "clean"):
        assert [one for one in validate(root / folder) if one.severity == "error"] == []


def test_plain_mne_bids_gives_back_the_vendors_signal_and_events(made):
    name, root = made
    signals = file_signals(name, root / "raw")
    for stem, vendor_uv in signals.items():
        entities = dict(part.split("-") for part in stem.split("_"))
        path = mne_bids.BIDSPath(
            root=root / "bids",
            subject=entities["sub"],
            session=entities.get("ses"),
            task=entities["task"],
            datatype="eeg",
            suffix="eeg",
            extension=".vhdr",
        )
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            raw = mne_bids.read_raw_bids(path, verbose="ERROR")
        rows = EEG_ROWS[name]
        read_uv = (raw.get_data()[:rows] * 1e6).astype(np.float32)
        np.testing.assert_array_equal(read_uv, vendor_uv[:rows].astype(np.float32))

        truth = [row for row in planted(root) if row["recording"] == stem]
        shown = [annotation for annotation in raw.annotations if annotation["description"] == "stimulus"]
        assert len(shown) == len(truth) == datasets.get(name).facts.trials
        for annotation, row in zip(shown, truth, strict=True):
            rate_hz = float(row["rate_hz"])
            assert annotation["onset"] * rate_hz == pytest.approx(int(row["onset_sample"]), abs=1e-3)
            assert annotation["duration"] * rate_hz == pytest.approx(int(row["n_samples"]), abs=1e-3)
            extras = annotation["extras"]
            assert (extras["trial"], extras["stimulus"]) == (row["trial"], row["stimulus"])
            assert extras.get("label", "n/a") == row["label"]
            # The table of the truth has six digits.
            for column in ("valence", "arousal", *(key for key in row if key.startswith("rating_"))):
                assert float(extras[column]) == pytest.approx(float(row[column]), abs=1e-5), (
                    column
                )  # the truth has six digits
            assert extras["affect_source"] == row["affect_source"]


def test_every_segment_equals_the_planted_truth(made):
    name, root = made
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


def test_channels_have_the_ids_of_the_schema(made):
    name, root = made
    store = xarray.open_zarr(root / f"{name}.zarr")
    with Path(datasets.__file__).parents[1].joinpath("channels.tsv").open(encoding="utf-8") as lines:
        ids = {row["name"]: int(row["id"]) for row in csv.DictReader(lines, delimiter="\t")}
    names = [str(channel) for channel in store.channel.values]
    assert [ids[channel] for channel in names] == store.channel_id.values.tolist()
    vendor = [channel.upper() for channel in datasets.get(name).facts.channels[: EEG_ROWS[name]]]
    assert [channel.upper() for channel in names] == vendor


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

"""`inspect` recognises every kind of folder, is silent about good ones and names what is wrong with bad ones."""

import json
import shutil
from dataclasses import asdict, replace

import numpy as np
import pytest
from test_segment import boundary, make_recording, stimulus
from test_store import HEADER, make_trials

from eegpipe import affect
from eegpipe.errors import DataProblem, UsageProblem
from eegpipe.inspect import inspect
from eegpipe.inspect_report import Report, show
from eegpipe.store import SHARD_SEGMENTS, write_store

import vendor_files

POSITIVE = affect.from_word("positive")


def findings(report: Report, severity: str) -> list[str]:
    return [f"{found.where}: {found.text}" for found in report.findings if found.severity == severity]


def fact(report: Report, name: str):
    return dict(report.facts)[name]


def only(report: Report, severity: str, *texts: str) -> None:
    """Exactly one finding that asks for attention, of this severity, with these texts in it."""
    assert not report.ok
    (found,) = findings(report, "error") + findings(report, "warning")
    assert findings(report, severity) == [found]
    for text in texts:
        assert text in found


# --- what it is -------------------------------------------------------------------------------------------------------


def test_neither_nothing_nor_something_else_is_guessed_at(tmp_path):
    with pytest.raises(UsageProblem, match="does not exist"):
        inspect(tmp_path / "absent")
    (tmp_path / "notes.txt").touch()
    for path in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(UsageProblem) as refused:
            inspect(path)
        for word in ("zarr.json", "dataset_description.json", "weights.safetensors", "SEED", "DREAMER"):
            assert word in str(refused.value)


def test_a_report_is_printed_and_written_as_json(capsys):
    report = Report("model", "a [title]", [("numbers", [1, 2.5]), ("simulated", True)], [{"subject": "01", "n": 3}])
    report.note("here", "a note")
    assert report.ok
    report.warning("there [x]", "strange", "look")
    assert not report.ok
    report.problem(DataProblem("s01.dat: labels", "3", "4", "Copy it again."))
    show(report)
    printed = capsys.readouterr().out
    assert printed.index("s01.dat: labels") < printed.index("there [x]") < printed.index("here")
    for text in ("a [title]", "1, 2.5", "yes", "found 3, expected 4. Copy it again."):
        assert text in printed
    content = json.loads(report.to_json())
    assert content["ok"] is False
    assert content["facts"] == {"numbers": [1, 2.5], "simulated": True}
    assert [found["severity"] for found in content["findings"]] == ["note", "warning", "error"]


# --- vendor files -----------------------------------------------------------------------------------------------------


def test_vendor_folder(tmp_path):
    folder = vendor_files.deap(tmp_path / "deap", subjects=3)
    report = inspect(tmp_path / "deap")
    assert report.ok
    assert (report.kind, fact(report, "data set"), fact(report, "simulated")) == ("vendor files", "deap", True)
    assert [row["subject"] for row in report.contents] == ["01", "02", "03"]

    (folder / "s02.dat").write_bytes(b"")
    only(inspect(tmp_path / "deap"), "error", "s02.dat", "empty")
    (folder / "s02.dat").unlink()
    report = inspect(tmp_path / "deap")
    assert any("s02.dat" in text or "02" in text for text in findings(report, "error"))
    assert expectations(report)["subjects"] == (3, 2)
    assert "New: no listed irregularity" in report.findings[0].cure


def expectations(report):
    return {name: (expected, found) for name, expected, found in report.expectations}


def test_a_vendor_folder_can_be_read_through(tmp_path):
    folder = vendor_files.deap(tmp_path / "deap", subjects=3)
    names_only = expectations(inspect(tmp_path / "deap"))
    assert names_only["rate (Hz)"] == ([128.0], "not read (--read)")
    report = inspect(tmp_path / "deap", read=True)
    assert report.ok
    found = expectations(report)
    assert found["rate (Hz)"] == ([128.0], [128.0])
    assert found["trials per session"] == (4, 4)
    assert found["EEG channels"] == (32, [32])
    content = (folder / "s02.dat").read_bytes()
    (folder / "s02.dat").write_bytes(content[:-100])
    assert inspect(tmp_path / "deap").ok
    report = inspect(tmp_path / "deap", read=True)
    only(report, "error", "s02.dat", "damaged")
    assert [row["trials"] for row in report.contents] == [4, 0, 4]


# --- BIDS and cleaned -------------------------------------------------------------------------------------------------


def write_bids(root, *, change=lambda recording: recording, subjects=("01", "02", "10"), description=None):
    from eegpipe import bids, datasets

    for number, subject in enumerate(subjects):
        random = np.random.default_rng(number)
        events = [
            stimulus(0, 9, 1, label="positive", affect=POSITIVE),
            boundary(9),
            stimulus(9, 10, 2, label="negative"),
        ]
        recording = make_recording(random.normal(0, 20, 20 * 200), events, 200.0, subject=subject, session="1")
        bids.write_recording(change(recording), root, description=description)
    derivative = {"Name": "clean", "Version": "1", "Description": "Cleaned"} if description else None
    bids.write_root(
        root, about=datasets.get("seed").about(simulated=True), description=description, derivative=derivative
    )
    return root


@pytest.fixture(scope="module")
def good_bids(tmp_path_factory):
    return write_bids(tmp_path_factory.mktemp("bids") / "seed")


def test_bids(good_bids):
    report = inspect(good_bids)
    assert report.ok, report.findings
    assert (report.kind, fact(report, "data set"), fact(report, "simulated")) == ("BIDS data set", "seed", True)
    assert fact(report, "subjects") == ["01", "02", "10"]
    assert fact(report, "labels") == ["negative", "positive"]
    assert fact(report, "valence and arousal") == ["word-norm"]
    assert report.contents[2] == {
        "recording": "sub-10_ses-1_task-emotion",
        "channels": 3,
        "rate (Hz)": 200.0,
        "minutes": 0.33,
        "trials": 2,
    }


def second(change):
    """Apply ``change`` to the recording of subject 02 only."""

    def changed(recording):
        return change(recording) if recording.id.subject == "02" else recording

    return changed


def silence(recording):
    recording.raw.load_data()._data[1] = 0.0
    return recording


def volts(recording):
    recording.raw.load_data()._data *= 1e3
    return recording


def fewer_trials(recording):
    return replace(recording, events=recording.events[:1])


def far_away(recording):
    there = affect.Affect(7.0, 0.0, affect.AffectSource.SELF_REPORT)
    events = [replace(event, affect=there) if event.trial == 1 else event for event in recording.events]
    return replace(recording, events=events)


def strange_channel(recording):
    recording.raw.rename_channels({"Cz": "X9"})
    return recording


@pytest.mark.parametrize(
    ("change", "severity", "texts"),
    [
        (second(silence), "warning", ["sub-02_ses-1_task-emotion: signal", "flat channels Cz"]),
        (second(volts), "warning", ["sub-02_ses-1_task-emotion: signal", "no EEG"]),
        (second(fewer_trials), "warning", ["sub-02_ses-1_task-emotion", "trials 1, where most have 2"]),
        (second(far_away), "error", ["events, trial 1", "valence 7"]),
        (second(strange_channel), "warning", ["channels", "X9"]),
        (fewer_trials, "warning", ["labels", "all trials are 'positive', where seed has 3"]),
    ],
)
def test_bids_with_a_fault(tmp_path, change, severity, texts):
    only(inspect(write_bids(tmp_path / "seed", change=change)), severity, *texts)


def test_bids_with_missing_and_broken_files(good_bids, tmp_path):
    root = shutil.copytree(good_bids, tmp_path / "seed")
    signal = root / "sub-01/ses-1/eeg/sub-01_ses-1_task-emotion_eeg.eeg"
    content = signal.read_bytes()
    signal.write_bytes(content[:-100])
    only(inspect(root), "error", "sub-01_ses-1_task-emotion_eeg.eeg")
    numbers = np.frombuffer(content, "<f4").copy()
    numbers[5] = np.nan
    signal.write_bytes(numbers.tobytes())
    only(inspect(root), "error", "sub-01_ses-1_task-emotion: signal: NaN or infinity in ")
    signal.write_bytes(content)
    signal.with_suffix(".json").unlink()
    report = inspect(root)
    assert any("interrupted write" in text for text in findings(report, "warning"))
    assert any("subjects 01 listed, but without a recording" in text for text in findings(report, "warning"))
    shutil.rmtree(root / "sub-01")
    (root / "participants.tsv").unlink()
    only(inspect(root), "warning", "participants.tsv: is missing")


def test_bids_of_somebody_else(good_bids, tmp_path):
    root = shutil.copytree(good_bids, tmp_path / "seed")
    (root / "dataset_description.json").write_text('{"Name": "Other", "BIDSVersion": "1.9.0"}')
    only(inspect(root), "error", "dataset_description.json")


def test_official_validation_is_part_of_the_report(good_bids, tmp_path):
    root = shutil.copytree(good_bids, tmp_path / "seed")
    assert not findings(inspect(root, validate=True), "error")
    (root / "sub-01/ses-1/eeg/sub-01_ses-1_task-emotion_nonsense.txt").touch()
    assert any("nonsense.txt" in text for text in findings(inspect(root, validate=True), "error"))


QUALITY = "recording\tstatus\tproblem\tbad_share\n"


def quality_row(subject, status="ok", problem="n/a", bad_share="0.05"):
    return f"sub-{subject}_ses-1_task-emotion\t{status}\t{problem}\t{bad_share}\n"


@pytest.fixture(scope="module")
def good_clean(tmp_path_factory):
    root = write_bids(tmp_path_factory.mktemp("clean") / "seed", description="clean")
    (root / "quality.tsv").write_text(QUALITY + "".join(map(quality_row, ("01", "02", "10"))))
    return root


def test_cleaned(good_clean):
    report = inspect(good_clean)
    assert report.ok, report.findings
    assert report.kind == "cleaned data set"
    assert fact(report, "recordings") == 3


@pytest.mark.parametrize(
    ("table", "severity", "texts"),
    [
        (None, "warning", ["quality.tsv: is missing"]),
        ("name\tn\nx\t1\n", "warning", ["quality.tsv", "not the table"]),
        (QUALITY + quality_row("01") + quality_row("02"), "warning", ["without sub-10_ses-1_task-emotion"]),
        (
            QUALITY + "".join(map(quality_row, ("01", "02", "10"))) + quality_row("11", "failed", "no EEG", "n/a"),
            "error",
            ["sub-11_ses-1_task-emotion", "cleaning failed: no EEG"],
        ),
        (
            QUALITY + quality_row("01") + quality_row("02", bad_share="0.38") + quality_row("10"),
            "warning",
            ["sub-02_ses-1_task-emotion", "38%"],
        ),
    ],
)
def test_cleaned_with_a_fault(good_clean, tmp_path, table, severity, texts):
    root = shutil.copytree(good_clean, tmp_path / "seed")
    (root / "quality.tsv").unlink()
    if table:
        (root / "quality.tsv").write_text(table)
    only(inspect(root), severity, *texts)


# --- segment stores ---------------------------------------------------------------------------------------------------


def test_store(tmp_path):
    write_store(tmp_path / "a.zarr", make_trials(), HEADER)
    report = inspect(tmp_path / "a.zarr")
    assert report.ok, report.findings
    assert report.kind == "segment store"
    assert fact(report, "segments") == 12
    assert report.contents[1] == {
        "subject": "10",
        "sessions": 1,
        "trials": 2,
        "segments": 6,
        "segments by label": "neutral 3, positive 3",
    }


def trials(change=lambda trial: trial, **rest):
    return [change(trial) for trial in make_trials(subjects=("1", "2", "3"), **rest)]


def flat(trial):
    return replace(trial, eeg=trial.eeg * [[1], [0], [1]]) if trial.subject == "2" else trial


@pytest.mark.parametrize(
    ("content", "severity", "texts"),
    [
        (trials(flat), "warning", ["subject 2, session 1", "flat channels Cz"]),
        (trials(lambda trial: replace(trial, eeg=trial.eeg * 1e4)), "warning", ["no EEG"]),
        (trials(lambda trial: replace(trial, label="neutral")), "warning", ["all segments are 'neutral'"]),
        (trials(lambda trial: replace(trial, label=None)), "warning", ["all segments are unknown"]),
        (trials(lambda trial: replace(trial, trial=1)), "error", ["occur twice", "9 segments"]),
        (
            trials(lambda trial: replace(trial, affect=replace(POSITIVE, source=affect.AffectSource.UNKNOWN))),
            "warning",
            ["valence", "disagree"],
        ),
        (
            [*trials(), *make_trials(subjects=("4",), n_segments=1, trials=(1, 2))],
            "warning",
            ["subject 4", "2 segments, where the median subject has 6"],
        ),
    ],
)
def test_store_with_a_fault(tmp_path, content, severity, texts):
    write_store(tmp_path / "a.zarr", content, HEADER)
    report = inspect(tmp_path / "a.zarr")
    if "disagree" in texts:  # both axes
        assert len(findings(report, severity)) == 2
        report.findings.pop()
    if "no EEG" in texts:  # every subject
        assert len(findings(report, severity)) == 3
        del report.findings[1:]
    only(report, severity, *texts)


def set_column(path, name, value):
    import zarr

    zarr.open_group(path)[name][0] = value


def set_attribute(path, name, value):
    content = json.loads((path / "zarr.json").read_text())
    content["attributes"][name] = value
    (path / "zarr.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "texts"),
    [
        (lambda path: set_column(path, "valence", 4.5), ["valence", "1 segments outside"]),
        (lambda path: set_column(path, "channel_id", 60), ["channel_id", "Fp1"]),
        (lambda path: set_column(path, "subject", 9), ["subject: [9] have no meaning"]),
        (lambda path: set_column(path, "stimulus_time", np.nan), ["stimulus_time", "NaN"]),
        (lambda path: set_attribute(path, "stimulus_ids", [1, 2]), ["stimulus_ids", "CRC-32"]),
        (lambda path: set_attribute(path, "schema_version", 99), ["newer"]),
        (lambda path: (path / "eeg/c/1/0/0").unlink(), ["eeg", "shards [1] have no file"]),
        (lambda path: (path / "eeg/c/0/0/0").write_bytes(b"x" * 1000), ["subject 9, session 1", "decoded"]),
        (lambda path: shutil.rmtree(path / "eeg"), ["zarr.json", "cannot be opened"]),
    ],
)
def test_damaged_store(tmp_path, change, texts):
    path = tmp_path / "a.zarr"
    write_store(path, make_trials(subjects=("9",), n_segments=SHARD_SEGMENTS // 2 + 1), HEADER)
    change(path)
    report = inspect(path)
    errors = findings(report, "error")
    assert errors
    assert all(text in errors[0] for text in texts)


def test_store_without_what_others_need(tmp_path):
    path = tmp_path / "a.zarr"
    write_store(path, make_trials(), HEADER)
    content = json.loads((path / "zarr.json").read_text())
    del content["attributes"]["labels"], content["consolidated_metadata"]["metadata"]["valence"]
    (path / "zarr.json").write_text(json.dumps(content))
    only(inspect(path), "error", "the attribute labels", "the variable valence")


def test_store_tells_what_was_left_out(tmp_path):
    header = replace(HEADER, attributes={"recordings_left_out": ["sub-03_task-emotion"]})
    short = replace(next(make_trials()), eeg=np.empty((0, 3, 20)), stimulus_time=[], recording_time=[], trial=9)
    write_store(tmp_path / "a.zarr", [*make_trials(), short], header)
    report = inspect(tmp_path / "a.zarr")
    only(report, "warning", "sub-03_task-emotion")
    assert findings(report, "note") == ["trials: 1 of 5 are shorter than a window and have no segment."]


# --- models -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def good_model(tmp_path_factory):
    from safetensors.torch import save_file

    from eegpipe.models.mdjpt import Mdjpt, MdjptConfig

    folder = tmp_path_factory.mktemp("models") / "seed"
    folder.mkdir()
    config = MdjptConfig(hidden=16, heads=2, ffn=16, features=4, latent_channels=8).resolved()
    save_file(
        {name: tensor.contiguous() for name, tensor in Mdjpt(config).state_dict().items()},
        folder / "weights.safetensors",
    )
    (folder / "config.json").write_text(json.dumps(asdict(config)))
    used = {"store": "ab" * 32, "subjects": ["01", "02"], "stimuli": ["deap/01"], "segments": 40}
    seen = {"deap": used | {"rate_hz": 125.0, "window_samples": 625}}
    manifest = {"method": "mdjpt", "variant": "described", "datasets": seen, "rate_hz": 125.0, "seed": 1}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "log.csv").write_text("epoch,loss\n1,3.5\n2,3.25\n")
    (folder / "README.md").write_text("# card")
    return folder


def test_model(good_model):
    report = inspect(good_model)
    assert report.ok, report.findings
    assert (report.kind, fact(report, "data sets seen"), fact(report, "last loss")) == ("model", ["deap"], 3.25)
    assert report.contents == [
        {
            "data set": "deap",
            "subjects": 2,
            "stimuli": 1,
            "segments": 40,
            "rate (Hz)": 125.0,
            "window (samples)": 625,
            "store": "abababababab",
        }
    ]


def edit(name, change):
    def apply(folder):
        content = json.loads((folder / name).read_text())
        change(content)
        (folder / name).write_text(json.dumps(content))

    return apply


def cut_weights(folder):
    file = folder / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-8])


def nan_weights(folder):
    from safetensors.numpy import load_file, save_file

    tensors = load_file(folder / "weights.safetensors")
    next(iter(tensors.values())).flat[0] = np.nan
    save_file(tensors, folder / "weights.safetensors")


@pytest.mark.parametrize(
    ("change", "severity", "texts"),
    [
        (edit("config.json", lambda config: config.update(hidden=32)), "error", ["of another shape", "config says"]),
        (edit("config.json", lambda config: config.update(depth=3)), "error", ["weights.safetensors: without"]),
        (edit("config.json", lambda config: config.update(depth=1)), "error", ["with the unknown"]),
        (edit("config.json", lambda config: config.update(width=1)), "error", ["config.json: describes no network"]),
        (edit("manifest.json", lambda manifest: manifest.pop("datasets")), "error", ["names no data set"]),
        (
            edit("manifest.json", lambda manifest: manifest["datasets"]["deap"].update(subjects=[])),
            "error",
            ["datasets.deap", "without subjects"],
        ),
        (lambda folder: (folder / "manifest.json").unlink(), "error", ["manifest.json: is missing"]),
        (lambda folder: (folder / "weights.safetensors").unlink(), "error", ["weights.safetensors: is missing"]),
        (lambda folder: (folder / "README.md").unlink(), "warning", ["README.md: is missing"]),
        (lambda folder: (folder / "config.json").write_text("{"), "error", ["config.json: is no JSON"]),
        (lambda folder: (folder / "log.csv").write_text("epoch,loss\n1,nan\n"), "error", ["log.csv", "not finite"]),
        (cut_weights, "error", ["weights.safetensors: cannot be read"]),
        (nan_weights, "error", ["weights.safetensors: NaN"]),
    ],
)
def test_model_with_a_fault(good_model, tmp_path, change, severity, texts):
    folder = shutil.copytree(good_model, tmp_path / "seed")
    change(folder)
    only(inspect(folder), severity, *texts)


def test_random_weights_are_called_so(good_model, tmp_path):
    folder = shutil.copytree(good_model, tmp_path / "seed")
    (folder / "log.csv").write_text("epoch,loss\n")
    report = inspect(folder)
    assert report.ok
    assert any("random weights" in text for text in findings(report, "note"))

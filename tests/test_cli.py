"""The command line as a user meets it: subprocesses, exit codes, help."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from eegpipe.datasets import NAMES, get

BIN = Path(sys.executable).parent
COMMANDS = [
    "datasets",
    "simulate",
    "inspect",
    "bids",
    "clean",
    "segment",
    "split",
    "protocols",
    "pretrain",
    "evaluate",
    "report",
    "results",
    "verify",
    "compare",
    "sweep",
]


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def vendor_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("raw") / "dreamer"
    made = run(BIN / "eegpipe", "simulate", "dreamer", folder, "--subjects", "2", "--seconds", "6", "--seed", "3")
    assert made.returncode == 0, made.stderr
    return folder


@pytest.mark.parametrize(
    "start",
    [
        [BIN / "eegpipe"],
        [sys.executable, "-m", "eegpipe"],
        [BIN / "typer", "eegpipe"],
        [BIN / "typer", "eegpipe", "run"],
    ],
    ids=["eegpipe", "python -m eegpipe", "typer eegpipe", "typer eegpipe run"],
)
def test_inspect_works_in_every_spelling(start, vendor_folder):
    plain = run(*start, "inspect", vendor_folder)
    assert plain.returncode == 0, plain.stderr
    assert "DREAMER" in plain.stdout
    machine = run(*start, "inspect", vendor_folder, "--json")
    assert json.loads(machine.stdout)["kind"] == "vendor files"
    nothing = run(*start, "inspect", vendor_folder / "nothing-here")
    assert nothing.returncode == 2
    assert "nothing-here" in nothing.stderr
    assert "Traceback" not in nothing.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command):
    shown = run(BIN / "eegpipe", command, "--help")
    assert shown.returncode == 0
    assert len(shown.stdout.splitlines()) > 4


def test_help_lists_every_command():
    shown = run(BIN / "eegpipe", "--help").stdout
    assert all(f"\n  {command} " in shown for command in COMMANDS)


def test_a_mistyped_name_is_refused_with_the_nearest_one(tmp_path):
    made = run(BIN / "eegpipe", "simulate", "draemer", tmp_path / "out")
    assert made.returncode == 2
    assert "Did you mean 'dreamer'?" in made.stderr
    assert not (tmp_path / "out").exists()


def test_a_broken_vendor_file_is_one_clear_error(vendor_folder, tmp_path):
    broken = tmp_path / "dreamer"
    broken.mkdir()
    for file in vendor_folder.iterdir():
        content = file.read_bytes()
        (broken / file.name).write_bytes(content[: len(content) // 2] if file.suffix == ".mat" else content)
    made = run(BIN / "eegpipe", "bids", "dreamer", broken, tmp_path / "bids", "--workers", "1")
    assert made.returncode == 1
    assert "DREAMER.mat" in made.stderr
    assert "Traceback" not in made.stderr
    assert not list((tmp_path / "bids").rglob("*.eeg"))


def test_one_broken_recording_among_many_costs_itself_only(tmp_path):
    made = run(BIN / "eegpipe", "simulate", "mdme", tmp_path / "raw", "--subjects", "3", "--seconds", "5", "--traps")
    assert made.returncode == 0, made.stderr
    broken = tmp_path / "raw" / "2" / "datas.mat"
    broken.write_bytes(broken.read_bytes()[:-1000])
    inspected = run(BIN / "eegpipe", "inspect", tmp_path / "raw", "--read")
    assert inspected.returncode == 1
    assert "2/datas.mat" in inspected.stdout
    converted = run(BIN / "eegpipe", "bids", "mdme", tmp_path / "raw", tmp_path / "bids", "--workers", "1")
    assert converted.returncode == 1
    assert "2 done, 0 kept from before, 1 failed" in converted.stdout
    assert "2/datas.mat: found" in converted.stderr
    assert "New: no listed irregularity of mdme" in converted.stderr
    lines = (tmp_path / "bids/quality.tsv").read_text(encoding="utf-8").splitlines()
    rows = [dict(zip(lines[0].split("\t"), line.split("\t"), strict=True)) for line in lines[1:]]
    assert [row["status"] for row in rows] == ["ok", "failed", "ok"]
    assert "2/datas.mat" in rows[1]["problem"]
    assert len(list((tmp_path / "bids").rglob("*_eeg.eeg"))) == 2
    partial = run(
        BIN / "eegpipe", "bids", "mdme", tmp_path / "raw", tmp_path / "bids", "--workers", "1", "--allow-partial"
    )
    assert partial.returncode == 0
    assert "0 done, 2 kept from before, 1 failed" in partial.stdout


def test_the_files_of_another_data_set_are_called_by_their_name(vendor_folder, tmp_path):
    made = run(BIN / "eegpipe", "bids", "seed", vendor_folder, tmp_path / "bids")
    assert made.returncode == 2
    assert "holds files of 'dreamer', not of 'seed'" in made.stderr
    assert not (tmp_path / "bids").exists()


def test_datasets_lists_what_is_read():
    rows = json.loads(run(BIN / "eegpipe", "datasets", "--json").stdout)
    assert [row["name"] for row in rows] == list(NAMES)
    for row in rows:
        assert row["licence"]
        assert row["access"]
        assert all(variant["tree"] and variant["files"] for variant in row["variants"])


@pytest.mark.parametrize("name", NAMES)
def test_datasets_says_all_about_one(name):
    shown = run(BIN / "eegpipe", "datasets", name)
    assert shown.returncode == 0, shown.stderr
    dataset = get(name)
    for variant in dataset.variants:
        assert f"variant {variant.name}" in shown.stdout
        assert variant.tree.splitlines()[0] in shown.stdout
    assert all(one.name in shown.stdout for one in dataset.irregularities)


def test_no_progress_bar_in_a_pipe(vendor_folder, tmp_path):
    made = run(BIN / "eegpipe", "bids", "dreamer", vendor_folder, tmp_path / "bids", "--workers", "1")
    assert made.returncode == 0, made.stderr
    assert "━" not in made.stderr + made.stdout
    assert "\x1b[" not in made.stderr + made.stdout


def test_cleaning_with_a_papers_preset(tmp_path):
    made = run(BIN / "eegpipe", "simulate", "dreamer", tmp_path / "raw", "--subjects", "1", "--seconds", "6")
    assert made.returncode == 0, made.stderr
    made = run(BIN / "eegpipe", "bids", "dreamer", tmp_path / "raw", tmp_path / "bids", "--workers", "1")
    assert made.returncode == 0, made.stderr
    refused = run(BIN / "eegpipe", "clean", tmp_path / "bids", tmp_path / "clean", "--preset", "mdjptt")
    assert refused.returncode == 2
    assert "Did you mean 'mdjpt'?" in refused.stderr
    for preset, band in (("mdjpt", "0.5-47"), ("emod", "0.3-49"), ("art", "1-49")):
        out = tmp_path / preset
        made = run(BIN / "eegpipe", "clean", tmp_path / "bids", out, "--preset", preset, "--workers", "1")
        assert made.returncode == 0, made.stderr
        assert str(out / "quality" / "index.html") in made.stdout
        header, row = ((line.split("\t")) for line in (out / "quality.tsv").read_text("utf-8").splitlines())
        assert dict(zip(header, row, strict=True))["band_hz"] == band
        assert {file.name for file in (out / "quality").iterdir()} == {"index.html", "sub-01_task-emotion.html"}

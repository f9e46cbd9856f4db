"""The whole DAG on a small copy of the project: simulated DREAMER and FACED, and real EEGMAT as the target.

One copy serves all tests of this file, in order; each leaves it as the next expects it.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from import_graph import ROOT

BIN = Path(sys.executable).parent
TRACKED = ("dvc.yaml", "params.yaml", "pyproject.toml", ".dvc/config", ".dvcignore", "eegpipe", "pipeline")
SUBJECTS = 3


@pytest.fixture(scope="module")
def project(tmp_path_factory, realdata) -> Path:
    folder = tmp_path_factory.mktemp("project")
    for name in TRACKED:
        source, place = ROOT / name, folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, place, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, place)
    edit(folder, small)
    (folder / ".gitignore").write_text("/data/\n/models/\n/plots/\n/reports/\n__pycache__/\n", encoding="utf-8")
    params = yaml.safe_load((folder / "params.yaml").read_text("utf-8"))
    params["raw"] = {name: f"data/raw/{name}" for name in params["simulate"]}
    # One line is all that a user's own files need.
    params["raw"]["eegmat"] = str(realdata / "physionet_eegmat")
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "start"]):
        subprocess.run(["git", *command], cwd=folder, env=environment(), check=True)
    return folder


def small(params: dict) -> None:
    """The same DAG in a few minutes: two simulated data sets, one target, narrow networks, few steps."""
    params["simulate"] = {name: params["simulate"][name] for name in ("dreamer", "faced")}
    for settings in params["simulate"].values():
        settings.update(subjects=SUBJECTS, trial_s=10.0)
    params.update(sources=["dreamer", "faced"], targets=["eegmat"])
    params["mdjpt"]["demo"]["model"].update(features=4, latent_channels=8, hidden=8, ffn=8)
    params["mdjpt"]["demo"]["training"].update(epochs=2, steps_per_epoch=2)
    params["fine_tuned"] = ["emod", "art"]
    for method in ("emod", "art"):
        params[method]["demo"]["training"].update(epochs=2, steps_per_epoch=2)
        params[method]["demo"]["finetune"].update(epochs=2)
    params["windowing"]["art"]["demo"].update(step_s=4.0)
    params["evaluate"]["demo"]["resamples"] = 100
    params["split"]["groups"] = 2


def edit(folder: Path, change) -> None:
    file = folder / "params.yaml"
    params = yaml.safe_load(file.read_text("utf-8"))
    change(params)
    file.write_text(yaml.safe_dump(params, sort_keys=False), encoding="utf-8")


def environment(**more: str) -> dict[str, str]:
    who = {f"GIT_{role}_{what}": "test@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    # The copy's own package, not the installed one.
    return os.environ | who | {"PATH": path, "PYTHONPATH": ".", "OMP_NUM_THREADS": "1", "DVC_NO_ANALYTICS": "1"} | more


def dvc(folder: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / "dvc", *words], cwd=folder, env=environment(**more), capture_output=True, text=True, timeout=500
    )


def ran(output: str) -> list[str]:
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


def wait_for(condition, seconds: float = 120.0, pause: float = 0.02) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(pause)


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(project, tmp_path):
    made = dvc(project, "repro", "bids@faced")
    assert made.returncode == 0, made.stderr
    clean = project / "data/clean/faced"
    running = subprocess.Popen(
        [BIN / "dvc", "repro", "clean@faced"],
        cwd=project,
        env=environment(EEGPIPE_WORKERS="1"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_for(lambda: list(clean.rglob("*_eeg.json")) or running.poll() is not None)
    os.killpg(running.pid, signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    finished = {path: path.stat().st_mtime_ns for path in clean.rglob("*desc-clean_eeg.json")}
    assert 0 < len(finished) < SUBJECTS

    again = dvc(project, "repro", "clean@faced", EEGPIPE_WORKERS="1")
    assert again.returncode == 0, again.stderr
    assert f"{SUBJECTS - len(finished)} done, {len(finished)} kept" in again.stdout
    assert {path: path.stat().st_mtime_ns for path in finished} == finished

    undisturbed = tmp_path / "undisturbed"
    command = [BIN / "eegpipe", "clean", "data/bids/faced", undisturbed, "--workers", "2", "--params", "params.yaml"]
    subprocess.run([str(word) for word in command], cwd=project, env=environment(), check=True, capture_output=True)
    assert contents(clean) == contents(undisturbed)


def test_the_whole_way(project):
    made = dvc(project, "repro")
    assert made.returncode == 0, made.stdout + made.stderr
    assert {"bids@eegmat", "clean@eegmat", "pretrain@mdjpt-eegmat", "report"} <= set(ran(made.stdout))
    assert {"pretrain@emod-eegmat", "finetune@emod-eegmat", "evaluate@art-eegmat"} <= set(ran(made.stdout))
    assert ran(dvc(project, "repro").stdout) == []
    page = (project / "reports/index.html").read_text("utf-8")
    assert "EEGMAT" in page
    assert all(title in page for title in ("mdJPT", "EMOD tuned", "ART + GAT"))
    for method in ("mdjpt", "emod", "art"):
        manifest = json.loads((project / f"models/{method}/eegmat/manifest.json").read_text("utf-8"))
        assert sorted(manifest["datasets"]) == ["dreamer", "faced"]
    rates = {name: used["rate_hz"] for name, used in manifest["datasets"].items()}
    assert rates == {"dreamer": 128.0, "faced": 250.0}  # ART: each data set's own
    for cleaned in ("bids", "clean"):
        from eegpipe.bids import validate

        for name in ("dreamer", "faced", "eegmat"):
            errors = [one for one in validate(project / "data" / cleaned / name) if one.severity == "error"]
            assert not errors


def test_rest_is_told_from_arithmetic_in_unseen_people(project, tmp_path):
    """With as many training groups and resamples as the committed settings have."""
    store, splits = project / "data/segments/mdjpt/eegmat.zarr", tmp_path / "splits"
    settings = ("--params", ROOT / "params.yaml", "--seed", "1")
    for words in (("split", store, splits), ("evaluate", "de", store, splits, tmp_path / "out", *settings)):
        made = subprocess.run([BIN / "eegpipe", *words], capture_output=True, text=True, env=environment())
        assert made.returncode == 0, made.stderr
    row = json.loads((tmp_path / "out/metrics.json").read_text("utf-8"))["protocols"]["fewshot_subject"]
    assert row["leak_free"]
    assert row["n_subjects"] == 8
    assert row["balanced_accuracy"]["interval"]["low"] > row["chance"]["uniform"] == 0.5


def test_every_method_is_tested_on_the_same_splits(project):
    files = sorted((project / "metrics/eegmat").glob("*.json"))
    trained = ["art", "art_finetuned", "emod", "emod_finetuned", "mdjpt"]
    assert [file.stem for file in files] == sorted([*trained, "de", "de_linear", "de_lstm", "prior"])
    rows = {file.stem: json.loads(file.read_text("utf-8"))["protocols"]["fewshot_subject"] for file in files}
    for what in ("split", "n_subjects", "n_trials", "n_folds", "leak_free"):
        assert len({row[what] for row in rows.values()}) == 1, what
    # EMOD's features depend on no other segment; mdJPT and ART look at the session.
    looking = {name for name, row in rows.items() if "encoder_batch" in row["transductive"]}
    assert looking == {"mdjpt", "art", "art_finetuned"}


def test_one_weight_re_runs_one_method(project):
    subprocess.run(["git", "add", "-A"], cwd=project, env=environment(), check=True)
    subprocess.run(["git", "commit", "-qm", "baseline"], cwd=project, env=environment(), check=True)
    made = dvc(project, "exp", "run", "-S", "cda_lambda=0.5")
    assert made.returncode == 0, made.stdout + made.stderr
    first, second, *between, last = ran(made.stdout)
    assert (first, second, last) == ("settings", "pretrain@mdjpt-eegmat", "report")
    assert sorted(between) == ["embed@eegmat", "evaluate@mdjpt-eegmat"]
    changes = json.loads(dvc(project, "metrics", "diff", "--json").stdout)
    assert list(changes) == ["metrics/eegmat/mdjpt.json"]
    assert "cda_lambda" in dvc(project, "exp", "show", "--csv").stdout


def test_a_mistyped_weight_stops_the_first_stage_that_runs(project):
    made = dvc(project, "exp", "run", "-S", "cda_lambda=abc")
    assert made.returncode != 0
    assert 'params.yaml: cda_lambda: found "abc"' in made.stdout + made.stderr
    assert "Traceback" not in made.stdout + made.stderr


def test_a_setting_that_no_stage_reads_is_refused(project):
    """DVC's own message proposes the plus; without a stage that depends on all of params.yaml none would run."""
    subprocess.run(["git", "checkout", "-q", "."], cwd=project, env=environment(), check=True)
    assert dvc(project, "checkout", "--force").returncode == 0
    made = dvc(project, "exp", "run", "-S", "+cda_lamda=0.5")
    assert made.returncode != 0
    assert ran(made.stdout) == ["report"]
    assert "unknown setting 'cda_lamda'. Did you mean 'cda_lambda'?" in made.stdout + made.stderr


@pytest.mark.timeout(1800)
def test_a_queue_of_six_weights_and_two_workers_gives_what_one_after_the_other_gives(project, tmp_path):
    subprocess.run(["git", "checkout", "-q", "."], cwd=project, env=environment(), check=True)
    weights = ("0", "0.01", "0.03", "0.1", "0.3", "1")
    serial = shutil.copytree(project, tmp_path / "serial", symlinks=True)
    shutil.rmtree(serial / ".dvc/cache/runs")  # nothing that was computed before may be looked up

    def done() -> bool:
        return dvc(project, "queue", "status").stdout.count("Success") == len(weights)

    queued = dvc(project, "exp", "run", "--queue", "-S", f"cda_lambda={','.join(weights)}")
    assert queued.returncode == 0, queued.stderr
    try:
        assert dvc(project, "queue", "start", "--jobs", "2").returncode == 0
        wait_for(done, seconds=1200, pause=10)
    finally:
        dvc(project, "queue", "stop", "--kill")
    table = list(csv.DictReader(dvc(project, "exp", "show", "--csv").stdout.splitlines()))
    commits = {row["cda_lambda"]: row["rev"] for row in table if row["Experiment"]}
    assert set(weights) <= commits.keys()
    for weight in weights:
        edit(serial, lambda params, weight=weight: params.update(cda_lambda=float(weight)))
        made = dvc(serial, "repro", "evaluate@mdjpt-eegmat")
        assert made.returncode == 0, made.stderr
        assert "pretrain@mdjpt-eegmat" in ran(made.stdout)
        file = "metrics/eegmat/mdjpt.json"
        words = ["git", "show", f"{commits[weight]}:{file}"]
        show = subprocess.run(words, cwd=project, capture_output=True, check=True)
        assert show.stdout == (serial / file).read_bytes(), weight

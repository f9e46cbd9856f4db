"""Pre-training in several processes: the bytes of one, and an end for all when one fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from test_methods import sources_of

from eegpipe import processes
from eegpipe.affect import Affect, AffectSource
from eegpipe.errors import UsageProblem
from eegpipe.loader import Segments
from eegpipe.processes import ALONE, Group, check_share, how_many, join, started
from eegpipe.runtime import Runtime
from eegpipe.store import StoreHeader, TrialSegments, write_store

from import_graph import ROOT
from training_processes import COUNT, SHARED, run

SCRIPT = Path(__file__).with_name("training_processes.py")
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(COUNT))


def environment(**more: str) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | more


def ran(*words: object, cwd: Path | None = None, **more: str) -> subprocess.CompletedProcess[str]:
    command = [str(word) for word in words]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=cwd, env=environment(**more))


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("alone")
    for name in SHARED:
        run(name, folder)
    return folder


def test_two_processes_write_the_bytes_of_one(alone, tmp_path):
    """Weights, statistics of batch norms, losses, curve: of every method, with dropout, in both precisions, with the
    negatives of a draw and of all."""
    made = ran(*TORCHRUN, SCRIPT, "all", tmp_path)
    assert made.returncode == 0, made.stderr
    assert contents(tmp_path) == contents(alone)
    assert len(contents(alone)) == 6 * len(SHARED)


def test_the_draws_of_a_step_matter(alone, tmp_path):
    """The comparison above could not see a process that repeats the draws of another, if draws were all alike."""
    run("mdjpt", tmp_path, settings=replace(SHARED["mdjpt"], draws_per_step=1))
    assert (tmp_path / "mdjpt.csv").read_bytes() != (alone / "mdjpt.csv").read_bytes()


class TestTrouble:
    def test_killed_and_continued_by_one(self, tmp_path):
        """The second process is killed within the second epoch of three; one process ends what two have begun."""
        made = ran(sys.executable, SCRIPT, "killed", tmp_path)
        assert made.returncode == 1
        assert made.stderr.count("Process 1 of 2 was ended by signal 9") == 1
        assert "Traceback" not in made.stderr
        assert not (tmp_path / "mdjpt").exists()
        assert len((tmp_path / "mdjpt.csv").read_text().splitlines()) == 2  # the head and one epoch
        assert (tmp_path / ".mdjpt.checkpoint").is_file()
        steps, step = [], torch.optim.Adam.step
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch.optim.Adam, "step", lambda self, *args: steps.append(1) or step(self, *args))
            run("mdjpt", tmp_path, settings=replace(SHARED["mdjpt"], epochs=3))
        assert len(steps) == 4  # those of two epochs
        run("mdjpt", tmp_path / "undisturbed", settings=replace(SHARED["mdjpt"], epochs=3))
        assert contents(tmp_path / "mdjpt") == contents(tmp_path / "undisturbed" / "mdjpt")

    @pytest.mark.parametrize(
        ("what", "code", "message"),
        [
            ("not finite", 1, "pre-training, epoch 1, step 2: found "),
            ("one fails", 2, "this one cannot go on"),
            ("other data", 2, "do not work on the same"),
        ],
    )
    def test_all_end_and_it_is_said_once(self, tmp_path, what, code, message):
        made = ran(sys.executable, SCRIPT, what, tmp_path)
        assert made.returncode == code, made.stderr
        assert made.stderr.count(message) == 1, made.stderr
        assert "Traceback" not in made.stderr
        assert not (tmp_path / "mdjpt").exists()

    def test_an_interrupt_ends_all(self, tmp_path):
        running = subprocess.Popen(
            [sys.executable, SCRIPT, "all", tmp_path], env=environment(), stderr=subprocess.PIPE, text=True
        )
        while running.poll() is None and not (tmp_path / "mdjpt.csv").exists():
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        # The pipe ends when the last process that writes to it is gone.
        running.communicate(timeout=120)
        assert running.returncode not in (0, None)


class TestShare:
    def test_draws_are_shared_evenly(self):
        check_share(4, 2)
        with pytest.raises(UsageProblem, match="draws_per_step is 3, and 2 processes"):
            check_share(3, 2)

    def test_as_many_as_cores_where_nobody_says(self, monkeypatch):
        monkeypatch.setattr(processes, "cores", lambda: 4)
        counts = {draws: how_many(None, draws, "cpu") for draws in (1, 2, 3, 6, 8)}
        assert counts == {1: 1, 2: 2, 3: 3, 6: 3, 8: 4}
        assert how_many(None, 8, "cuda") == 1
        assert how_many(8, 8, "cuda") == 8
        with pytest.raises(UsageProblem, match="draws_per_step is 3, and 2 processes"):
            how_many(2, 3, "cpu")

    def test_pretrain_checks_too(self, tmp_path):
        with pytest.raises(UsageProblem, match="draws_per_step is 4, and 3 processes"):
            run("mdjpt", tmp_path, Group(0, 3))

    def test_alone(self, monkeypatch):
        monkeypatch.delenv("RANK", raising=False)
        assert not started()
        with join("cuda:1") as group:
            assert (group.rank, group.size, group.device) == (0, 1, "cuda:1")
        assert ALONE.agrees("anything")
        assert ALONE.from_first(b"x") == b"x"

    @pytest.mark.parametrize(("name", "value"), [("MASTER_ADDR", None), ("MASTER_PORT", "22x"), ("RANK", "first")])
    def test_an_environment_that_does_not_say_where_the_others_are(self, monkeypatch, name, value):
        """Batch systems set RANK and WORLD_SIZE for purposes of their own."""
        group = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
        for variable, usual in (group | {name: value}).items():
            if usual is None:
                monkeypatch.delenv(variable, raising=False)
            else:
                monkeypatch.setenv(variable, usual)
        with pytest.raises(UsageProblem, match="unset both"), join("cpu"):
            pass

    def test_the_setting_of_the_machine(self):
        assert Runtime.from_environment({"EEGPIPE_PROCESSES": "2"}).processes == 2
        assert Runtime.from_environment({}).processes is None
        with pytest.raises(UsageProblem, match="EEGPIPE_PROCESSES: found 'two'"):
            Runtime.from_environment({"EEGPIPE_PROCESSES": "two"})


class TestCommands:
    @pytest.fixture(scope="class")
    def project(self, tmp_path_factory) -> Path:
        """A params.yaml with four draws a step, two stores of EMOD's windowing."""
        folder = tmp_path_factory.mktemp("project")
        params = yaml.safe_load((ROOT / "params.yaml").read_text("utf-8"))
        params.update(sources=["seed", "faced"], targets=["deap"])
        demo = params["emod"]["demo"]
        demo["training"].update(epochs=1, steps_per_epoch=2, draws_per_step=4)
        demo["model"].update(hidden=8, norm_groups=2, ffn=8, projection=8)
        (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
        for name, data in zip(("seed", "faced", "deap"), [*sources_of("emod"), sources_of("emod")[0]], strict=True):
            stored(data, folder / "stores" / f"{name}.zarr", name)
        (folder / "own.json").write_text("{}", encoding="utf-8")
        return folder

    def test_the_stage_and_the_command(self, project):
        """EEGPIPE_PROCESSES makes the stage start processes, torchrun starts the command: one result."""
        stage = [sys.executable, ROOT / "pipeline" / "pretrain.py", "emod", "deap", "own.json", "stores"]
        made = ran(*stage, "model", "plots/curve.csv", cwd=project, EEGPIPE_PROCESSES="2")
        assert made.returncode == 0, made.stderr
        assert (project / "plots/curve.csv").read_bytes() == (project / "model/log.csv").read_bytes()
        command = ["-m", "eegpipe", "pretrain", "emod", "other", "stores/seed.zarr", "stores/faced.zarr"]
        made = ran(*TORCHRUN, *command, "--params", "params.yaml", "--seed", 1, cwd=project)
        assert made.returncode == 0, made.stderr
        assert made.stdout.splitlines() == ["other"]
        assert contents(project / "model") == contents(project / "other")

    def test_refused_before_anything_is_read(self, project):
        command = ["-m", "eegpipe", "pretrain", "emod", "third", "stores/seed.zarr", "--params", "params.yaml"]
        made = ran(sys.executable, *command, "--processes", 3, cwd=project)
        assert made.returncode == 2
        assert made.stderr.count("draws_per_step is 4, and 3 processes") == 1


def stored(data: Segments, path: Path, dataset: str) -> None:
    header = StoreHeader(dataset, "emod", data.rate_hz, data.labels)

    def trials():
        for subject, trial in np.unique(np.stack([data.subject, data.trial], axis=1), axis=0):
            rows = np.flatnonzero((data.subject == subject) & (data.trial == trial))
            valence = float(data.valence[rows[-1]])
            yield TrialSegments(
                data.eeg[rows],
                data.channels,
                data.subject_names[subject],
                "1",
                int(trial),
                f"{dataset}/{trial:02d}",
                data.stimulus_time[rows],
                data.recording_time[rows],
                affect=Affect(valence, -valence, AffectSource.SELF_REPORT),
            )

    path.parent.mkdir(exist_ok=True)
    write_store(path, trials(), header)

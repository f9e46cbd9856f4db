"""How much memory may be taken."""

import pytest

from eegpipe import memory
from eegpipe.errors import UsageProblem
from eegpipe.memory import allowed_bytes, free_bytes


@pytest.mark.parametrize(("text", "bytes_"), [("500MB", 5e8), ("8 GB", 8e9), ("1.5TB", 1.5e12), (" 2GB ", 2e9)])
def test_what_the_user_says(text, bytes_):
    assert allowed_bytes({"EEGPIPE_MEMORY": text}) == bytes_
    assert allowed_bytes({"EEGPIPE_MEMORY": text, "WORLD_SIZE": "4"}) == bytes_ / 4
    # Of 16 processes of torchrun two are on this machine.
    assert allowed_bytes({"EEGPIPE_MEMORY": text, "WORLD_SIZE": "16", "LOCAL_WORLD_SIZE": "2"}) == bytes_ / 2


@pytest.mark.parametrize("text", ["8", "lots", "8GiB", "-1GB", "1e3GB"])
def test_no_amount_is_refused(text):
    with pytest.raises(UsageProblem, match="EEGPIPE_MEMORY: found"):
        allowed_bytes({"EEGPIPE_MEMORY": text})


def test_otherwise_half_of_what_is_free(monkeypatch):
    assert 2**20 < free_bytes() < 2**50
    monkeypatch.setattr(memory, "free_bytes", lambda: 1000)
    assert allowed_bytes({}) == allowed_bytes({"EEGPIPE_MEMORY": ""}) == 500


def group(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(f"{content}\n")


def test_the_tightest_control_group_around_the_process_counts(tmp_path):
    root, own = tmp_path / "root", tmp_path / "own"
    own.write_text("0::/slurm/job_7\n")
    group(root, {})
    group(root / "slurm", {"memory.max": "9000", "memory.current": 5000, "memory.stat": "anon 1\ninactive_file 3000"})
    group(root / "slurm/job_7", {"memory.max": "max", "memory.current": 10, "memory.stat": "inactive_file 0"})
    assert min(memory._free_in_groups(root, own)) == 7000
    own.write_text("4:cpu,cpuacct:/\n3:memory:/docker\n")
    old = {"memory.limit_in_bytes": 600, "memory.usage_in_bytes": 500, "memory.stat": "total_inactive_file 50"}
    group(root / "memory/docker", old)
    assert min(memory._free_in_groups(root, own)) == 150
    assert min(memory._free_in_groups(root, tmp_path / "none")) > 2**60

"""What a user reads when the machine, not the data, is at fault."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from safetensors import SafetensorError

from eegpipe.errors import of_the_machine
from eegpipe.terminal import exit_code
from eegpipe.writing import write_file

FULL = Path("/dev/full")  # a disk without space, on Linux


@pytest.mark.skipif(not FULL.is_char_device(), reason="this system has no /dev/full")
def test_a_full_disk_is_one_line_and_no_traceback(capsys):
    assert exit_code(lambda: FULL.write_bytes(b"EEG" * 1000)) == 1
    said = capsys.readouterr().err
    assert said.startswith("the disk that is written to: found no space left, expected room for what is written. Free")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "a/b.zarr"), "a/b.zarr: found no space left"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "the disk that is written to: found your share of it used up"),
        (PermissionError(errno.EACCES, "Permission denied", "/data/x"), "/data/x: found no permission"),
        (OSError(errno.EROFS, "Read-only file system", b"/data/x"), "/data/x: found that it can only be read"),
        (
            SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
            "the disk that is written to: found no space left",
        ),
    ],
)
def test_faults_of_the_machine(error, said, capsys):
    def command():
        raise error

    def wrapped():
        raise RuntimeError("the store cannot be written") from error

    for each in (command, wrapped):
        assert exit_code(each) == 1
        assert capsys.readouterr().err.startswith(f"{said}, expected ")


@pytest.mark.parametrize(
    "error", [FileNotFoundError(errno.ENOENT, "No such file", "x"), ValueError("os error"), KeyError(28)]
)
def test_every_other_error_stays_what_it_is(error):
    def command():
        raise error

    assert of_the_machine(error) is None
    with pytest.raises(type(error)):
        exit_code(command)


def test_an_error_leaves_nothing_half_written(tmp_path, monkeypatch):
    write_file(tmp_path / "a.csv", b"old")

    def write(path, content):
        with path.open("wb") as file:
            file.write(content[:2])
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", write)
    with pytest.raises(OSError, match="No space"):
        write_file(tmp_path / "a.csv", b"newer")
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]
    assert (tmp_path / "a.csv").read_text() == "old"

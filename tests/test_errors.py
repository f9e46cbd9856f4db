"""What a user reads when the machine, not the data, is at fault."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from safetensors import SafetensorError
from torch import nn

from eegpipe.bids.root import replace_text
from eegpipe.errors import DiskProblem, of_the_machine
from eegpipe.terminal import exit_code
from eegpipe.train import _write_folder
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
        (OSError(errno.EROFS, "Read-only file system", Path("/data/x")), "/data/x: found that it can only be read"),
        (
            SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
            "the disk that is written to: found no space left",
        ),
    ],
)
def test_what_a_library_makes_of_a_full_disk(error, said, capsys):
    def command():
        raise error

    def caused():
        raise RuntimeError("the store cannot be written") from error

    def while_handled():
        try:
            raise error
        except type(error):
            raise RuntimeError("unexpected pos 58048 vs 57936")  # noqa: B904

    for each in (command, caused, while_handled):
        assert exit_code(each) == 1
        assert capsys.readouterr().err.startswith(f"{said}, expected ")
        with pytest.raises(type(error) if each is command else RuntimeError) as raised:
            each()
        assert isinstance(of_the_machine(raised.value), DiskProblem)


def test_a_missing_permission_names_the_file(capsys):
    def command():
        raise PermissionError(errno.EACCES, "Permission denied", "/data/s09.dat")

    assert exit_code(command) == 1
    assert capsys.readouterr().err.startswith("/data/s09.dat: found no permission, expected a file or folder that you")


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(errno.ENOENT, "No such file", "x"),
        PermissionError(errno.EPERM, "Operation not permitted"),  # of a process or a socket, not of a file
        ValueError("(os error 28)"),
        KeyError(28),
    ],
)
def test_every_other_error_stays_what_it_is(error):
    def command():
        raise error

    assert of_the_machine(error) is None
    with pytest.raises(type(error)):
        exit_code(command)


def test_a_permission_does_not_hide_the_fault_that_came_after_it():
    def command():
        try:
            raise PermissionError(errno.EACCES, "Permission denied", "/data/x")
        except PermissionError:
            raise ZeroDivisionError  # noqa: B904

    with pytest.raises(ZeroDivisionError):
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


def test_an_error_leaves_nothing_of_a_table_or_a_model(tmp_path, monkeypatch):
    def full(path, _text, **_options):
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space"):
        replace_text(tmp_path / "participants.tsv", "sub-01")
    with pytest.raises(OSError, match="No space"):
        _write_folder(tmp_path / "seed", nn.Linear(2, 2), {}, {}, [])
    assert list(tmp_path.iterdir()) == []

"""The two ways in which eegpipe refuses: the data is wrong, or the request is wrong.

A full disk or a missing permission is put into the same words (:func:`of_the_machine`). Every refusal says where, what
was found, what was expected and what to do about it. The command line prints the message without a traceback and turns
it into an exit code (1: a problem with data or the machine, 2: wrong usage).
"""

from __future__ import annotations

import difflib
import errno
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(eq=False)
class DataProblem(Exception):
    """A file or data set is not what its format promises.

    Parameters
    ----------
    where : str
        The file (relative to the folder the user named, where possible), then the field: ``"s03.dat: labels"``.
    found, expected : str
        What is there, and what the facts table asks for.
    cure : str
        What the user can do now.
    """

    where: str
    found: str
    expected: str
    cure: str

    def __str__(self) -> str:
        return f"{self.where}: found {self.found}, expected {self.expected}. {self.cure}"

    def __reduce__(self):  # an exception must survive the trip from a worker process
        return (type(self), (self.where, self.found, self.expected, self.cure))


class UsageProblem(Exception):
    """The request itself is wrong: an unknown name, a setting of the wrong type or out of range, a missing folder."""


class DiskProblem(DataProblem):
    """The disk that is written to is full or takes nothing: whatever the data, no recording can go on."""


_ROOM = "room for what is written"
_FREE = "Free some there, or in the folder for temporary files (TMPDIR), and run the same again."
_DISK = {
    errno.ENOSPC: ("no space left", _ROOM, _FREE),
    errno.EDQUOT: ("your share of it used up", _ROOM, _FREE),
    errno.EROFS: ("that it can only be read", "a disk that can be written to", "Name a folder elsewhere."),
}


def of_the_machine(error: BaseException) -> DataProblem | None:
    """A full disk (:class:`DiskProblem`) or a missing permission, as a user should read of it; None for other errors.

    Libraries turn the system's error into their own, so what led to an error is looked at, too.
    """
    cause: BaseException | None = error
    while cause is not None:
        if (number := _number(cause)) in _DISK:
            return DiskProblem(_file(cause) or "the disk that is written to", *_DISK[number])
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    name = _file(error)
    if isinstance(error, PermissionError) and name:
        cure = "Change its permissions, or name another."
        return DataProblem(name, "no permission", "a file or folder that you may use", cure)
    return None


def _number(error: BaseException) -> int | None:
    """The system's number of an error; safetensors has it in its text only."""
    if isinstance(error, OSError):
        return error.errno
    if type(error).__name__ == "SafetensorError":
        found = re.search(r"\(os error (\d+)\)", str(error))
        return int(found[1]) if found else None
    return None


def _file(error: BaseException) -> str | None:
    name = error.filename if isinstance(error, OSError) else None
    return os.fsdecode(name) if isinstance(name, str | bytes | os.PathLike) else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``" Did you mean 'x'?"`` for the nearest known word, or the list of all known words."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    return f" Did you mean '{near[0]}'?" if near else f" Known: {', '.join(names)}."

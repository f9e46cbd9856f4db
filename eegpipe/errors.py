"""The two ways in which eegpipe refuses: the data is wrong, or the request is wrong.

Every refusal says where, what was found, what was expected and what to do about it. The command line prints the
message without a traceback and turns it into an exit code (1: a problem with data, 2: wrong usage).
"""

from __future__ import annotations

import difflib
import errno
import os
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


_ROOM = "room for what is written"
_FREE = "Free some there, or in the folder for temporary files (TMPDIR), and run the same again."
_ALLOWED = "a place that you may use"
_PERMIT = "Name another folder, or change the permissions of this one."
_OF_THE_MACHINE = {
    errno.ENOSPC: ("no space left", _ROOM, _FREE),
    errno.EDQUOT: ("your share of it used up", _ROOM, _FREE),
    errno.EROFS: ("that it can only be read", _ALLOWED, _PERMIT),
    errno.EACCES: ("no permission", _ALLOWED, _PERMIT),
    errno.EPERM: ("no permission", _ALLOWED, _PERMIT),
}


def of_the_machine(error: BaseException) -> DataProblem | None:
    """A full disk or a missing permission, as a user should read of it; None for any other error.

    Libraries give the system's error as the cause of their own; safetensors only quotes its number.
    """
    cause: BaseException | None = error
    while cause is not None:
        number = cause.errno if isinstance(cause, OSError) else None
        for known, (found, expected, cure) in _OF_THE_MACHINE.items():
            if number == known or f"(os error {known})" in str(cause):
                name = getattr(cause, "filename", None)
                where = os.fsdecode(name) if isinstance(name, str | bytes) else "the disk that is written to"
                return DataProblem(where, found, expected, cure)
        cause = cause.__cause__
    return None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``" Did you mean 'x'?"`` for the nearest known word, or the list of all known words."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    return f" Did you mean '{near[0]}'?" if near else f" Known: {', '.join(names)}."

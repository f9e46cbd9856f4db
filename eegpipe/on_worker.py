"""What a worker process of a cluster says about itself, before and while it works for eegpipe.

A worker that runs other code would write other bytes, and one that sees other files would fail every recording with a
message that misleads. Both are found by comparing with the process that sends the jobs.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from eegpipe.fingerprint import code_digest, digest, imported_modules

# Distributions that have a part in the values that a job writes, and the one that carries it.
_PACKAGES = ("distributed", "mne", "mne-icalabel", "numpy", "onnxruntime", "openpyxl", "scipy")
# What the work's module imports to hand out jobs, not to do one.
_NOT_ON_WORKERS = ("eegpipe.parallel", "eegpipe.progress", "eegpipe.terminal")
# So many names of a folder are compared.
_NAMES = 50
_checked: set[Expected] = set()
_at_work: Counter[str] = Counter()


@dataclass(frozen=True)
class Expected:
    """What the process that sends the jobs runs and sees.

    ``modules``: names of the modules whose code ``code`` is the digest of. ``versions``: of Python and of
    distributions. ``files``: each path among the arguments with what :func:`look_at` finds there. ``place``: stands for
    the work and its folders, the same in each run of a step on the same folders.
    """

    modules: tuple[str, ...]
    code: str
    versions: tuple[tuple[str, str], ...]
    files: tuple[tuple[str, tuple[str, ...]], ...]
    place: str


def expectation(work_module: str, work_name: str, paths: Sequence[Path]) -> Expected:
    """Code, versions and files as this process sees them."""
    used = imported_modules(work_module, without=_NOT_ON_WORKERS)
    # Readers are sent along with the arguments, so no import statement of the work names them.
    modules = tuple(sorted({*used, "eegpipe.datasets", "eegpipe.parallel", __name__}))
    return Expected(
        modules=modules,
        code=code_digest(*modules),
        versions=tuple(_versions().items()),
        files=tuple((str(path), look_at(path)) for path in paths),
        place=digest(work_module, work_name, [str(path) for path in paths]),
    )


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {"Python": f"{sys.version_info.major}.{sys.version_info.minor}"}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    return found


def look_at(path: Path) -> tuple[str, ...]:
    """What is at a path: its kind, and the first names in a folder."""
    try:
        if path.is_dir():  # opening a folder makes a network file system look again
            names = (entry.name for entry in path.iterdir())
            return ("folder", *sorted(name for name in names if not name.startswith("."))[:_NAMES])
        path.stat()
        return ("file",)
    except OSError:
        return ("nothing",)


def differences(expected: Expected) -> str:
    """How this process differs, in words that follow "the worker X ..."; empty if it is fit.

    The digest of the code is that of the files as they were when this process first looked: a worker that was started
    before a change of code is found, although it would read the changed files now.
    """
    if expected in _checked:
        return ""
    try:
        code = code_digest(*expected.modules)
    except ModuleNotFoundError as error:
        return f"runs other code of eegpipe ({error})"
    if code != expected.code:
        return "runs other code of eegpipe than this process"
    mine: Mapping[str, str] = _versions()
    for name, version in expected.versions:
        if mine.get(name) != version:
            return f"has {name} {mine.get(name)}, this process has {version}"
    for text, there in expected.files:
        if there[0] == "nothing":  # an output, perhaps made meanwhile
            continue
        here = look_at(Path(text))
        if here[0] != there[0]:
            return f"finds {_in_words(here)} at {text}, where this process finds {_in_words(there)}"
        missing = [name for name in there[1:] if not (Path(text) / name).exists()]
        if missing:
            return f"finds another folder at {text}, without {missing[0]}"
    _checked.add(expected)
    return ""


def _in_words(found: tuple[str, ...]) -> str:
    return found[0] if found[0] == "nothing" else f"a {found[0]}"


@contextmanager
def at_work(place: str) -> Iterator[None]:
    """Remembers that this process works for :attr:`Expected.place`."""
    _at_work[place] += 1
    try:
        yield
    finally:
        _at_work[place] -= 1


def still_at_work(place: str) -> int:
    """How many jobs for a place run in this process."""
    return _at_work[place]


def at_work_now() -> bool:
    """Whether any job runs in this process."""
    return any(_at_work.values())

"""A function over numbered items in copies of this process, which share its memory: folds of an evaluation.

For work that needs arrays already in memory, where sending them to workers would cost more than the work. Recordings
from files go through :mod:`eegpipe.parallel`.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

from eegpipe.errors import UsageProblem

T = TypeVar("T")


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def each(function: Callable[[int], T], count: int, workers: int) -> Iterator[tuple[int, T]]:
    """``function(0)`` to ``function(count - 1)`` with their numbers, as they are finished.

    Each process takes every ``workers``-th item. Where processes cannot be copied (Windows, macOS), or ``workers`` is
    1, the items are done here, one after the other. ``function`` must not depend on what it has done before.

    Raises
    ------
    UsageProblem
        If a process was ended from outside. What ``function`` raises comes through as it is.
    """
    workers = min(workers, count)
    if workers < 2 or sys.platform != "linux":
        yield from ((number, function(number)) for number in range(count))
        return
    context = multiprocessing.get_context("fork")
    open_ends: dict[Connection, Any] = {}
    try:
        for first in range(workers):
            ours, theirs = context.Pipe(duplex=False)
            others = [ours, *open_ends]
            process = context.Process(
                target=_work, args=(function, range(first, count, workers), theirs, others), daemon=True
            )
            process.start()
            theirs.close()
            open_ends[ours] = process
        while open_ends:
            for end in wait(list(open_ends)):
                assert isinstance(end, Connection)
                try:
                    number, result, problem = end.recv()
                except EOFError:
                    raise UsageProblem(
                        "A process that shared the work was ended from outside, as happens where memory is short. Run "
                        "it again; EEGPIPE_WORKERS=1 works in one process."
                    ) from None
                if problem is not None:
                    raise problem
                if number is None:
                    open_ends.pop(end).join()
                    end.close()
                else:
                    yield number, result
    finally:
        for end, process in open_ends.items():
            process.terminate()
            process.join()
            end.close()


def in_order(
    function: Callable[[int], T], count: int, workers: int, advance: Callable[[], object] = lambda: None
) -> Sequence[T]:
    """The results of :func:`each` in order of the items; ``advance`` is called as each is finished."""
    results: dict[int, T] = {}
    for number, result in each(function, count, workers):
        results[number] = result
        advance()
    return [results[number] for number in range(count)]


def _work(function: Callable[[int], Any], numbers: range, end: Connection, others: Sequence[Connection]) -> None:
    """In the copy. Its pipe breaks if the first process is gone, so it never outlives it by more than one item."""
    for other in others:  # a copy of a reading end would keep the pipe whole
        other.close()
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)  # OpenMP's threads are not copied, and a call that waits for them would never end
    try:
        for number in numbers:
            end.send((number, function(number), None))
        end.send((None, None, None))
    except (BrokenPipeError, KeyboardInterrupt):
        pass
    except Exception as problem:
        problem.add_note(traceback.format_exc())  # where it was raised is lost on the way
        try:
            end.send((None, None, problem))
        except (pickle.PicklingError, TypeError, AttributeError):
            end.send((None, None, RuntimeError(traceback.format_exc())))
    finally:
        end.close()
        os._exit(0)  # nothing of the first process is to be tidied up here: temporary folders, printed lines

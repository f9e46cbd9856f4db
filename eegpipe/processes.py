"""Several processes for one training: how they start, what they tell each other, how all of them end.

Each process (with CUDA: each GPU) takes a part of the draws of every step. This module only moves what they have
computed; what becomes of it is the same for any number of them (:mod:`eegpipe.fit`).

They are started by ``torchrun``, or by :func:`start` on one machine. Where one fails, all end: the message is printed
once, by the process that failed first, and every exit code says that it went wrong.
"""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eegpipe.errors import UsageProblem
from eegpipe.forked import cores

if TYPE_CHECKING:
    from torch import Tensor

# The file through which processes that start() has started find each other.
_MEETING = "EEGPIPE_MEETING"
# One that has nothing of its own to say waits so long before it ends, so that nobody ends the one that has.
_QUIET_S = 3.0
# So long the others may take to end by themselves.
_GRACE_S = 10.0
# The ends of processes are noticed by themselves; this only has to be longer than reading the data takes.
_PATIENCE = timedelta(hours=6)


class PeerStopped(Exception):
    """Another process of the group is gone."""


@dataclass(frozen=True)
class Group:
    """The processes of one training, as one of them sees it.

    rank : number of this process, from 0; the first one writes files and shows progress
    size : how many there are
    device : torch's name of the device that is this process's own
    """

    rank: int = 0
    size: int = 1
    device: str = "cpu"

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def gather(self, tensors: Sequence[Tensor]) -> list[list[Tensor]]:
        """Every process's tensors, in order of rank, bit by bit. Shapes and types must be the same in all.

        Raises
        ------
        PeerStopped
            If a process is gone.
        """
        import torch
        from torch import distributed

        if self.size == 1:
            return [list(tensors)]
        raw = torch.cat([tensor.contiguous().flatten().view(torch.uint8).to(self.device) for tensor in tensors])
        everyones = [torch.empty_like(raw) for _ in range(self.size)]
        with _reaching_the_others():
            distributed.all_gather(everyones, raw)
        result = []
        for one in everyones:
            pieces = one.split([tensor.numel() * tensor.element_size() for tensor in tensors])
            # A copy starts at an address that suits its type.
            result.append(
                [
                    piece.clone().view(tensor.dtype).view(tensor.shape)
                    for piece, tensor in zip(pieces, tensors, strict=True)
                ]
            )
        return result

    def gather_unlike(self, tensors: Sequence[Tensor]) -> list[list[Tensor]]:
        """:meth:`gather` of float tensors whose shapes differ from process to process."""
        import torch
        from torch import distributed

        if self.size == 1:
            return [list(tensors)]
        shapes: list[Any] = [None] * self.size
        with _reaching_the_others():
            distributed.all_gather_object(shapes, [tuple(tensor.shape) for tensor in tensors])
        counts = [[math.prod(shape) for shape in own] for own in shapes]
        flat = torch.cat([tensor.detach().flatten().float().to(self.device) for tensor in tensors])
        padded = torch.zeros(max(map(sum, counts)), device=flat.device)
        padded[: len(flat)] = flat
        everyones = [own[0][: sum(count)] for own, count in zip(self.gather([padded]), counts, strict=True)]
        return [
            [piece.view(shape) for piece, shape in zip(one.split(count), own, strict=True)]
            for one, count, own in zip(everyones, counts, shapes, strict=True)
        ]

    def from_first(self, content: bytes | None) -> bytes | None:
        """What the first process gives; what the others give does not matter."""
        from torch import distributed

        if self.size == 1:
            return content
        box = [content]
        with _reaching_the_others():
            distributed.broadcast_object_list(box, src=0)
        return box[0]

    def agrees(self, text: str) -> bool:
        """Whether all processes give the same text."""
        from torch import distributed

        if self.size == 1:
            return True
        texts: list[Any] = [None] * self.size
        with _reaching_the_others():
            distributed.all_gather_object(texts, text)
        return len(set(texts)) == 1


ALONE = Group()


def check_share(draws_per_step: int, count: int) -> None:
    """:class:`UsageProblem` unless so many processes can share the draws of a step evenly."""
    if draws_per_step % count:
        raise UsageProblem(
            f"draws_per_step is {draws_per_step}, and {count} processes share the draws of a step: it must be a "
            f"multiple of {count}. Set another draws_per_step (it is part of the result: a step averages over so many "
            "draws), or use another number of processes."
        )


def how_many(asked: int | None, draws_per_step: int, device: str) -> int:
    """How many processes to start: those asked for, else on a CPU one a core, as far as they share the draws evenly.

    Raises
    ------
    UsageProblem
        If as many as asked for cannot share the draws of a step.
    """
    if asked is not None:
        check_share(draws_per_step, asked)
        return asked
    most = cores() if device.startswith("cpu") else 1
    return max(count for count in range(1, max(most, 1) + 1) if draws_per_step % count == 0)


def started() -> bool:
    """Whether torchrun, or :func:`start`, has started this process as one of a group."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


@contextmanager
def join(device: str) -> Iterator[Group]:
    """The group that this process was started for, alone if for none; within, a failure of one ends all.

    Parameters
    ----------
    device : str
        ``cpu``, or ``cuda``: each process takes the GPU of its number on its machine.

    Raises
    ------
    UsageProblem
        If there are more processes than GPUs, the device names one GPU, or the environment does not say where the
        others are.
    SystemExit
        In the processes that have nothing of their own to say where another one failed.
    """
    if not started() or os.environ["WORLD_SIZE"] == "1":
        yield Group(device=device)
        return
    from torch import distributed

    try:
        rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        store, word = _meet(rank, size)
    except (ValueError, RuntimeError) as error:
        raise UsageProblem(
            "RANK and WORLD_SIZE are set, so this process is one of several, but the others cannot be found: "
            f"{' '.join(str(error).split())}. Start all with torchrun, or unset both."
        ) from None
    well = False
    try:
        group = Group(rank, size, _own_device(device))
        backend = "nccl" if group.device.startswith("cuda") else "gloo"
        with _reaching_the_others():
            distributed.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=_PATIENCE)
        yield group
        group.agrees("done")  # nobody goes on before the first has written everything
        well = True
    except PeerStopped as problem:
        time.sleep(_QUIET_S)
        if _first(word):
            print(f"Process {rank} of {size} cannot reach the others: {problem}", file=sys.stderr)
        raise SystemExit(1) from None
    except BaseException as problem:
        if _first(word):
            raise
        time.sleep(_QUIET_S)
        raise SystemExit(2 if isinstance(problem, UsageProblem) else 1) from None
    finally:
        # NCCL would wait for processes that are gone.
        if distributed.is_initialized() and (well or distributed.get_backend() == "gloo"):
            distributed.destroy_process_group()


def start(count: int) -> int:
    """Run the command line of this process ``count`` times as one group on this machine; returns the exit code.

    If this process ends, in whatever way, they end too.
    """
    with tempfile.TemporaryDirectory(prefix="eegpipe-") as folder:
        children: list[subprocess.Popen[bytes]] = []
        try:
            for rank in range(count):
                own = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count)}
                children.append(
                    subprocess.Popen(
                        [sys.executable, *sys.orig_argv[1:]],
                        env={**os.environ, **own, _MEETING: str(Path(folder) / "meeting")},
                        stdin=subprocess.PIPE,  # its end tells a child that this process is gone
                        start_new_session=True,  # Ctrl-C reaches this process, which ends the others
                    )
                )
            return _watch(children)
        finally:
            _end(children)


def _watch(children: Sequence[subprocess.Popen[bytes]]) -> int:
    """Wait until all have ended well or one has not; the exit code."""
    while True:
        codes = [child.poll() for child in children]
        for rank, code in enumerate(codes):
            if code is not None and code < 0:
                memory = " (often: not enough memory)" if -code == signal.SIGKILL else ""
                print(
                    f"Process {rank} of {len(children)} was ended by signal {-code}{memory}. The same command goes on "
                    "from the last epoch.",
                    file=sys.stderr,
                )
                return 1
            if code:
                end = time.monotonic() + _GRACE_S
                while time.monotonic() < end and any(child.poll() is None for child in children):
                    time.sleep(0.05)
                return code
        if all(code == 0 for code in codes):
            return 0
        time.sleep(0.05)


def _end(children: Sequence[subprocess.Popen[bytes]]) -> None:
    for child in children:
        child.terminate()
    for child in children:
        try:
            child.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        if child.stdin:
            child.stdin.close()


def _meet(rank: int, size: int) -> tuple[Any, Any]:
    """A store that all processes reach, for torch and for our own words."""
    from torch import distributed

    if _MEETING in os.environ:
        threading.Thread(target=_end_with_the_starter, daemon=True).start()
        store: Any = distributed.FileStore(os.environ[_MEETING], size)
    else:
        store, _, _ = next(distributed.rendezvous("env://", rank=rank, world_size=size))
    return store, distributed.PrefixStore("eegpipe", store)


def _end_with_the_starter() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)


def _own_device(device: str) -> str:
    import torch

    try:
        asked = torch.device(device)
    except RuntimeError:  # whoever uses it will say so
        return device
    if asked.type != "cuda":
        return device
    if asked.index is not None:
        raise UsageProblem(f"Device '{device}': several processes take a GPU each. Use cuda.")
    local, there = int(os.environ.get("LOCAL_RANK", os.environ["RANK"])), torch.cuda.device_count()
    if local >= there:
        raise UsageProblem(
            f"Process {local} of this machine has no GPU: torch finds {there} here. Start at most one process for each "
            "GPU, or use cpu."
        )
    torch.cuda.set_device(local)
    return f"cuda:{local}"


def _first(word: Any) -> bool:
    """Whether this process is the first to say that something went wrong."""
    try:
        return word.add("problem", 1) == 1
    except RuntimeError:  # the store went with the process that held it
        return False


@contextmanager
def _reaching_the_others() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        raise PeerStopped(" ".join(str(error).split())) from error

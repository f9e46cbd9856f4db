"""A GPU does not wait for data: a thread puts the next draws together while it computes.

A draw is a function of its number, so what comes out does not depend on who puts it together, or when.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import torch
from torch import Tensor

# Draws that exist beside the one that is computed: bounds memory (85 MB each for EMOD in `benchmarks/pretrain.py`).
DRAWS_AHEAD = 2


class Prepared(NamedTuple):
    """What a draw needs of the data: tensors for the device, and what the sampler has drawn."""

    tensors: tuple[Tensor, ...]
    drawn: Any

    def on(self, device: torch.device | str) -> Prepared:
        """The same with the tensors there. From pinned memory, they are copied while the device computes."""
        return Prepared(tuple(tensor.to(device, non_blocking=True) for tensor in self.tensors), self.drawn)


class Ahead(Iterator[Prepared]):
    """The draws of ``numbers`` in their order, on the device; to be closed.

    Parameters
    ----------
    prepare : callable
        Number -> draw, on the host. Called by one thread, in order.
    numbers : iterable of int
    device : torch.device
    depth : int
        See :data:`DRAWS_AHEAD`.

    Attributes
    ----------
    waited_s : float
        Seconds that :func:`next` waited for draws that were not ready yet, the first not counted.
    """

    def __init__(
        self,
        prepare: Callable[[int], Prepared],
        numbers: Iterable[int],
        device: torch.device | str,
        depth: int = DRAWS_AHEAD,
    ) -> None:
        self._prepare, self._numbers, self._device = prepare, iter(numbers), torch.device(device)
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="draws")
        self._ready: deque[Future[Prepared]] = deque()
        self.waited_s, self._started = 0.0, False
        for _ in range(depth):
            self._ask()

    def __next__(self) -> Prepared:
        if not self._ready:
            raise StopIteration
        start = time.perf_counter()
        prepared = self._ready.popleft().result()
        if self._started:
            self.waited_s += time.perf_counter() - start
        self._started = True
        self._ask()
        return prepared.on(self._device)

    def close(self) -> None:
        """Forget what was not taken; the thread ends with the draw that it is at."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _ask(self) -> None:
        for number in self._numbers:
            self._ready.append(self._pool.submit(self._put_together, number))
            return

    def _put_together(self, number: int) -> Prepared:
        tensors, drawn = self._prepare(number)
        if self._device.type == "cuda":
            tensors = tuple(tensor.pin_memory() for tensor in tensors)
        return Prepared(tensors, drawn)

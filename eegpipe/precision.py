"""Where and in which precision a network computes: float32, or bfloat16 where that is safe.

With bfloat16, torch's autocast takes products and convolutions in bfloat16. Weights, their gradients and the optimiser
stay in float32, and so does what :func:`in_float32` marks: losses and the statistics that normalise, where three digits
are too few.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any, Literal, ParamSpec, TypeVar

import torch
from torch import Tensor

from eegpipe.errors import UsageProblem

Precision = Literal["float32", "bfloat16"]

P = ParamSpec("P")
T = TypeVar("T")


def check_device(device: str) -> None:
    """Raise :class:`UsageProblem` if torch has no such device here."""
    try:
        kind = torch.device(device).type
    except RuntimeError:
        raise UsageProblem(f"Unknown device '{device}'. Use cpu, cuda or cuda:<number>.") from None
    if kind == "cuda" and not torch.cuda.is_available():
        raise UsageProblem(f"Device '{device}': torch finds no GPU here. Use cpu.")


def autocast(precision: Precision, device: torch.device | str) -> torch.autocast:
    """A context in which networks compute in this precision; float32: nothing changes."""
    kind = torch.device(device).type
    return torch.autocast(kind, dtype=torch.bfloat16, enabled=precision == "bfloat16")


def in_float32(function: Callable[P, T]) -> Callable[P, T]:
    """``function`` of tensors and sequences of tensors, which computes in float32 also inside :func:`autocast`.

    Outside of it the function is called as it is, in the precision of its arguments.
    """

    @wraps(function)
    def exact(*arguments: P.args, **options: P.kwargs) -> T:
        active = [kind for kind in ("cpu", "cuda") if torch.is_autocast_enabled(kind)]
        if not active:
            return function(*arguments, **options)
        with ExitStack() as stack:
            for kind in active:
                stack.enter_context(torch.autocast(kind, enabled=False))
            full: Any = function
            return full(*map(_full, arguments), **{name: _full(value) for name, value in options.items()})

    return exact


@contextmanager
def without_tf32() -> Iterator[None]:
    """float32 means float32 on a GPU: torch's default rounds the inputs of convolutions to ten bits (TF32)."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def _full(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.float() if value.dtype in (torch.bfloat16, torch.float16) else value
    if isinstance(value, list | tuple):
        return [_full(one) for one in value]
    return value

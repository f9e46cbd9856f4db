"""The layers of a network by torch.compile, where that is possible: many small operations become few.

It needs a compiler for the device (Triton on a GPU, C++ on a CPU). Where there is none, training goes on without, and
says so. Sums may be taken in another order, so the last digits of the weights differ.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from eegpipe import progress

# Dropout by torch's own generator, so that masks are those of the run without compiling.
_OPTIONS: dict[str, Any] = {"fallback_random": True}


def compile_layers(model: nn.Module, method: str, device: torch.device | str) -> bool:
    """Have a method of a network compiled when it is first called; whether it will be. Names of weights stay."""
    why_not = _why_not(torch.device(device))
    if why_not:
        progress.say(f"compile: not possible here ({why_not}); training goes on without.")
        return False
    setattr(model, method, torch.compile(getattr(model, method), options=_OPTIONS))
    return True


def _why_not(device: torch.device) -> str:
    """Why a small layer cannot be compiled and trained here; empty if it can."""

    def layer(x: Tensor) -> Tensor:
        return torch.nn.functional.gelu(x @ x.T).sum()

    try:
        torch.compile(layer, options=_OPTIONS)(torch.ones(4, 4, device=device, requires_grad=True)).backward()
    except Exception as problem:  # whatever it is: training does not need it
        first = str(problem).strip().splitlines()[:1]
        return ": ".join([type(problem).__name__, *first])
    return ""

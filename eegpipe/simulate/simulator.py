"""What a variant of a data set gives to be simulated: its experiment, and what writes the vendor's files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from eegpipe.simulate.plan import Design, Plan

if TYPE_CHECKING:
    from eegpipe.progress import Advance
    from eegpipe.simulate.truth import Truth


@dataclass(frozen=True)
class Simulator:
    """How a variant of a data set is simulated.

    write(folder, plan, truth, advance) -> facts or None
        Writes the vendor's files of ``plan`` into ``folder``, notes each recording in ``truth``, calls ``advance()``
        once for each session of each person. Facts that it returns replace those of :meth:`Plan.facts` in the marker
        (``{"sessions_start_s": [...]}``).
    """

    design: Design
    write: Callable[[Path, Plan, Truth, Advance], Mapping[str, object] | None]

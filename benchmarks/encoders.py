"""mdJPT's linear attention against softmax attention of the same width, over the length of a window.

    python benchmarks/encoders.py [--seconds S ...] [--signal-s S] [--repeats N] [--json FILE] [--svg FILE]

Forward and backward of the part that embeds single channels (patches, blocks, read-out) at the paper's size.
docs/performance-training.md says what is measured, and how.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from measure import Cost, Row, cost, end_cleanly, fresh, print_machine, resident_bytes, table, write_rows
from torch.nn.attention import SDPBackend, sdpa_kernel

from eegpipe import svg
from eegpipe.models.mdjpt import Mdjpt
from eegpipe.models.settings import MdjptConfig

RATE_HZ = 125.0
# What stands in tables and pictures. "written out": logits and weights of attention exist as a whole, as in a
# textbook; torch's own kernel makes them piece by piece.
FORMS = ("MLLA", "Transformer", "Transformer, written out")


@dataclass(frozen=True)
class Case:
    """``signal_s`` seconds of one channel, cut to windows of ``window_s``."""

    form: str
    window_s: float
    signal_s: float
    repeats: int = 3

    @property
    def samples(self) -> int:
        return round(self.window_s * RATE_HZ)

    @property
    def windows(self) -> int:
        return round(self.signal_s / self.window_s)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure all lengths, print the table, write figures and picture."""
    options = _options(arguments)
    end_cleanly()
    print_machine()
    found: dict[tuple[str, float], Cost] = {}
    for window_s in options.seconds:
        for form in FORMS:
            case = Case(form, window_s, options.signal_s, options.repeats)
            found[form, window_s] = spent = fresh(measured, case)
            print(f"{window_s:g} s, {form}: {spent.cpu_s:.2f} CPU s, {spent.peak_bytes / 1e9:.2f} GB", flush=True)
    print("\n" + _table(found, options.seconds))
    if options.json:
        write_rows(options.json, _rows(found, options.seconds))
    if options.svg:
        options.svg.write_text(drawn(found, options.seconds), encoding="utf-8")


def measured(case: Case) -> Cost:
    """Median CPU and wall seconds of a pass forward and backward in this process, and the largest memory of a pass
    above what the process had with the network and its input."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    # Only the embedding runs; a network of one channel holds little else.
    model = Mdjpt(config_of(case.form), channels=1)
    x_BCT = torch.randn(case.windows, 1, case.samples)
    before = resident_bytes()

    def once() -> None:
        model.zero_grad()
        with attention_of(case.form):
            model.embed(x_BCT).square().mean().backward()

    passes = [cost(once, before)[1] for _ in range(case.repeats + 1)]
    timed = passes[1:]
    return Cost(
        statistics.median(one.wall_s for one in timed),
        statistics.median(one.cpu_s for one in timed),
        max(one.peak_bytes for one in passes),
    )


def config_of(form: str) -> MdjptConfig:
    return MdjptConfig(encoder="mlla" if form == "MLLA" else "transformer")


def attention_of(form: str) -> AbstractContextManager[None]:
    return sdpa_kernel(SDPBackend.MATH) if form == "Transformer, written out" else nullcontext()


def _table(found: dict[tuple[str, float], Cost], seconds: Sequence[float]) -> str:
    patches = MdjptConfig().patches
    short = ("MLLA", "Transformer", "written out")
    head = ("window", "patches", *(f"{form}, {what}" for what in ("CPU s", "GB") for form in short))
    rows = []
    for window_s in seconds:
        costs = [found[form, window_s] for form in FORMS]
        times, memory = ([f"{one.cpu_s:.2f}" for one in costs], [f"{one.peak_bytes / 1e9:.2f}" for one in costs])
        rows.append((f"{window_s:g} s", str(patches(round(window_s * RATE_HZ))), *times, *memory))
    return table(head, rows)


def _rows(found: dict[tuple[str, float], Cost], seconds: Sequence[float]) -> list[Row]:
    """MLLA is ours, the Transformer with torch's own kernel the rival."""
    rows = []
    for window_s in seconds:
        mine, its = found["MLLA", window_s], found["Transformer", window_s]
        for name, unit, ours, rival in (
            ("time", "CPU s", mine.cpu_s, its.cpu_s),
            ("peak_memory", "GB", mine.peak_bytes / 1e9, its.peak_bytes / 1e9),
        ):
            key = f"encoder_{window_s:g}s.{name}"
            rows.append(Row(key, round(ours, 5), round(rival, 5), round(rival / ours, 4), unit))
    return rows


# -- the picture -------------------------------------------------------------------------------------------------------

_WIDTH, _HEIGHT, _TOP = 340.0, 230.0, 34.0
_STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f; } .small { font-size: 11px; } .strong { font-weight: 600; }
path { stroke-width: 2; } .grid { stroke: #d0d7de; stroke-width: 1; }
.m0 { stroke: #0969da; fill: #0969da; } .m1 { stroke: #bc4c00; fill: #bc4c00; } .m2 { stroke: #6e7781; fill: #6e7781; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; } .grid { stroke: #3d444d; }
  .m0 { stroke: #58a6ff; fill: #58a6ff; } .m1 { stroke: #f0883e; fill: #f0883e; }
  .m2 { stroke: #9198a1; fill: #9198a1; }
}
"""


def drawn(found: dict[tuple[str, float], Cost], seconds: Sequence[float]) -> str:
    """Two panels, CPU seconds and memory over the length of a window, as an SVG file of its own."""
    panels = (
        ("CPU seconds", {key: one.cpu_s for key, one in found.items()}),
        ("peak memory, GB", {key: one.peak_bytes / 1e9 for key, one in found.items()}),
    )
    parts = [f"<style>{_STYLE}</style>"]
    for index, (title, values) in enumerate(panels):
        parts += _panel(index * _WIDTH, title, values, seconds)
    for shape, form in enumerate(FORMS):
        x = 44 + (0, 90, 200)[shape]
        parts.append(svg.line(x, 12, x + 18, 12, style=f"m{shape}"))
        parts.append(svg.marker(x + 9, 12, 4, shape=shape, style=f"m{shape}"))
        parts.append(svg.text(x + 24, 16, form))
    label = "Cost of a pass forward and backward over the length of a window, for linear and softmax attention"
    whole = svg.picture(2 * _WIDTH, _TOP + _HEIGHT, parts, label=label)
    return whole.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1) + "\n"


def _panel(left: float, title: str, values: dict[tuple[str, float], float], seconds: Sequence[float]) -> list[str]:
    bottom, start, end = _TOP + _HEIGHT - 40, left + 44, left + _WIDTH - 16
    up = svg.Scale(0, 1.05 * max(values.values()), bottom, _TOP + 22)
    # Each length is twice the one before: equal steps.
    gap = (end - start - 24) / max(len(seconds) - 1, 1)
    across = [start + 12 + gap * index for index in range(len(seconds))]
    parts = [svg.text(start, _TOP + 12, title, style="strong")]
    for tick in up.ticks(4):
        parts.append(svg.line(start, up(tick), end, up(tick), style="grid"))
        parts.append(svg.text(start - 6, up(tick) + 4, f"{tick:g}", style="small", anchor="end"))
    for x, window_s in zip(across, seconds, strict=True):
        parts.append(svg.text(x, bottom + 16, f"{window_s:g}", style="small", anchor="middle"))
    parts.append(svg.text((start + end) / 2, bottom + 33, "length of a window, s", style="small", anchor="middle"))
    for shape, form in reversed(list(enumerate(FORMS))):
        points = [(x, up(values[form, window_s])) for x, window_s in zip(across, seconds, strict=True)]
        parts += [svg.line(*one, *other, style=f"m{shape}") for one, other in pairwise(points)]
        for (x, y), window_s in zip(points, seconds, strict=True):
            hint = f"{form}, {window_s:g} s: {values[form, window_s]:.2f}"
            parts.append(svg.marker(x, y, 4, shape=shape, style=f"m{shape}", hint=hint))
    return parts


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare linear with softmax attention in mdJPT's encoder.")
    parser.add_argument("--seconds", nargs="+", type=float, default=[5, 10, 20, 40, 80], help="lengths of a window")
    parser.add_argument("--signal-s", type=float, default=960.0, help="of one channel in a pass, cut to windows (960)")
    parser.add_argument("--repeats", type=int, default=3, help="passes whose median counts (3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file; others stay in it")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="draw them")
    options = parser.parse_args(arguments)
    if options.repeats < 1:
        parser.error(f"--repeats: found {options.repeats}, expected at least 1.")
    for window_s in options.seconds:
        if not MdjptConfig().patches(round(window_s * RATE_HZ)):
            parser.error(
                f"--seconds: a window of {window_s:g} s holds no patch of {MdjptConfig().patch_samples} samples."
            )
        if window_s > options.signal_s:
            parser.error(f"--seconds: {window_s:g} s are longer than the signal of {options.signal_s:g} s.")
    return options


if __name__ == "__main__":
    main()

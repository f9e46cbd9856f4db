"""What ``eegpipe inspect`` says about a pre-trained encoder."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

from eegpipe.errors import UsageProblem
from eegpipe.inspect_report import Report
from eegpipe.methods import METHODS, Method

_AGAIN = "Restore the folder (dvc checkout) or pre-train again."
_FILES = ("weights.safetensors", "config.json", "manifest.json", "log.csv", "README.md")


def inspect_model(path: Path) -> Report:
    """Compare weights, configuration and manifest with each other; the weights' values are only asked to be finite."""
    report = Report("model", path.name)
    for name in _FILES:
        if not (path / name).is_file():
            needless = name in ("log.csv", "README.md")
            (report.warning if needless else report.error)(name, "is missing", _AGAIN)
    config, manifest = (_read_json(path / name, report) for name in ("config.json", "manifest.json"))
    shapes = _weights(path / "weights.safetensors", report)
    log = _log(path / "log.csv", report)

    method = str(manifest.get("method")) if manifest else None
    report.title = f"{method or 'model'} in {path.name}"
    report.facts = [
        ("method", method),
        ("variant", (manifest or {}).get("variant")),
        ("parameters", sum(math.prod(shape) for shape in shapes.values()) if shapes else None),
        ("labels read", (manifest or {}).get("labels")),
        ("windowing", (manifest or {}).get("windowing")),
        ("epochs", len(log)),
        ("last loss", log[-1].get("loss") if log else None),
        ("seed", (manifest or {}).get("seed")),
        ("data sets seen", list((manifest or {}).get("datasets", {}))),
    ]
    if method == "mdjpt":
        report.facts.append(("weight of CDA", (manifest or {}).get("cda_lambda")))
    if manifest is not None:
        _check_manifest(manifest, report)
    if config is not None and shapes and method is not None and method in METHODS:
        _check_shapes(METHODS[method], config, shapes, report)
    return report


def _read_json(file: Path, report: Report) -> dict[str, Any] | None:
    if not file.is_file():
        return None
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as problem:
        report.error(file.name, f"is no JSON ({problem})", _AGAIN)
        return None
    if not isinstance(content, dict):
        report.error(file.name, f"holds a {type(content).__name__}, not a mapping", _AGAIN)
        return None
    return content


def _weights(file: Path, report: Report) -> dict[str, tuple[int, ...]]:
    """Name -> shape; reports a damaged file and values that are not finite."""
    if not file.is_file():
        return {}
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        tensors = load_file(file)
    except (SafetensorError, KeyError, ValueError) as problem:
        report.error(file.name, f"cannot be read ({problem})", _AGAIN)
        return {}
    if broken := [name for name, tensor in tensors.items() if not np.isfinite(tensor).all()]:
        report.error(file.name, f"NaN or infinity in {', '.join(broken[:5])}", "Training diverged: look at log.csv.")
    return {name: tensor.shape for name, tensor in tensors.items()}


def _log(file: Path, report: Report) -> list[dict[str, float]]:
    if not file.is_file():
        return []
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(lines)]
    except (TypeError, ValueError) as problem:
        report.warning(file.name, f"is no table of numbers ({problem})", _AGAIN)
        return []
    if not rows:
        report.note(file.name, "no epoch was trained: these are random weights, a control.")
    elif not all(math.isfinite(value) for value in rows[-1].values()):
        report.error(file.name, "the last loss is not finite", "Training diverged: lower the learning rate.")
    return rows


def _check_manifest(manifest: dict[str, Any], report: Report) -> None:
    if manifest.get("method") not in METHODS:
        report.error(
            "manifest.json: method", f"{manifest.get('method')!r} is no method of this eegpipe", "Update eegpipe."
        )
    seen = manifest.get("datasets")
    if not isinstance(seen, dict) or not seen:
        report.error(
            "manifest.json: datasets",
            "names no data set, so that nobody can tell what the model has seen",
            "Pre-train again.",
        )
        return
    for name, used in seen.items():
        missing = [what for what in ("store", "subjects", "stimuli") if not used.get(what)]
        if missing:
            report.error(f"manifest.json: datasets.{name}", f"without {', '.join(missing)}", "Pre-train again.")
        report.contents.append(
            {
                "data set": name,
                "subjects": len(used.get("subjects", ())),
                "stimuli": len(used.get("stimuli", ())),
                "segments": used.get("segments"),
                "rate (Hz)": used.get("rate_hz"),
                "window (samples)": used.get("window_samples"),
                "store": str(used.get("store", ""))[:12],
            }
        )


def _check_shapes(method: Method, config: dict[str, Any], shapes: dict[str, tuple[int, ...]], report: Report) -> None:
    try:
        network = method.network(method.read_config(config))
    except (TypeError, ValueError, KeyError, RuntimeError, UsageProblem) as problem:
        report.error("config.json", f"describes no network ({problem})", _AGAIN)
        return
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    for what, names in (
        ("without", sorted(set(expected) - set(shapes))),
        ("with the unknown", sorted(set(shapes) - set(expected))),
        ("of another shape:", sorted(name for name in set(shapes) & set(expected) if shapes[name] != expected[name])),
    ):
        if names:
            rest = f" and {len(names) - 3} more" if len(names) > 3 else ""
            words = [
                f"{name} {shapes[name]}, config says {expected[name]}" if what.startswith("of another") else name
                for name in names[:3]
            ]
            report.error("weights.safetensors", f"{what} {'; '.join(words)}{rest}", _AGAIN)

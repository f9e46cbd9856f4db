"""The model card: what a person should know before using an encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eegpipe.models.settings import MdjptConfig


def model_card(manifest: Mapping[str, Any], config: MdjptConfig, log: Sequence[Mapping[str, float]]) -> str:
    """Markdown text made from the manifest, the configuration and the log; no clock and no paths."""
    settings = manifest["settings"]
    window_s = manifest["window_samples"] / manifest["rate_hz"]
    described = config.variant == "described"
    lines = [
        f"# mdJPT encoder ({config.variant})",
        "",
        f"Self-supervised EEG encoder: {window_s:g}-s windows at {manifest['rate_hz']:g} Hz, 60 channels (other "
        f"montages are projected), {config.maps} features per window. Method: multi-data-set joint pre-training, "
        "arXiv 2510.22197. Labels were not used.",
        "",
        "## Data",
        "",
        "| data set | subjects | stimuli | segments | store |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {len(used['subjects'])} | {len(used['stimuli'])} | {used['segments']} | {used['store'][:12]} |"
        for name, used in manifest["datasets"].items()
    ]
    lines += [
        "",
        "Every subject and stimulus is named in `manifest.json`. An evaluation on any of them is not an evaluation on "
        "unseen data; `eegpipe` refuses it.",
        "",
        "## Training",
        "",
        f"* {settings['epochs']} epochs of {settings['steps_per_epoch']} steps, Adam, learning rate "
        f"{settings['learning_rate']:g}, weight decay {settings['weight_decay']:g}, seed {manifest['seed']}, "
        f"CDA weight {manifest['cda_lambda']:g}; every setting is in `manifest.json` and `config.json`.",
        f"* {_outcome(log)}",
        "",
        "## Limits",
        "",
        "* Variant `described`: the paper's description; details that the paper leaves open are this project's choice."
        if described
        else "* Variant `released`: repeats faults of the public code (attention without effect, a covariance that is "
        "none). It serves comparison; do not use it for anything else.",
        "* Features depend on the windows that are normalised together: all of one subject and session that are given. "
        "They use the unlabelled data of the subject under test.",
        "* It was trained to tell stimuli apart across people. Whether that carries emotion must be shown on stimuli "
        "and subjects that it has not seen.",
        "* Not for diagnosis, and not for judging a person.",
        "",
        "## Licence",
        "",
        "Weights derive from the data sets above. Most emotion-EEG data sets are shared for academic use under an "
        "agreement that forbids passing them on; whether it covers weights is for the holder of the agreement to find "
        "out before sharing this folder.",
        "",
    ]
    return "\n".join(lines)


def _outcome(log: Sequence[Mapping[str, float]]) -> str:
    if not log:
        return "Not trained: random weights, a control."
    last = log[-1]
    return (
        f"Contrastive loss (ISA, summed over data sets) in the last epoch: {last['isa']:.3f}; "
        f"embeddings without information give {last['isa_chance']:.3f}."
    )

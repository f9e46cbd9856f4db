"""The model card: what a person should know before using an encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def model_card(manifest: Mapping[str, Any], config: Mapping[str, Any], log: Sequence[Mapping[str, float]]) -> str:
    """Markdown text made from the manifest, the configuration (as in config.json) and the log; no clock, no paths."""
    method = manifest["method"]
    settings = manifest["settings"]
    lines = [
        f"# {_TITLES[method]} encoder ({config['variant']})",
        "",
        _WHAT[method](manifest, config),
        "",
        "## Data",
        "",
        "| data set | subjects | stimuli | segments | Hz | window (s) | store |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {len(used['subjects'])} | {len(used['stimuli'])} | {used['segments']} | {used['rate_hz']:g} | "
        f"{used['window_samples'] / used['rate_hz']:.3g} | {used['store'][:12]} |"
        for name, used in manifest["datasets"].items()
    ]
    left_out = {name: used["left_out"] for name, used in manifest["datasets"].items() if used.get("left_out")}
    if left_out:
        named = ", ".join(f"{count} of {name}" for name, count in left_out.items())
        lines += ["", f"Segments without valence and arousal were never drawn: {named}."]
    if "tested_too" in manifest:
        lines += [
            "",
            f"**{manifest['tested_too']} was learned from, without labels, although it is tested on** "
            "(`pretrain_on_target`). Results on it are transductive.",
        ]
    lines += [
        "",
        f"Labels that pre-training read: {manifest['labels']}.",
        "",
        "Every subject and stimulus is named in `manifest.json`. An evaluation on any of them is not an evaluation on "
        "unseen data; `eegpipe` refuses it.",
        "",
        "## Training",
        "",
        f"* {settings['epochs']} epochs of {settings['steps_per_epoch']} steps, "
        f"{'Adam' if settings['optimiser'] == 'adam' else 'AdamW'}, learning rate {_rate(settings)}, weight decay "
        f"{settings['weight_decay']:g}, seed {manifest['seed']}{_more(manifest)}; every setting is in `manifest.json` "
        "and `config.json`.",
        f"* {_outcome(method, log)}",
        "",
        "## Limits",
        "",
        *(f"* {text}" for text in _limits(method, config)),
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


_TITLES = {"mdjpt": "mdJPT", "emod": "EMOD", "art": "ART"}


def _mdjpt(manifest: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    window_s = manifest["window_samples"] / manifest["rate_hz"]
    maps = config["features"] * config["filters"] * len(config["dilations"])
    ablation = " Ablation: softmax attention in place of gated linear attention (MLLA)."
    return (
        f"Self-supervised EEG encoder: {window_s:g}-s windows at {manifest['rate_hz']:g} Hz, 60 channels (other "
        f"montages are projected), {maps} features per window. Method: multi-data-set joint pre-training, "
        f"arXiv 2510.22197. Labels were not used.{ablation if config.get('encoder') == 'transformer' else ''}"
    )


def _emod(_: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    how = {
        "soft": "segments of near valence and arousal are pulled together, whoever and whatever they come from",
        "hard": "segments of the same region of the valence-arousal plane are pulled together",
        "augmentation": "two augmented views of a segment are pulled together; labels choose the segments of a batch",
    }[config["contrast"]]
    return (
        f"Supervised EEG encoder for windows of up to {config['longest_tokens'] / config['tokens_per_s']:g} s with any "
        f"channels of the Unified Channel Schema, {config['hidden']} features per window. Method: EMOD, arXiv "
        f"2511.05863: {how}. **Valence and arousal of the data sets below were used.**"
    )


def _art(_: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    return (
        f"Self-supervised EEG encoder of single channels at any sampling rate, {config['width']} features per channel "
        f"and window; it knows {len(config['channels'])} channels by name. Method: the encoder (ART) of One Model for "
        "All, arXiv 2511.08444: the two random crops of a channel's window are told from all others. Labels were not "
        "used."
    )


_WHAT = {"mdjpt": _mdjpt, "emod": _emod, "art": _art}

_DESCRIBED = (
    "Variant `described`: the paper's description; details that the paper leaves open are this project's choice."
)


def _limits(method: str, config: Mapping[str, Any]) -> list[str]:
    described = config["variant"] == "described"
    match method:
        case "mdjpt":
            return [
                _DESCRIBED
                if described
                else "Variant `released`: repeats faults of the public code (attention without effect, a covariance "
                "that is none). It serves comparison; do not use it for anything else.",
                "Features depend on the windows that are normalised together: all of one subject and session that are "
                "given. They use the unlabelled data of the subject under test.",
                "It was trained to tell stimuli apart across people. Whether that carries emotion must be shown on "
                "stimuli and subjects that it has not seen.",
            ]
        case "emod":
            return [
                _DESCRIBED
                if described
                else "Variant `released`: repeats faults of the public code (attention that sees no time, regions "
                "that are never drawn, exchanged axes of DEAP). It serves comparison; do not use it for anything else.",
                "Where valence and arousal are norms of an emotion word, they are a class label by another name.",
                "The signal enters in microvolt as it is. Data in other units give other features.",
            ]
        case _:
            scaling = (
                "Every channel is scaled over the windows of one subject and session that are given, so features use "
                "the unlabelled data of the subject under test."
                if config["scaling"] == "session"
                else "Every window is scaled by itself, so differences of amplitude between windows are lost."
            )
            return [
                "No code of the method is public and its text leaves much open: docs/methods/art.md of `eegpipe` lists "
                "what was decided. Not comparable with the authors' weights.",
                scaling,
                "It was trained to recognise a stretch of signal. Whether that carries emotion must be shown on "
                "stimuli and subjects that it has not seen.",
            ]


def _rate(settings: Mapping[str, Any]) -> str:
    if settings["schedule"] == "constant":
        return f"{settings['learning_rate']:g}"
    return f"{settings['learning_rate']:g} falling to {settings['final_learning_rate']:g} on a cosine"


def _more(manifest: Mapping[str, Any]) -> str:
    return f", CDA weight {manifest['cda_lambda']:g}" if "cda_lambda" in manifest else ""


def _outcome(method: str, log: Sequence[Mapping[str, float]]) -> str:
    if not log:
        return "Not trained: random weights, a control."
    last = log[-1]
    match method:
        case "mdjpt":
            return (
                f"Contrastive loss (ISA, summed over data sets) in the last epoch: {last['isa']:.3f}; "
                f"embeddings without information give {last['isa_chance']:.3f}."
            )
        case "emod":
            return (
                f"Contrastive loss in the last epoch: {last['loss']:.3f}; embeddings without information give "
                f"{last['contrast_chance']:.3f}, and no network can go below {last['contrast_floor']:.3f}."
            )
        case _:
            return (
                f"Contrastive loss in the last epoch: {last['loss']:.3f}; embeddings without information give "
                f"{last['chance']:.3f}. The nearest other crop was the right one for {last['found']:.1%} of crops."
            )

"""What ``eegpipe datasets`` says: every data set with its variants, where to ask for it, and what is odd about it."""

from __future__ import annotations

from typing import Any

from eegpipe import datasets
from eegpipe.datasets.base import Dataset, Facts


def rows() -> list[dict[str, Any]]:
    """One row per data set, in the order of their names."""
    return [_row(dataset) for dataset in map(datasets.get, datasets.NAMES)]


def _row(dataset: Dataset) -> dict[str, Any]:
    facts = dataset.facts
    return {
        "name": dataset.name,
        "title": dataset.title,
        "subjects": facts.subjects or None,
        "sessions": facts.sessions or None,
        "trials": facts.trials or None,
        "variants": ", ".join(variant.name for variant in dataset.variants),
        "size": dataset.size,
        "licence": dataset.licence,
        "access": dataset.access,
    }


def details(dataset: Dataset) -> dict[str, Any]:
    """All that is known of a data set, as plain values."""
    return _row(dataset) | {
        "labels": list(dataset.labels),
        "ratings": {name: list(scale) for name, scale in dataset.ratings.items()},
        "citation": dataset.citation,
        "url": dataset.url,
        "variants": [
            {
                "name": variant.name,
                "files": variant.files,
                "tree": variant.tree,
                "rate_hz": rates(variant.facts),
                "channels": list(variant.facts.channels),
                "simulated": variant.simulator is not None,
            }
            for variant in dataset.variants
        ],
        "irregularities": [{"name": one.name, "text": one.text} for one in dataset.irregularities],
    }


def rates(facts: Facts) -> list[float]:
    """The sampling rates that files of a variant have, the usual one first; empty: any."""
    return [rate for rate in (facts.rate_hz, *facts.other_rates_hz) if rate]


def show(dataset: Dataset) -> None:
    """Print a data set for people."""
    from eegpipe.terminal import print_facts, print_heading, print_lines, print_table

    print_heading(f"{dataset.name}: {dataset.title}")
    facts = dataset.facts
    sessions = "1 session" if facts.sessions == 1 else f"{facts.sessions} sessions"
    counts = f"{facts.subjects} subjects x {sessions} x {facts.trials} trials" if facts.subjects else None
    ratings = ", ".join(f"{name} {low:g}-{high:g}" for name, (low, high) in dataset.ratings.items())
    print_facts(
        [
            ("holds", counts),
            ("labels", ", ".join(dataset.labels) or None),
            ("ratings", ratings or None),
            ("size", dataset.size),
            ("access", dataset.access),
            ("licence", dataset.licence),
            ("cite", dataset.citation or None),
            ("page", dataset.url or None),
        ]
    )
    for variant in dataset.variants:
        hz = " or ".join(f"{rate:g}" for rate in rates(variant.facts))
        default = " (the default)" if variant is dataset.variants[0] and len(dataset.variants) > 1 else ""
        print_heading(f"variant {variant.name}{default}")
        print_facts(
            [
                ("files", variant.files),
                ("rate", f"{hz} Hz" if hz else None),
                ("channels", f"{len(variant.facts.channels)}" if variant.facts.channels else None),
                ("simulated", "yes" if variant.simulator else "no"),
            ]
        )
        print_lines(variant.tree)
    if dataset.irregularities:
        print_table("Known irregularities", [{"id": one.name, "what": one.text} for one in dataset.irregularities])

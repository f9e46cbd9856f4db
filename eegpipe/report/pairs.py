"""Every pair of methods of a target under its strictest protocol: which differences hold, in words and as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eegpipe.paired import Comparison, Predicted, compare, p_text, resolution, subject_scores
from eegpipe.report.comparison import METHOD_TITLES, Row
from eegpipe.report.figures_scores import signed


def pairs_of(rows: Sequence[Row], known: Mapping[tuple[str, str], Mapping[str, Predicted]]) -> dict[str, Any] | None:
    """What the page says of the methods of one target; None: fewer than two can be compared.

    Parameters
    ----------
    rows : sequence of Row
        Of one target and one protocol, in the order of the page.
    known : mapping
        (target, method) -> :func:`predicted.read_predictions`.
    """
    scores, missing, other_splits = {}, [], []
    for row in rows:
        predicted = known.get((row.target, row.method), {}).get(row.protocol)
        if predicted is None:
            missing.append(row.method_title)
        elif row.split != rows[0].split:
            other_splits.append(row.method_title)
        else:
            scores[row.method] = subject_scores(predicted)
    comparisons = compare(scores)
    if not comparisons:
        return None
    return {
        "target": rows[0].target,
        "title": rows[0].title,
        "found": _found(comparisons),
        "held": [_held(one) for one in comparisons if one.holds],
        "resolution": resolution(comparisons),
        "left_out": _left_out(missing, other_splits),
        "rows": [_row(one) for one in comparisons],
    }


def _title(method: str) -> str:
    return METHOD_TITLES.get(method, method)


def _found(comparisons: Sequence[Comparison]) -> str:
    tested = [one for one in comparisons if one.p is not None]
    held = sum(one.holds for one in tested)
    if not tested:
        return "no difference could be tested"
    if len(tested) == 1:
        return "the difference holds" if held else "the difference does not hold"
    return f"{held or 'none'} of {len(tested)} differences {'holds' if held < 2 else 'hold'}"


def _held(one: Comparison) -> str:
    return (
        f"{_title(one.higher)} is above {_title(one.lower)} ({signed(one.difference or 0)} points, "
        f"corrected p {p_text(one.corrected)}, {one.people} people)."
    )


def _left_out(missing: Sequence[str], other_splits: Sequence[str]) -> str:
    reasons = [(missing, "no predictions are stored"), (other_splits, "tested under other splits")]
    texts = [f"{', '.join(names)} ({why})" for names, why in reasons if names]
    return f"Not among them: {'; '.join(texts)}." if texts else ""


def _row(one: Comparison) -> dict[str, Any]:
    holds = "too few people" if one.p is None else "yes" if one.holds else "no"
    return {
        "higher": _title(one.higher),
        "lower": _title(one.lower),
        "points": "–" if one.difference is None else signed(one.difference),
        "people": one.people,
        "p": p_text(one.p),
        "corrected": p_text(one.corrected),
        "holds": holds,
    }

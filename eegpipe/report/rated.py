"""The participants' own ratings: how well each method predicts them under the strictest protocol that has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eegpipe.report.comparison import Row

_TITLES = {"valence": "Valence, from unpleasant to pleasant", "arousal": "Arousal, from calm to excited"}


def ratings_of(rows: Sequence[Row]) -> dict[str, Any] | None:
    """What the page says of the ratings of one target; None: no row has any.

    Parameters
    ----------
    rows : sequence of Row
        Of one target and without leaks, in the order of the page: the strictest protocol first.
    """
    strictest = next((row.protocol for row in rows if row.ratings), None)
    mine = [row for row in rows if row.ratings and row.protocol == strictest]
    if not mine:
        return None
    known = [name for name in _TITLES if any(name in row.ratings for row in mine)]
    return {
        "target": mine[0].target,
        "title": mine[0].title,
        "blocks": [
            (_TITLES[name], [(row.method_title, row.ratings[name]) for row in mine if name in row.ratings])
            for name in known
        ],
    }

"""The pages: what can be chosen by name is explained where the settings say so."""

from __future__ import annotations

import pytest

from eegpipe.models.baseline_settings import BASELINES
from eegpipe.protocols import PROTOCOLS

from import_graph import ROOT


@pytest.mark.parametrize(
    ("page", "names"), [("evaluation", PROTOCOLS), ("baselines", BASELINES)], ids=["protocols", "baselines"]
)
def test_what_can_be_chosen_is_explained(page, names):
    text = (ROOT / f"docs/{page}.md").read_text(encoding="utf-8")
    assert not [name for name in names if f"`{name}`" not in text]

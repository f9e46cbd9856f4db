"""The pages: what they link exists, and what can be chosen by name is explained where the settings say so."""

from __future__ import annotations

import re

import pytest

from eegpipe.models.baseline_settings import BASELINES
from eegpipe.protocols import PROTOCOLS

from import_graph import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")])
# A file of the project that a text names from the root.
NAMED = re.compile(r"\b(?:docs|benchmarks|tests|pipeline|eegpipe)/[\w/-]+\.(?:md|py|yaml|tsv|svg)\b")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_what_a_page_links_exists(page):
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not missing


def test_files_that_code_and_pages_name_exist():
    code = [path for folder in ("eegpipe", "pipeline", "benchmarks") for path in sorted((ROOT / folder).rglob("*.py"))]
    texts = [*PAGES, *code, ROOT / "params.yaml", ROOT / "dvc.yaml"]
    missing = {
        (path.relative_to(ROOT).as_posix(), name)
        for path in texts
        for name in NAMED.findall(path.read_text(encoding="utf-8"))
        if not (ROOT / name).exists()
    }
    assert not missing


@pytest.mark.parametrize(
    ("page", "names"), [("evaluation", PROTOCOLS), ("baselines", BASELINES)], ids=["protocols", "baselines"]
)
def test_what_can_be_chosen_is_explained(page, names):
    text = (ROOT / f"docs/{page}.md").read_text(encoding="utf-8")
    assert not [name for name in names if f"`{name}`" not in text]

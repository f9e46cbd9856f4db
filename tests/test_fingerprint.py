"""A fingerprint changes with what a result is made from, and with nothing else."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import pytest

from eegpipe.affect import AffectSource
from eegpipe.fingerprint import code_digest, digest, file_digest, imported_modules


@dataclass(frozen=True)
class Filter:
    low_hz: float = 1.0
    band: tuple[int, int] = (1, 2)


def test_file_digest_is_sha256(tmp_path: Path):
    path = tmp_path / "s01.dat"
    path.write_bytes(b"signal")
    assert file_digest(path) == hashlib.sha256(b"signal").hexdigest()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ([1, 2], (1, 2)),
        ({"x", "y"}, {"y", "x"}),
        (Filter(), {"low_hz": 1.0, "band": [1, 2]}),
        (AffectSource.WORD_NORM, 3),
    ],
)
def test_same_values_same_digest(one, other):
    assert digest(one) == digest(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0),
        (1, "1"),
        (1, True),
        (None, "null"),
        (math.nan, "nan"),
        (math.inf, -math.inf),
        ({1: "a"}, {"1": "a"}),
        (["ab"], ["a", "b"]),
        (Filter(), Filter(low_hz=0.5)),
        (0.1, 0.1 + 2**-54),
    ],
)
def test_different_values_different_digest(one, other):
    assert digest(one) != digest(other)


def test_values_are_told_apart_from_their_list():
    assert digest(1, 2) != digest([1, 2])


@pytest.mark.parametrize("value", [Path("raw"), b"raw", object(), Filter])
def test_anything_else_is_refused(value):
    with pytest.raises(TypeError, match="plain values"):
        digest(value)


def test_code_digest_sees_code_tables_and_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from eegpipe import fingerprint

    package = tmp_path / "fingerprinted"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "chain.py").write_text("a = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    def fresh(*names: str, **kwargs) -> str:
        fingerprint._source_digest.cache_clear()
        return code_digest(*names, **kwargs)

    module, whole = fresh("fingerprinted.chain"), fresh("fingerprinted")
    first_file = fresh("fingerprinted.__init__")
    assert fresh("fingerprinted.chain") == module
    assert fresh("fingerprinted.chain", "fingerprinted") == fresh("fingerprinted", "fingerprinted.chain")
    assert fresh("fingerprinted.chain", packages=["numpy"]) != module
    (package / "chain.py").write_text("a = 2\n")
    assert fresh("fingerprinted.chain") != module
    assert fresh("fingerprinted") != whole
    assert fresh("fingerprinted.__init__") == first_file
    changed = fresh("fingerprinted.chain")
    (package / "chain.tsv").write_text("id\tname\n")
    assert fresh("fingerprinted.chain") != changed
    with pytest.raises(ModuleNotFoundError):
        fresh("fingerprinted.absent")


def test_imported_modules_follows_the_package_and_no_further(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    sources = {
        "__init__.py": "",
        "stage.py": "import json\nfrom followed.chain import filter\nfrom followed import talk\n",
        "chain.py": "def filter():\n    import followed.deep\n",
        "deep.py": "import followed.chain\n",
        "talk.py": "import followed.only_for_talk\n",
        "only_for_talk.py": "",
        "typed.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import followed.deep\n",
    }
    (tmp_path / "followed").mkdir()
    for name, text in sources.items():
        (tmp_path / "followed" / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    chain = ("followed.__init__", "followed.chain", "followed.deep")
    assert imported_modules("followed.stage", without=["followed.talk"]) == (*chain, "followed.stage")
    assert "followed.only_for_talk" in imported_modules("followed.stage")
    assert imported_modules("followed.typed") == ("followed.typed",)

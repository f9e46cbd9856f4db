"""Excel workbooks: what openpyxl writes is read back, what could do harm is refused before it is parsed."""

from __future__ import annotations

import random
import time
import zipfile

import openpyxl
import pytest

from eegpipe.datasets.amigos.workbook import write_xlsx
from eegpipe.datasets.formats import xlsx
from eegpipe.errors import DataProblem

HEADER = ["User ID", "VideoID", "Arousal"]


@pytest.fixture
def book(tmp_path):
    """Write sheets with openpyxl alone."""

    def write(**sheets):
        made = openpyxl.Workbook()
        made.remove(made.active)
        for name, rows in sheets.items():
            sheet = made.create_sheet(name)
            for row in rows:
                sheet.append(row)
        made.save(tmp_path / "book.xlsx")
        return tmp_path / "book.xlsx"

    return write


def repack(path, **changes: bytes):
    """The same archive with parts replaced or added (``__`` stands for a slash, ``_dot_`` for a dot)."""
    with zipfile.ZipFile(path) as parts:
        content = {name: parts.read(name) for name in parts.namelist()}
    content |= {name.replace("__", "/").replace("_dot_", "."): part for name, part in changes.items()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, part in content.items():
            out.writestr(name, part)
    return path


def refusal(path, needed=("userid",)) -> DataProblem:
    with pytest.raises(DataProblem) as caught:
        xlsx.read_table(path, "book.xlsx", needed=needed)
    assert caught.value.where.startswith("book.xlsx")
    return caught.value


def test_cells_are_numbers_texts_or_nothing(book):
    path = book(one=[[" a ", 1, 2.5, None, True], [], ["", "x", 7, "", None]], two=[[3]])
    assert xlsx.read_sheets(path, "book.xlsx") == {
        "one": [["a", 1.0, 2.5, None, 1.0], [None, "x", 7.0]],
        "two": [[3.0]],
    }


def test_columns_are_found_by_name_below_a_title_in_every_sheet(book):
    short = [["Self-assessment"], HEADER, [1, 10, 5.5], [1, "N1", 2]]
    path = book(notes=[["nothing here"]], short=short, long=[["AROUSAL", "user_id", "videoid"], [7, 2, "P1"]])
    assert xlsx.read_table(path, "book.xlsx", needed=("userid", "videoid", "arousal")) == [
        {"userid": 1.0, "videoid": 10.0, "arousal": 5.5},
        {"userid": 1.0, "videoid": "N1", "arousal": 2.0},
        {"arousal": 7.0, "userid": 2.0, "videoid": "P1"},
    ]


def test_of_two_columns_of_one_name_the_first_counts(book):
    path = book(one=[[*HEADER, "Video_ID"], [1, 10, 5, 99]])
    assert xlsx.read_table(path, "book.xlsx", needed=("userid",)) == [{"userid": 1.0, "videoid": 10.0, "arousal": 5.0}]


def test_formulas_are_not_evaluated(book):
    path = book(one=[HEADER, [1, 10, "=2+3"]])
    assert xlsx.read_table(path, "book.xlsx", needed=("userid",))[0]["arousal"] is None


def test_missing_columns_are_told_with_what_is_there(book):
    problem = refusal(book(one=[["Person", "Clip"], [1, 2]]))
    assert problem.found == "a first line of Person, Clip"
    assert problem.expected == "the columns userid"


@pytest.mark.parametrize(
    ("part", "told"),
    [
        (b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]><x>&b;</x>', "declared"),
        ('<?xml version="1.0" encoding="utf-16"?><!DOCTYPE x [<!ENTITY a "a">]><x/>'.encode("utf-16"), "declared"),
        (b'<?xml version="1.0" encoding="cp037"?><x/>', "declared"),
        (b"<worksheet", "cannot be read"),
        (b"", "cannot be read"),
    ],
)
def test_dangerous_and_broken_sheets_are_refused(book, part, told):
    assert told in refusal(repack(book(one=[HEADER, [1, 2, 3]]), xl__worksheets__sheet1_dot_xml=part)).found


def test_an_archive_that_unpacks_to_too_much_is_refused_unread(book):
    path = repack(book(one=[HEADER, [1, 2, 3]]), xl__media__bomb_dot_bin=bytes(40 * 2**20))
    assert path.stat().st_size < 100_000
    start = time.perf_counter()
    assert "unpacks to 419" in refusal(path).found
    assert time.perf_counter() - start < 0.5


def test_a_table_with_too_many_rows_is_refused(book, monkeypatch):
    monkeypatch.setattr(xlsx, "_ROWS", 5)
    assert refusal(book(one=[HEADER, *([[1, 2, 3]] * 5)])).found == "more than 5 rows"


def test_a_row_and_a_column_far_away_cost_nothing(book):
    far = b"""<?xml version="1.0"?><worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>
    <row r="1"><c r="A1" t="inlineStr"><is><t>UserID</t></is></c></row>
    <row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData></worksheet>"""
    start = time.perf_counter()
    problem = refusal(repack(book(one=[HEADER]), xl__worksheets__sheet1_dot_xml=far))
    assert "more than 50000 rows" in problem.found
    assert time.perf_counter() - start < 3


def test_other_files_are_refused(tmp_path):
    for content in (b"", b"UserID,VideoID\n1,2\n", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)):
        (tmp_path / "book.xlsx").write_bytes(content)
        assert refusal(tmp_path / "book.xlsx").found.startswith("no zip archive")
    with zipfile.ZipFile(tmp_path / "book.xlsx", "w") as out:
        out.writestr("readme.txt", "no workbook")
    assert "a workbook that cannot be read" in refusal(tmp_path / "book.xlsx").found


def test_changed_bytes_never_end_in_anything_but_a_table_or_a_refusal(book):
    path = book(one=[HEADER, *([number, 10, 5.5] for number in range(20))])
    good, draw = path.read_bytes(), random.Random(0)
    refused = 0
    for _ in range(60):
        content = bytearray(good)
        for _ in range(draw.choice([1, 8, 64])):
            content[draw.randrange(len(content))] = draw.randrange(256)
        path.write_bytes(content[: draw.choice([len(content), draw.randrange(len(content))])])
        try:
            xlsx.read_table(path, "book.xlsx", needed=("userid",))
        except DataProblem:
            refused += 1
    assert refused > 20


def test_the_simulators_workbooks_are_equal_byte_for_byte(tmp_path):
    for name in ("a.xlsx", "b.xlsx"):
        write_xlsx(tmp_path / name, {"one": [HEADER, [1, "N1", 2.5]]})
        time.sleep(1.1 if name == "a.xlsx" else 0)  # the time in a workbook has whole seconds
    assert (tmp_path / "a.xlsx").read_bytes() == (tmp_path / "b.xlsx").read_bytes()
    rows = openpyxl.load_workbook(tmp_path / "a.xlsx")["one"].iter_rows(values_only=True)
    assert list(rows) == [tuple(HEADER), (1, "N1", 2.5)]

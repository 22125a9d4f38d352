"""The rows of a CSV file are those that Arrow finds, with their lines."""

from __future__ import annotations

from random import Random

import pyarrow as pa
import pytest
from pyarrow import csv

from nfrun.tables.csv_options import CsvOptions
from nfrun.tables.csv_source import lines_of, records


@pytest.mark.parametrize("escape", ["", "\\"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_rows_are_those_of_arrow(escape: str, end: str) -> None:
    for seed in range(300):
        random = Random(seed)
        text = "".join(random.choice(f'ab,"\n{escape}') for _ in range(random.randint(1, 25))).replace("\n", end)
        found = list(records(lines_of([text.encode()]), CsvOptions(escape=escape), ","))
        if any(record.wrong for record in found):
            continue
        rows: list[str] = []

        def take(row: csv.InvalidRow, rows: list[str] = rows) -> str:
            rows.append(row.text)
            return "skip"

        wide = ",".join("h" * 30) + "\n"  # so that each row is a bad one, which Arrow hands over
        parse = csv.ParseOptions(newlines_in_values=True, escape_char=escape or False, invalid_row_handler=take)
        csv.read_csv(pa.BufferReader(wide.encode() + text.encode()), csv.ReadOptions(use_threads=False), parse)
        mine = [record.data.decode() for record in found if record.is_row]
        assert [row.rstrip("\r\n") for row in mine] == [row.rstrip("\r\n") for row in rows], (seed, text)
        at = 0
        for record in found:
            assert record.line == 1 + text[:at].count(end), (seed, text)
            at += len(record.data)
        assert at == len(text)


def test_lines_may_be_cut_anywhere() -> None:
    text = b"a\r\nb\n\rc\r\r\n"
    for cut in range(len(text)):
        assert list(lines_of([text[:cut], text[cut:]])) == [b"a\r\n", b"b\n", b"\r", b"c\r", b"\r\n"]

"""Functions get tables as data frames of the library that their annotations name."""

from __future__ import annotations

import sys
from datetime import time
from pathlib import Path
from types import ModuleType

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from conftest import Here, Trial, failed

from nfrun.nodes.base import NodeError
from nfrun.nodes.data_frames import frames_of, pandas_frame, taking_tables
from nfrun.nodes.python import _FORMS
from nfrun.nodes.returned_tables import to_table
from nfrun.nodes.user_function import parameters_of

TABLE = pa.table({"n": [1, 2], "s": ["a", None]})
LIBRARIES = {"pandas": "import pandas as pd", "polars": "import polars as pl"}


@pytest.mark.parametrize("future", ["", "from __future__ import annotations\n"])
@pytest.mark.parametrize(
    ("annotation", "given"),
    [
        ("pd.DataFrame", "pandas"),
        ("pandas.DataFrame", "pandas"),
        ("pd.DataFrame | None", "pandas"),
        ("Optional[pd.DataFrame]", "pandas"),
        ("P.DataFrame", "pandas"),
        ("DataFrame", "pandas"),
        ("'pd.DataFrame'", "pandas"),
        ("pl.DataFrame", "polars"),
        ("pa.Table", "pyarrow"),
        ("object", "pyarrow"),
        ("list[pd.DataFrame]", "pyarrow"),
        ("pd.Series", "pyarrow"),
    ],
)
def test_an_annotation_says_what_a_function_gets(trial: Trial, future: str, annotation: str, given: str) -> None:
    source = f"""{future}
import pandas
import pandas as P
import pandas as pd
import polars as pl
import pyarrow as pa
from pandas import DataFrame
from typing import Optional
def f(table: {annotation}):
    return {{"library": type(table).__module__.partition(".")[0]}}
"""
    assert trial.table(trial.python(source, {"table": TABLE}))["library"].to_pylist() == [given]


@pytest.mark.parametrize(
    ("imported", "annotation"),
    [
        ("import pandas as pd", "pd.DataFrame"),
        ("import polars as pl, pandas", "Optional[pandas.DataFrame]"),
    ],
)
def test_the_text_counts_where_only_type_checkers_import_the_library(
    trial: Trial, imported: str, annotation: str
) -> None:
    source = f"""
        from __future__ import annotations
        from typing import TYPE_CHECKING
        if TYPE_CHECKING:
            {imported}
        def f(table: {annotation}) -> object:
            return table.assign(m=table["n"] * 2)
    """
    assert trial.table(trial.python(source, {"table": TABLE}))["m"].to_pylist() == [2, 4]


@pytest.mark.parametrize(
    "change", ["table['n'] = table['n'] * 2", "table.loc[:, 'n'] = table['n'] * 2", "table['n'] *= 2"]
)
def test_a_function_may_change_its_data_frame(trial: Trial, change: str) -> None:
    one = pa.table({"n": [1, 2]})  # a single column of numbers shares its memory with the table
    source = f"import pandas as pd\ndef f(table: pd.DataFrame):\n    {change}\n    return table"
    assert trial.table(trial.python(source, {"table": one}))["n"].to_pylist() == [2, 4]
    assert one["n"].to_pylist() == [1, 2]


def test_only_the_annotated_input_is_a_data_frame(trial: Trial) -> None:
    source = """
        import pandas as pd
        def f(a: pd.DataFrame, b, **rest):
            return [{"is": type(each).__name__} for each in (a, b, rest["c"])]
    """
    made = trial.table(trial.python(source, {"a": TABLE, "b": TABLE, "c": TABLE}))
    assert made["is"].to_pylist() == ["DataFrame", "Table", "Table"]


def test_an_annotation_of_the_rest_is_for_all_other_inputs(trial: Trial) -> None:
    source = """
        import pandas as pd
        def f(a, n, **rest: pd.DataFrame):
            return [{"is": type(each).__name__} for each in (a, rest["b"], rest["c"])]
    """
    made = trial.table(trial.python(source, {"a": TABLE, "b": TABLE, "c": TABLE}, with_={"n": 1}))
    assert made["is"].to_pylist() == ["Table", "DataFrame", "DataFrame"]


def test_classes_get_data_frames_when_they_are_made_and_when_they_are_called(trial: Trial) -> None:
    source = """
        import pandas as pd
        class f:
            def __init__(self, a: pd.DataFrame):
                self.rows = len(a.index)
            def __call__(self, b: pd.DataFrame):
                return {"rows": self.rows + len(b.index)}
    """
    assert trial.table(trial.python(source, {"a": TABLE, "b": TABLE}))["rows"].to_pylist() == [4]


def test_async_functions_get_data_frames(trial: Trial) -> None:
    source = "import pandas as pd\nasync def f(table: pd.DataFrame):\n    return {'rows': len(table.index)}"
    assert trial.table(trial.python(source, {"table": TABLE}))["rows"].to_pylist() == [2]


def test_by_hand_a_function_takes_tables_too() -> None:
    def f(a: pd.DataFrame, n: int, b: pd.DataFrame) -> list[str]:
        return [type(each).__name__ for each in (a, n, b)]

    assert taking_tables(f, frames_of(f, parameters_of(f)))(TABLE, b=TABLE, n=1) == ["DataFrame", "int", "DataFrame"]


def test_a_check_gets_a_data_frame(tmp_path: Path, here: Here) -> None:
    source = """
import polars as pl

def make():
    return [{"n": 1}, {"n": 5}]

def small(made: pl.DataFrame):
    return made.filter(pl.col("n") > 3)
"""
    (tmp_path / "steps.py").write_text(source)
    (tmp_path / "p.yaml").write_text(
        'nodes: {made: {python: "steps:make", checks: [{python: "steps:small"}]}}', encoding="utf-8"
    )
    done = here(tmp_path, "run", "p.yaml")
    assert done.returncode == 1
    assert "failed its check 'python: steps:small': 1 row of 2; the first: n: 5" in done.stderr


@pytest.mark.parametrize(
    "code",
    [
        "table['m'] = table['n'] * table['n']",
        "table['m'] = 1",
        "table.groupby('s')",
        "table['n'].sum()",
        "pd.merge(table, table)",
    ],
)
def test_a_function_that_takes_a_table_for_a_data_frame_is_told(trial: Trial, code: str) -> None:
    source = f"import pandas as pd\ndef f(x, table):\n    {code}"
    failure = failed(trial.python(source, {"table": TABLE}, with_={"x": 1}))
    assert (
        failure.details == "'table' is an Arrow table: for a data frame write 'table: pd.DataFrame' (or pl.DataFrame)"
    )


def test_other_errors_are_told_as_they_are(trial: Trial) -> None:
    assert failed(trial.python("def f(table):\n    return None + 1", {"table": TABLE})).details == ""
    told = "import pyarrow\ndef f(table: 'pl.DataFrame'):\n    raise TypeError('a pyarrow.lib.Table')"
    assert failed(trial.python(told, {"table": TABLE})).details == ""


@pytest.mark.parametrize("value", ["pd.Series([1])", "pl.Series([1])"])
def test_a_series_is_no_table(trial: Trial, value: str) -> None:
    failure = failed(trial.python(f"import pandas as pd\nimport polars as pl\ndef f(): return {value}"))
    assert failure.message == "the function returned a Series, which is one column and not a table"
    assert (
        failure.details == "return a DataFrame: to_frame() makes one of it, and reset_index() of pandas keeps the index"
    )


def test_a_column_that_cannot_be_converted_is_named(trial: Trial) -> None:
    failure = failed(trial.python("import pandas as pd\ndef f(): return pd.DataFrame({'x': [1, 'a']})"))
    assert failure.message == (
        "the function returned a DataFrame that does not make a table: Could not convert 'a' with type str: tried to "
        "convert to int64; Conversion failed for column x with type object"
    )


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("pd.DataFrame({'m': pd.period_range('2026-01', periods=2, freq='M')})", "'m' of the data frame has periods"),
        ("pd.DataFrame({'b': pd.cut(pd.Series([1, 2, 3]), 2)})", "'b' of the data frame has categories of intervals"),
        (
            "pd.DataFrame({'n': [1], 'b': pd.period_range('2026', periods=1, freq='Y')}).set_index('b')",
            "'b' of the data",
        ),
        (
            "pd.DataFrame({'p': [1, 2], 'n': [1, 2]}).groupby(pd.cut(pd.Series([1, 2], name='c'), 2)).sum()",
            "'c' of the",
        ),
    ],
)
def test_values_that_would_be_others_in_a_table_are_refused(trial: Trial, value: str, told: str) -> None:
    failure = failed(trial.python(f"import pandas as pd\ndef f(): return {value}"))
    assert failure.message.startswith(f"the column {told}")
    assert ".astype(str)" in failure.details


def test_categories_of_texts_and_intervals_stay(trial: Trial) -> None:
    value = "pd.DataFrame({'c': pd.Categorical(['a', 'b']), 'i': pd.interval_range(0, 2)})"
    made = trial.table(trial.python(f"import pandas as pd\ndef f(): return {value}"))
    assert made["c"].to_pylist() == ["a", "b"]
    assert [row["left"] for row in made["i"].to_pylist()] == [0, 1]


def test_dates_for_timestamps_are_told(trial: Trial) -> None:
    source = "import pandas as pd\ndef f(table: pd.DataFrame):\n    return {'m': table['day'].dt.month.sum()}"
    failure = failed(trial.python(source, {"table": pa.table({"day": pa.array([1], pa.date32())})}))
    assert "pd.to_datetime(column)" in failure.details


ID = 2**53 + 1  # which no float is
WHOLE_NUMBERS = {
    "int64": (pa.array([ID, None]), "Int64"),
    "uint64": (pa.array([2**64 - 1, None], pa.uint64()), "UInt64"),
    "int32": (pa.array([7, None], pa.int32()), "Int32"),
    "uint8": (pa.array([7, None], pa.uint8()), "UInt8"),
    "truths": (pa.array([True, None]), "boolean"),
    "only nulls": (pa.nulls(2, pa.int64()), "Int64"),
    "several chunks": (pa.chunked_array([[ID], [None]], pa.int64()), "Int64"),
    "without nulls": (pa.array([ID, 1]), "int64"),
    "truths without nulls": (pa.array([True, False]), "bool"),
    "list": (pa.array([[ID, None], None]), "object"),
    "fixed list": (pa.array([[ID, None], None], pa.list_(pa.int64(), 2)), "object"),
    "list of lists": (pa.array([[[ID, None]], None]), "object"),
    "struct": (pa.array([{"a": ID}, {"a": None}]), "object"),
    "list of structs": (pa.array([[{"a": ID}, {"a": None}], None]), "object"),
    "map": (pa.array([[("k", ID), ("j", None)], None], pa.map_(pa.string(), pa.int64())), "object"),
}


@pytest.mark.parametrize("name", WHOLE_NUMBERS)
def test_whole_numbers_are_what_they_are_beside_nulls(name: str) -> None:
    column, dtype = WHOLE_NUMBERS[name]
    frame = pandas_frame(pa.table({"n": column, "m": pa.array([ID, ID + 2])}))
    assert str(frame["n"].dtype) == dtype
    assert frame["m"].tolist() == [ID, ID + 2]
    assert str(frame["m"].dtype) == "int64"
    assert [None if value is pd.NA else value for value in frame["n"].tolist()] == column.to_pylist()
    if name != "map":  # pandas has none, and lists of pairs are no table
        assert to_table(frame)["n"].to_pylist() == column.to_pylist()
        assert to_table(pandas_frame(to_table(frame)))["n"].to_pylist() == column.to_pylist()


def test_times_of_nanoseconds_are_refused_inside_of_objects_too() -> None:
    kind = pa.struct({"a": pa.time64("ns"), "b": pa.int64()})
    for type_ in (pa.time64("ns"), kind):
        column = pa.array([{"a": 1}], kind) if type_ is kind else pa.array([1], type_)
        with pytest.raises(ValueError, match="Value 1 has non-zero nanoseconds"):
            pandas_frame(pa.table({"c": column}))
    assert pandas_frame(pa.table({"c": pa.array([{"a": 1000}], kind)}))["c"][0] == {"a": time(0, 0, 0, 1), "b": None}


@pytest.mark.parametrize("other", [[1.5, 2.5], ["x", "y"], [3, None]])
def test_columns_of_one_name_have_a_type_each(other: list[object]) -> None:
    frame = pandas_frame(pa.Table.from_arrays([pa.array([1, None]), pa.array(other)], ["a", "a"]))
    assert ([*frame.columns], str(frame.dtypes.iloc[0])) == (["a", "a"], "Int64")
    assert frame.iloc[0].to_list() == [1, other[0]]


def test_the_columns_of_a_frame_have_their_names_and_places(trial: Trial) -> None:
    index = pd.Index(pd.array([ID, None], "Int64"), name="id")
    table = to_table(pd.DataFrame({"0": [1, 2], "1": pd.array([None, ID], "Int64"), "l": [[ID, None], []]}, index))
    frame = pandas_frame(table)
    assert [*frame.columns] == ["0", "1", "l"]
    assert (str(frame.index.dtype), frame.index[0]) == ("Int64", ID)
    assert (frame["1"].iloc[1], frame["l"].iloc[0]) == (ID, [ID, None])
    twice = pandas_frame(pa.table([pa.array([ID, None]), pa.array([None, ID + 2])], ["a", "a"]))
    assert (twice.iloc[0, 0], twice.iloc[1, 1]) == (ID, ID + 2)
    assert pandas_frame(pa.table({"n": pa.array([], pa.int64())}))["n"].dtype == "int64"


@pytest.mark.parametrize(
    ("function", "cut"),
    [
        ("def f(ids: pd.DataFrame): return ids", "parts: 2"),
        ("def f(id: pd.Series): return [*map(str, id)]", "batch: 2"),
    ],
)
def test_pieces_of_a_map_keep_whole_numbers(here: Here, tmp_path: Path, function: str, cut: str) -> None:
    (tmp_path / "steps.py").write_text(f"import pandas as pd\n{function}\n")
    (tmp_path / "p.yaml").write_text(
        "nodes:\n"
        f"  ids: {{sql: 'select case when i <> 2 then i + {ID} end as id from range(4) t(i)'}}\n"
        f"  same: {{python: 'steps:f', inputs: ids, map: {{over: ids, {cut}}}}}\n"
        "outputs: {same: same}\n"
    )
    assert here(tmp_path, "run", "p.yaml", "-q").returncode == 0
    found = here(tmp_path, "open", "same", "--format", "csv").stdout
    assert all(str(ID + i) in found for i in (0, 1, 3))


ZONED = pa.timestamp("us", "Europe/Berlin")


def test_times_inside_of_lists_keep_their_zone() -> None:
    at = pa.scalar(1_700_000_000_000_000, ZONED).as_py()
    for kind, value in ((pa.list_(ZONED), [at, None]), (pa.struct({"a": ZONED}), {"a": at})):
        found = to_table(pandas_frame(pa.table({"c": pa.array([value, None], kind)})))
        assert found["c"].to_pylist() == [value, None]
        assert found.schema.field("c").type == kind


def test_a_table_that_polars_cannot_take(trial: Trial) -> None:
    table = pa.table({"n": [1], "far": pa.array([1], pa.decimal256(50, 0))})
    failure = failed(trial.python("import polars as pl\ndef f(t: pl.DataFrame): return t", {"t": table}))
    assert failure.message.startswith("polars cannot take this table (n: int64, far: decimal256(50, 0)): ")


def test_numpy_gets_no_whole_number_that_is_no_float() -> None:
    assert _FORMS["numpy"](pa.chunked_array([[1, None]])).tolist()[0] == 1.0
    assert _FORMS["numpy"](pa.chunked_array([[ID, 2]])).tolist() == [ID, 2]
    with pytest.raises(NodeError, match="numpy has no nulls beside whole numbers beyond"):
        _FORMS["numpy"](pa.chunked_array([[ID, None]]))


def test_a_data_frame_with_which_polars_panics_ends_no_process() -> None:
    """polars 2.1 has no Arrow form of null lists of decimals: its Arrow stream aborts the process."""
    frame = pl.DataFrame({"price": pl.Series([None, None], dtype=pl.List(pl.Decimal(18, 2)))})
    try:
        assert to_table(frame).num_rows == 2  # a later version may have one
    except NodeError as error:
        assert "polars cannot make an Arrow table of this data frame (price: List(" in str(error)


def test_a_library_that_another_thread_imports_has_no_frames_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "polars", ModuleType("polars"))

    def function(table: pd.DataFrame) -> None: ...

    assert frames_of(function, parameters_of(function)) == {"table": "pandas"}

"""What a Python node returned does not change when its arrays, data frames or series change afterwards."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from conftest import Here, Trial, failed

from nfrun.code.fingerprint import Fingerprints, FolderCode
from nfrun.code.source_import import import_for_process
from nfrun.core.errors import Cause
from nfrun.core.events import NodeStarted
from nfrun.core.pipeline import NodeSpec, OutputId, Pipeline
from nfrun.engine.node_stats import NodeStats
from nfrun.engine.placement import place_nodes
from nfrun.nodes.kind import Kind, Runs, Says
from nfrun.tables.digest import Digest, table_digest

HEAD = """
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

kept = {}
"""
# What a function may return that shares memory with `array`, of [0, 1, 2, 3] as floats, and how to change it later.
RESULTS = {
    "array": ("pa.table({'x': pa.array(array)})", "array[:] = 9"),
    "table": ("pa.table({'x': array})", "array[:] = 9"),
    "batch": ("pa.record_batch({'x': pa.array(array)})", "array[:] = 9"),
    "polars": ("pl.DataFrame({'x': pl.Series(array)})", "array[:] = 9"),
    "frame": ("frame", "frame.iloc[:, 0] = 9"),
    "frame by column": ("frame", "frame.loc[frame.x > 1, 'x'] = 9"),
    "from pandas": ("pa.Table.from_pandas(frame)", "frame.iloc[:, 0] = 9"),
    "Arrow dtype": ("pd.DataFrame({'x': pd.arrays.ArrowExtensionArray(pa.array(array))})", "array[:] = 9"),
    "nullable": ("frame.astype('Float64').pipe(hold)", "kept['held'].iloc[:, 0] = 9"),
    "category": ("frame.astype('category').pipe(hold)", "kept['held'].iloc[0, 0] = 3.0"),
    "reader": ("pa.table({'x': array}).to_reader()", "array[:] = 9"),
}
SOURCE = """
def hold(value):
    kept["held"] = value
    return value

def make():
    array = kept["array"] = np.arange(4.0)
    frame = kept["frame"] = pd.DataFrame({"x": np.arange(4.0)})
    return RESULT

def change():
    array, frame = kept["array"], kept["frame"]
    CHANGE
"""


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_does_not_change_with_what_it_was_made_of(trial: Trial, name: str) -> None:
    result, change = RESULTS[name]
    module = trial.module(HEAD + SOURCE.replace("RESULT", result).replace("CHANGE", change))
    made = trial.table(trial.run("python", f"{module}:make"))
    before = made.to_pylist()
    assert [row["x"] for row in before] == [0, 1, 2, 3]
    assert trial.run("python", f"{module}:change").failure is None
    assert made.to_pylist() == before


def test_each_of_several_outputs_is_frozen(trial: Trial) -> None:
    source = """
        def make():
            array = kept["array"] = np.arange(3)
            return {"a": pa.table({"x": array}), "b": pa.table({"x": array[1:]})}
        def change():
            kept["array"][:] = 9
    """
    module = trial.module(HEAD + source.replace("\n        ", "\n"))
    tables = trial.tables(trial.run("python", f"{module}:make", outputs=("a", "b")))
    trial.run("python", f"{module}:change")
    assert [table["x"].to_pylist() for table in tables.values()] == [[0, 1, 2], [1, 2]]


def test_a_thread_that_was_left_running_cannot_change_the_result(trial: Trial) -> None:
    source = """
        import threading
        go, done = threading.Event(), threading.Event()
        def change(array):
            go.wait(10)
            array[:] = 9
            done.set()
        def make():
            array = np.arange(3)
            threading.Thread(target=change, args=(array,), daemon=True).start()
            return pa.table({"x": array})
        def free():
            go.set()
            done.wait(10)
    """
    module = trial.module(HEAD + source.replace("\n        ", "\n"))
    made = trial.table(trial.run("python", f"{module}:make"))
    assert trial.run("python", f"{module}:free").failure is None
    assert made["x"].to_pylist() == [0, 1, 2]


def test_an_input_is_handed_on_without_a_copy(trial: Trial) -> None:
    table = pa.table({"x": range(300_000)})
    source = HEAD + "def f(table):\n    return table.append_column('y', pa.array(np.ones(len(table))))"
    address = table["x"].chunk(0).buffers()[1].address
    assert trial.table(trial.python(source, {"table": table}))["x"].chunk(0).buffers()[1].address == address
    same = trial.table(trial.python(HEAD + "def f(table): return table", {"table": table}))
    assert same["x"].chunk(0).buffers()[1].address == address


PIPELINE = """
nodes:
  make: {python: steps:make}
  change: {python: steps:change, needs: make}
  read: {python: steps:read, inputs: {table: make}, needs: change}
outputs: {make: make, read: read}
"""


@pytest.mark.parametrize("handoff", ["auto", "mmap", "memory", "json"])
def test_readers_the_digest_and_the_file_agree(tmp_path: Path, here: Here, handoff: str) -> None:
    (tmp_path / "p.yaml").write_text(PIPELINE)
    source = SOURCE.replace("RESULT", "frame").replace("CHANGE", "frame.iloc[:, 0] += 1")
    (tmp_path / "steps.py").write_text(HEAD + source + "\ndef read(table):\n    return table.select(['x'])\n")
    done = here(tmp_path, "run", "p.yaml", "--json", "--handoff", handoff)
    assert done.returncode == 0, done.stderr
    outputs = json.loads(done.stdout)["outputs"]
    expected = table_digest(pa.table({"x": [0.0, 1.0, 2.0, 3.0]}))
    assert {output["digest"] for output in outputs.values()} == {expected}
    if handoff in ("auto", "mmap"):
        for output in outputs.values():
            assert table_digest(pa.ipc.open_file(output["path"]).read_all()) == expected


def test_a_dictionary_that_no_file_holds_fails_its_node_alone(tmp_path: Path, here: Here) -> None:
    (tmp_path / "p.yaml").write_text("nodes:\n  bad: {python: steps:bad}\n  good: {python: steps:good}\n")
    (tmp_path / "steps.py").write_text(
        "import pyarrow as pa\n"
        "def bad():\n"
        "    inner = pa.array(['a']).dictionary_encode()\n"
        "    return pa.table({'x': pa.DictionaryArray.from_arrays([0], inner)})\n"
        "def good():\n"
        "    chunks = [pa.array([word]).dictionary_encode() for word in 'ab']\n"
        "    return pa.table({'x': pa.chunked_array(chunks)})\n"
    )
    done = here(tmp_path, "run", "p.yaml", "-k", "--json")
    document = json.loads(done.stdout)
    assert done.returncode == 1, done.stderr
    assert {name: node["status"] for name, node in document["nodes"].items()} == {"bad": "failed", "good": "ok"}


def test_such_a_dictionary_is_the_fault_of_the_node(trial: Trial) -> None:
    source = """
        import pyarrow as pa
        def f():
            return pa.table({"x": pa.DictionaryArray.from_arrays([0], pa.array(["a"]).dictionary_encode())})
    """
    failure = failed(trial.python(source))
    assert failure.cause is Cause.NODE
    assert failure.type == ""
    assert failure.message.startswith("the values of the dictionary column 'x' contain dictionaries (")


FRAMES = {
    "a range": ("pd.DataFrame({'x': [1, 2]})", ["x"]),
    "filtered": ("pd.DataFrame({'x': [1, 2, 3]}).query('x != 2')", ["x"]),
    "named range": ("pd.DataFrame({'x': [1, 2]}).rename_axis('k')", ["x", "k"]),
    "named and filtered": ("pd.DataFrame({'x': [1, 2, 3]}).rename_axis('k').query('x != 2')", ["x", "k"]),
    "grouped": ("pd.DataFrame({'x': [1], 'j': [2], 'k': [3]}).groupby(['j', 'k']).sum()", ["x", "j", "k"]),
    "partly named": ("pd.DataFrame({'x': [1], 'j': [2], 'k': [3]}).set_index([[7], 'k'])", ["x", "j", "k"]),
    "named as a column": ("pd.DataFrame({'x': [1]}).set_index('x', drop=False)", ["x"]),
    "named as a number": ("pd.DataFrame({'x': [1]}, index=pd.Index(['a'], name='5')).assign(**{'5': 1})", ["x", "5"]),
    "named twice": ("pd.DataFrame({'x': [1]}, pd.MultiIndex.from_arrays([[1]] * 2, names=['k'] * 2))", ["x", "k"]),
    "no columns": ("pd.DataFrame(index=pd.Index([1, 2], name='k'))", ["k"]),
}


@pytest.mark.parametrize("name", FRAMES)
def test_only_named_levels_of_an_index_become_columns(trial: Trial, name: str) -> None:
    code, columns = FRAMES[name]
    table = trial.table(trial.python(f"{HEAD}def f():\n    return {code}\n"))
    assert table.column_names == columns
    frame = table.to_pandas()  # the metadata fits the columns
    assert [*frame.columns, *filter(None, frame.index.names)] == columns


LOST = {
    "pd.DataFrame({'x': [1.0, 2]}).describe()": "count, mean, std, …",
    "pd.DataFrame({'x': [1]}).sum().to_frame('total')": "x",
    "pd.DataFrame({'x': [1]}, index=pd.to_datetime(['2026-01-02']))": "2026-01-02 00:00:00",
    "pd.DataFrame({'x': [1], 'k': [2]}).set_index([['a'], 'k'])": "a",
    "pd.DataFrame({'x': [1, 2, 3]}).query('x != 2')": "",
    "pd.DataFrame({'x': ['a']}).set_index('x', drop=False)": "",
    "pd.DataFrame({'x': ['a'], 'y': [1]}).groupby('x').sum()": "",
    "pd.DataFrame({'x': []}, index=pd.Index([], dtype=object))": "",
}


@pytest.mark.parametrize("code", LOST)
def test_labels_of_rows_that_are_left_out_are_told(trial: Trial, code: str) -> None:
    trial.python(f"{HEAD}def f():\n    return {code}\n")
    told = f"the index of the data frame ({LOST[code]}) is left out: reset_index() makes a column of it"
    assert trial.logged == ([("warning", told)] if LOST[code] else [])


def test_frames_that_differ_in_an_unnamed_index_alone_are_equal(trial: Trial) -> None:
    source = HEAD + "def f(index):\n    return pd.DataFrame({'x': [1, 2]}, index=index)\n"
    tables = [trial.table(trial.python(source, with_={"index": index})) for index in (None, [4, 7], ["a", "b"])]
    assert len({(table_digest(table), Digest(table.schema).schema_digest(table)) for table in tables}) == 1


# Projects whose function steps:make surely returns no memory of numpy, pandas or polars, and others.
UNSHARED = {
    "Arrow": {"steps": "import pyarrow as pa\ndef make(): return pa.table({'x': [1]})"},
    "the standard library": {"steps": "import json\ndef make(): return json.loads('[]')"},
    "a name of a helper": {"steps": "from helper import rows\ndef make(): return rows()", "helper": "def rows(): ..."},
}
SHARED = {
    "numpy": {"steps": "import numpy as np\ndef make(): ..."},
    "a module of pandas": {"steps": "from pandas.api import types\ndef make(): ..."},
    "a helper": {"steps": "import helper\ndef make(): return helper.rows()", "helper": "import polars"},
    "inside of a function": {"steps": "def make():\n    import numpy\n    return numpy.ones(1)"},
    "inside of a helper": {"steps": "from helper import f\ndef make(): return f()", "helper": "def f(): import numpy"},
    "inside of another function": {"steps": "kept = {}\ndef make(): return kept['x']\ndef fill(): import numpy"},
    "through a package": {
        "steps": "from tools import rows\ndef make(): return rows.one()",
        "tools/__init__": "import numpy",
        "tools/rows": "def one(): ...",
    },
    "through a folder": {"steps": "from tools.rows import one\ndef make(): return one()", "tools/rows": "import numpy"},
    "by a name": {"steps": "import importlib\ndef make(): return importlib.import_module('numpy').ones(1)"},
    "by a computed name": {"steps": "import importlib\ndef make(name): return importlib.import_module(name)"},
    "by __import__": {"steps": "def make(): return __import__('num' + 'py').ones(1)"},
    "in a text of code": {"steps": "def make(text): exec(text)"},
    "memory that it holds": {
        "steps": "import array, pyarrow as pa\nkept = pa.py_buffer(array.array('b'))\ndef make(): ..."
    },
    "memory by another name": {"steps": "from pyarrow import foreign_buffer as wrap\ndef make(): return wrap(1, 1)"},
    "memory by a text": {"steps": "import pyarrow as pa\ndef make(): return getattr(pa, 'py_buffer')(bytearray())"},
    "memory of a helper": {
        "steps": "from helper import f\ndef make(): return f()",
        "helper": "import pyarrow as pa\ndef f(): return pa.ipc.open_stream(bytearray(9))",
    },
    "an array of a column": {"steps": "def make(table): return table.column(0).to_numpy()"},
    "another package": {"steps": "import sklearn\ndef make(): ..."},
    "a module that is not there": {"steps": "import nowhere\ndef make(): ..."},
    "a module that is no source": {"steps": "import helper\ndef make(): ...", "helper": "def ("},
}


@pytest.mark.parametrize("name", [*UNSHARED, *SHARED])
def test_only_code_that_can_hold_no_memory_may_not_share_memory(tmp_path: Path, name: str) -> None:
    for module, source in {**UNSHARED, **SHARED}[name].items():
        file = tmp_path / f"{module}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text(source)
    spec = NodeSpec("make", "python", "steps:make", (), {}, (), (), {})
    pipeline = Pipeline("p.yaml", str(tmp_path), "p", "", {}, {}, {"make": spec}, {})
    placement = place_nodes(pipeline, "thread", NodeStats({}, {}, {}, {}), FolderCode(tmp_path))
    assert ("make" in placement.unshared) == (name in UNSHARED)


def test_a_node_of_any_other_kind_may_share_memory(tmp_path: Path) -> None:
    kind = Kind("other", Says(), Runs(lambda context: {}))
    assert kind.code.may_share_memory(NodeSpec("n", "other", "", (), {}, (), (), {}), Fingerprints(tmp_path))


@pytest.mark.parametrize("unshared", [True, False])
def test_a_table_is_copied_only_if_it_may_share_memory(trial: Trial, unshared: bool) -> None:
    kept = pa.table({"x": [1, 2, 3]})
    module = trial.module("kept = None\ndef f(): return kept")
    vars(import_for_process(module, trial.folder))["kept"] = kept
    work = trial.work(trial.spec("python", f"{module}:f"))
    work = replace(work, unshared=frozenset({"node"} if unshared else ()))
    made = trial.table(work(NodeStarted(0.0, "node", 1, {}), trial.stop, trial.wait))
    addresses = [table["x"].chunk(0).buffers()[1].address for table in (made, kept)]
    assert (addresses[0] == addresses[1]) == unshared


@pytest.mark.parametrize("unshared", [True, False])
def test_a_data_frame_is_copied_even_if_its_node_imports_no_pandas(trial: Trial, unshared: bool) -> None:
    source = """
        kept = {}
        def make(table):
            kept["frame"] = table.to_pandas()
            return kept["frame"]
        def change():
            kept["frame"].iloc[:, 0] = 9
    """
    module = trial.module(source.replace("\n        ", "\n"))
    work = trial.work(trial.spec("python", f"{module}:make", {"table": pa.table({"x": [1, 2]})}))
    work = replace(work, unshared=frozenset({"node"} if unshared else ()))
    refs = {"from_table": trial.store.publish(OutputId("from_table"), 1, pa.table({"x": [1, 2]}))}
    made = trial.table(work(NodeStarted(0.0, "node", 1, refs), trial.stop, trial.wait))
    assert trial.run("python", f"{module}:change").failure is None
    assert made["x"].to_pylist() == [1, 2]


def test_rows_of_numpy_scalars_and_arrays_are_converted(trial: Trial) -> None:
    source = """
        def make():
            array = kept["array"] = np.arange(3.0)
            return [{"x": array[0], "y": array}, {"x": array[1], "y": array[1:]}]
        def change():
            kept["array"][:] = 9
    """
    module = trial.module(HEAD + source.replace("\n        ", "\n"))
    made = trial.table(trial.run("python", f"{module}:make"))
    assert trial.run("python", f"{module}:change").failure is None
    assert made.to_pylist() == [{"x": 0.0, "y": [0.0, 1.0, 2.0]}, {"x": 1.0, "y": [1.0, 2.0]}]

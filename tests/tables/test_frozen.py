"""The form of stored tables: copies of shared memory, and the same chunks, dictionaries and types for all readers."""

from __future__ import annotations

import array
import ctypes
import mmap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from nfrun.core.pipeline import OutputId
from nfrun.tables.digest import table_digest
from nfrun.tables.formats import FormatError
from nfrun.tables.output_files import WorkerStore
from nfrun.tables.store import TableStore
from nfrun.tables.stored_form import MIN_ROWS, frozen, frozen_output, with_one_dictionary_each

OUTPUT = OutputId("a")
MODES = ("auto", "mmap", "memory")


def seen(table: pa.Table) -> tuple[Any, ...]:
    """Return all that a reader can see: the schema, the chunks of each column, and the rows."""
    chunks = [[len(chunk) for chunk in column.chunks] for column in table.columns]
    many = table.num_rows >= MIN_ROWS  # of numbers, in these tests
    return str(table.schema), chunks, [c.to_numpy().tobytes() for c in table.columns] if many else table.to_pylist()


def address(table: pa.Table, column: str) -> int:
    """Return where the data of a column is."""
    found: int = table.column(column).chunk(0).buffers()[1].address
    return found


# ------------------------------------------------------------------ memory of numpy

SHARED: dict[str, Callable[[Any], pa.Array | pa.ChunkedArray]] = {
    "floats": pa.array,
    "a slice": lambda array: pa.array(array).slice(1, 2),
    "times": lambda array: pa.array(array.view("M8[us]")),
    "durations": lambda array: pa.array(array.view("m8[ns]")),
    "bytes": lambda array: pa.Array.from_buffers(pa.binary(8), 4, [None, pa.py_buffer(array)]),
    "nulls": lambda array: pa.array(array, mask=np.array([False, True, False, False])),
    "lists": lambda array: pa.ListArray.from_arrays([0, 1, 4], pa.array(array)),
    "large lists": lambda array: pa.LargeListArray.from_arrays([0, 1, 4], pa.array(array)),
    "lists of one size": lambda array: pa.FixedSizeListArray.from_arrays(pa.array(array), 2),
    "structs": lambda array: pa.StructArray.from_arrays([pa.array(array)], ["x"]),
    "maps": lambda array: pa.MapArray.from_arrays([0, 2, 4], pa.array(["a", "b", "c", "d"]), pa.array(array)),
    "dictionaries": lambda array: pa.DictionaryArray.from_arrays([0, 1, 2, 3], pa.array(array)),
    "indices": lambda array: pa.DictionaryArray.from_arrays(pa.array(array.view("i8")), list("abcd")),
    "tensors": lambda array: pa.FixedShapeTensorArray.from_numpy_ndarray(array.reshape(2, 2)),
    "chunks": lambda array: pa.chunked_array([pa.array(array), pa.array(array)]),
    "polars": lambda array: pa.table(pl.DataFrame({"x": pl.Series(array)})).column(0),
}


@pytest.mark.parametrize("name", SHARED)
@pytest.mark.parametrize("little", [0, 1 << 12])
def test_a_frozen_table_does_not_change_with_the_array(monkeypatch: pytest.MonkeyPatch, name: str, little: int) -> None:
    monkeypatch.setattr("nfrun.tables.stored_form.LITTLE", little)  # small tables are copied in another way
    array = np.arange(4).view("f8")  # as integers: 0, 1, 2, 3
    table = pa.table({"t": SHARED[name](array)})
    before, digest = seen(table), table_digest(table)
    kept = frozen(table)
    array[:] = array[::-1].copy()
    assert table_digest(table) != digest, "the memory is not shared: this proves nothing"
    kept.validate(full=True)
    assert (seen(kept), table_digest(kept)) == (before, digest)
    assert kept.schema.equals(table.schema, check_metadata=True)


@pytest.mark.parametrize("maker", ["polars", "DuckDB"])
def test_texts_that_nobody_can_change_are_not_copied(maker: str) -> None:
    table = pa.table({"t": ["text of more than 12 bytes"] * 1000, "n": np.arange(1000)})
    if maker == "polars":
        table = pa.table(pl.from_arrow(table))
    else:
        table = duckdb.from_arrow(table).filter("n >= 0").to_arrow_table()
    kept = frozen(table)
    assert address(kept, "t") == address(table, "t")
    assert address(kept, "n") != address(table, "n")


def writable(maker: str) -> Any:
    """Return an object of 64 KiB that gives away its memory."""
    size = 1 << 16
    makers = {
        "array": lambda: array.array("b", bytes(size)),
        "bytearray": lambda: bytearray(size),
        "memoryview": lambda: memoryview(bytearray(size)),
        "ctypes": ctypes.c_char * size,
        "mmap": lambda: mmap.mmap(-1, size),
        "numpy": lambda: np.zeros(size, "b"),
        "arrow": lambda: pa.allocate_buffer(size),
    }
    return makers[maker]()


FILLED: dict[str, Callable[[pa.Buffer], pa.Array]] = {
    "integers": lambda buffer: pa.Array.from_buffers(pa.int64(), 8000, [None, buffer]),
    "texts": lambda buffer: pa.Array.from_buffers(pa.string(), 8000, [None, OFFSETS, buffer]),
    "large texts": lambda buffer: pa.Array.from_buffers(pa.large_string(), 8000, [None, LARGE_OFFSETS, buffer]),
    "bytes": lambda buffer: pa.Array.from_buffers(pa.binary(), 8000, [None, OFFSETS, buffer]),
    "booleans": lambda buffer: pa.Array.from_buffers(pa.bool_(), 80000, [None, buffer]),
    "decimals": lambda buffer: pa.Array.from_buffers(pa.decimal128(38), 4000, [None, buffer]),
    "a slice": lambda buffer: pa.Array.from_buffers(pa.bool_(), 80000, [None, buffer.slice(8)]),
    "nulls": lambda buffer: pa.Array.from_buffers(pa.bool_(), 80000, [buffer, pa.py_buffer(bytes(10000))]),
    "lists": lambda buffer: pa.ListArray.from_arrays([0, 8000], FILLED["texts"](buffer)),
    "structs": lambda buffer: pa.StructArray.from_arrays([FILLED["texts"](buffer)], ["x"]),
    "dictionaries": lambda buffer: pa.DictionaryArray.from_arrays([0, 7999], FILLED["texts"](buffer)),
}
OFFSETS = pa.py_buffer(array.array("i", range(0, 8001 * 8, 8)).tobytes())
LARGE_OFFSETS = pa.py_buffer(array.array("q", range(0, 8001 * 8, 8)).tobytes())


@pytest.mark.parametrize("maker", ["array", "bytearray", "memoryview", "ctypes", "mmap", "numpy", "arrow"])
@pytest.mark.parametrize("name", FILLED)
def test_a_frozen_table_does_not_change_with_the_memory_of_any_object(maker: str, name: str) -> None:
    memory = writable(maker)
    table = pa.table({"t": FILLED[name](pa.py_buffer(memory))})
    before = table_digest(table)
    kept = [frozen(table), frozen_output(table)]
    memoryview(memory).cast("B")[:] = b"\1" * (1 << 16)
    assert table_digest(table) != before, "the memory is not shared: this proves nothing"
    assert [table_digest(copy) for copy in kept] == [before, before]


def test_a_frozen_table_does_not_change_with_the_bytes_of_a_stream() -> None:
    table = pa.table({"t": ["a" * 8] * 9000, "b": [False] * 9000})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    memory = bytearray(sink.getvalue())
    kept = frozen(pa.ipc.open_stream(memory).read_all())
    memory[:] = b"\1" * len(memory)
    assert kept.equals(table)


def test_the_memory_of_known_tables_is_not_copied() -> None:
    count = 200_000
    words = pa.array(["x"] * count).dictionary_encode()
    known = pa.table({"a": pa.array(range(count)), "s": [{"x": i} for i in range(count)], "d": words})
    new = known.append_column("new", pa.array(np.arange(count))).append_column("again", known["a"]).slice(7)
    kept = frozen_output(new, [known])
    assert address(kept, "a") == address(kept, "again") == address(known, "a")
    assert kept["s"].chunk(0).buffers()[2].address == known["s"].chunk(0).buffers()[2].address
    assert address(kept, "new") != address(new, "new")
    assert kept.equals(new)


def test_another_dictionary_for_known_indices_is_copied() -> None:
    values = np.arange(2.0)
    indices = pa.array([0, 1] * 200_000)
    known = pa.table({"d": pa.DictionaryArray.from_arrays(indices, pa.array([5.0, 6.0]))})
    kept = frozen_output(pa.table({"d": pa.DictionaryArray.from_arrays(indices, pa.array(values))}), [known])
    values[:] = 9
    assert kept["d"].slice(0, 2).to_pylist() == [0.0, 1.0]


def test_what_would_take_too_much_memory_to_copy_is_written_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nfrun.tables.stored_form.HUGE", 1 << 20)
    known = pa.table({"a": pa.array(range(200_000))})
    assert isinstance(frozen_output(known, [known]), pa.Table)
    array = np.arange(200_000)
    reader = frozen_output(known.append_column("b", pa.array(array)), [known])
    assert isinstance(reader, pa.RecordBatchReader)
    store = TableStore(tmp_path)
    ref = store.publish(OUTPUT, 1, reader)
    array[:] = 0
    assert store.open(ref)["b"].to_pylist() == list(range(200_000))
    store.close()


def test_what_would_take_too_much_memory_to_join_is_written_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nfrun.tables.stored_form.HUGE", 1 << 20)
    store = TableStore(tmp_path)
    table = pa.table({"a": pa.array(range(300_000))})
    joined = [[MIN_ROWS - 1, MIN_ROWS + 1], [MIN_ROWS, 5]]
    for i, sizes in enumerate(joined):
        parts = pa.concat_tables([table.slice(0, size) for size in sizes])
        ref = store.publish(OUTPUT, i, parts)
        assert (ref.digest is not None) is (i == 0)  # written, and not only queued
        assert store.open(ref).equals(parts)
    store.close()


# ------------------------------------------------------------------ readers that reuse an array


@pytest.mark.parametrize("rows", [1000, MIN_ROWS - 1, MIN_ROWS])
@pytest.mark.parametrize("dictionary", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_a_reader_may_fill_the_same_array_for_each_batch(
    tmp_path: Path, mode: str, dictionary: bool, rows: int
) -> None:
    array = np.zeros(rows)
    extra = {"d": pa.array(["x"] * rows).dictionary_encode()} if dictionary else {}

    def batches() -> Iterator[pa.RecordBatch]:
        for i in range(3):
            array[:] = i
            yield pa.record_batch({"n": pa.array(array), **extra})

    schema = pa.schema([("n", pa.float64()), *((name, data.type) for name, data in extra.items())])
    stores = TableStore(tmp_path / "run", mode=mode), WorkerStore(tmp_path / "worker")
    for store in stores:
        ref = store.publish(OUTPUT, 1, pa.RecordBatchReader.from_batches(schema, batches()))
        assert store.open(ref).column("n").to_pylist() == [i for i in (0.0, 1.0, 2.0) for _ in range(rows)]
    stores[0].close()


# ------------------------------------------------------------------ what readers see


class Celsius(pa.ExtensionType):
    def __init__(self) -> None:
        super().__init__(pa.float64(), "test.celsius")

    def __arrow_ext_serialize__(self) -> bytes:
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type: Any, serialized: bytes) -> Celsius:
        return cls()


@pytest.fixture
def registered() -> Iterator[Callable[[], None]]:
    """Registers the type `Celsius`, until the end of the test."""
    done: list[None] = []

    def register() -> None:
        pa.register_extension_type(Celsius())
        done.append(None)

    yield register
    if done:
        pa.unregister_extension_type("test.celsius")


def temperatures(count: int = 3) -> pa.Table:
    column = pa.ExtensionArray.from_storage(Celsius(), pa.array([1.5] * count))
    inner = pa.StructArray.from_arrays([column], ["t"])
    return pa.table({"t": column, "s": inner, "l": pa.ListArray.from_arrays(range(count + 1), column)})


def column_of(*chunks: Any) -> pa.Table:
    return pa.table({"x": pa.chunked_array(list(chunks))})


def numbers(count: int) -> pa.Array:
    return pc.add(pa.array(np.arange(count)), 0)  # in memory of their own


def dictionary(indices: list[int | None], values: Any) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(indices, pa.int8()), pa.array(values))


TABLES: dict[str, pa.Table] = {
    "one chunk": pa.table({"x": [1, 2, 3]}),
    "no rows": pa.table({"x": pa.array([], pa.int64())}),
    "no chunks": pa.table({"x": pa.chunked_array([], pa.int64())}),
    "empty chunks": column_of(*[pa.array(part, pa.int64()) for part in ([], [1], [])]),
    "small chunks": column_of([1], [2, 3]),
    "many rows": column_of(*[numbers(MIN_ROWS - i) for i in (0, 1, 2, 3)]),
    "chunks that do not line up": pa.Table.from_arrays(
        [pa.chunked_array(list(map(numbers, sizes))) for sizes in ([MIN_ROWS, MIN_ROWS], [5, 2 * MIN_ROWS - 5])],
        ["a", "b"],
    ),
    "no columns": pa.table({"x": [1, 2]}).select([]),
    "dictionaries": column_of(dictionary([0, 1], ["a", "b"]), dictionary([0, None], ["b"])),
    "nested dictionaries": column_of(*[pa.array([[w]], pa.list_(dictionary([0], ["a"]).type)) for w in "xyx"]),
    "an extension type": temperatures(),
    "the own types of Arrow": pa.table({"u": pa.array([b"0" * 16], pa.uuid()), "b": pa.array([1], pa.bool8())}),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("batches", [False, True])
def test_all_readers_see_the_same(tmp_path: Path, name: str, batches: bool) -> None:
    table = TABLES[name]
    found, digests = {}, set()
    for mode in MODES:
        store = TableStore(tmp_path / mode, mode=mode, retained=frozenset({OUTPUT}))
        ref = store.publish(OUTPUT, 1, table.to_reader() if batches else table)
        found[f"{mode}, at once"] = seen(store.open(ref))
        path = store.file(ref)
        found[f"{mode}, written"] = seen(store.open(ref))
        found[f"{mode}, file"] = seen(pa.ipc.open_file(path).read_all())
        digests.add(store.wait_digest(ref).digest)
        store.close()
    worker = WorkerStore(tmp_path / "worker")
    ref = worker.publish(OUTPUT, 1, table.to_reader() if batches else table)
    found["worker"] = seen(worker.open(ref))
    run = TableStore(tmp_path / "worker")
    found["from a worker"] = seen(run.open(run.register_file(ref)))
    run.close()
    wrong = {where: read for where, read in found.items() if read != found["worker"]}
    assert not wrong
    assert digests == {ref.digest}
    assert found["worker"][2] == seen(table)[2]


def test_dictionaries_with_nulls_that_differ_are_an_error_of_the_node() -> None:
    chunks = dictionary([0, 1], ["a", None]), dictionary([0], ["b"])
    with pytest.raises(FormatError, match="decode it, or give all chunks the same dictionary"):
        with_one_dictionary_each(column_of(*chunks))


RARE = [
    pa.RunEndEncodedArray.from_arrays(pa.array([1], pa.int32()), pa.array(["a"])),
    pa.UnionArray.from_sparse(pa.array([0], pa.int8()), [pa.array([1])]),
    pa.array([[1]], pa.list_view(pa.int64())),
    pa.array([{"a": [1]}], pa.struct({"a": pa.large_list_view(pa.int64())})),
]


@pytest.mark.parametrize("array", RARE, ids=lambda array: str(array.type))
def test_types_that_few_libraries_read_are_an_error_of_the_node(tmp_path: Path, array: pa.Array) -> None:
    table = pa.table({"r": array})
    for mode in MODES:
        store = TableStore(tmp_path / mode, mode=mode)
        for value in (table, table.to_reader()):
            with pytest.raises(FormatError, match=r"the column 'r' is .* is handed on: cast it, or decode it"):
                store.publish(OUTPUT, 1, value)
        store.close()
    for value in (table, table.to_reader()):
        with pytest.raises(FormatError, match="the column 'r' is"):
            WorkerStore(tmp_path / "worker").publish(OUTPUT, 1, value)


SLICES: dict[str, tuple[pa.Array, Callable[[Any], Any]]] = {
    "lists": (pa.array([[1], [2, 3], [4], []]), lambda array: array.values),
    "lists of one size": (pa.array([[1], [2], [3], [4]], pa.list_(pa.int64(), 1)), lambda array: array.values),
    "maps": (pa.array([[("a", 1)], [("b", 2)], []], pa.map_(pa.string(), pa.int64())), lambda array: array.keys),
    "lists in a struct": (
        pa.StructArray.from_arrays([pa.array([[1], [2], [3], [4]])], ["l"]),
        lambda array: array.field(0).values,
    ),
}


@pytest.mark.parametrize("name", SLICES)
@pytest.mark.parametrize("start", [0, 1])
def test_a_slice_shows_the_same_values_on_every_path(tmp_path: Path, name: str, start: int) -> None:
    array, values = SLICES[name]
    found = set()
    for mode in MODES:
        store = TableStore(tmp_path / mode, mode=mode)
        ref = store.publish(OUTPUT, 1, pa.table({"x": array.slice(start, 2)}))
        found.add(str(values(store.open(ref)["x"].chunk(0))))
        store.close()
    assert len(found) == 1


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("when", ["before", "between", "never"])
def test_an_extension_type_is_itself_where_it_is_registered(
    tmp_path: Path, registered: Callable[[], None], mode: str, when: str
) -> None:
    if when == "before":
        registered()
    store, worker = TableStore(tmp_path / "run", mode=mode), WorkerStore(tmp_path / "worker")
    ref, other = store.publish(OUTPUT, 1, temperatures()), worker.publish(OUTPUT, 1, temperatures())
    if when == "between":  # the reader's module registers it
        registered()
    expected = pa.float64() if when == "never" else Celsius()
    for table in (store.open(ref), worker.open(other)):
        assert table.schema.types == [expected, pa.struct([("t", expected)]), table.schema.field("l").type]
        assert table.schema.field("l").type.value_type == expected
        assert table["t"].to_pylist() == [1.5] * 3
    store.close()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("batches", [False, True])
def test_another_class_of_a_registered_type_becomes_the_registered_one(
    tmp_path: Path, registered: Callable[[], None], mode: str, batches: bool
) -> None:
    class Again(Celsius):  # as when the module of the type is imported a second time
        def __eq__(self, other: object) -> bool:
            return isinstance(other, Again)

        __hash__ = Celsius.__hash__

    registered()
    column = pa.ExtensionArray.from_storage(Again(), pa.array([1.5]))
    table = frozen(pa.table({"t": column, "n": np.arange(1)}))
    store = TableStore(tmp_path / "run", mode=mode)
    ref = store.publish(OUTPUT, 1, pa.table({"t": column}).to_reader() if batches else table)
    assert type(store.open(ref).schema.field("t").type) is Celsius
    store.close()


@pytest.mark.parametrize("mode", MODES)
def test_dictionaries_of_dictionaries_are_an_error_of_the_node(tmp_path: Path, mode: str) -> None:
    inner = dictionary([0, 1], ["a", "b"])
    table = pa.table({"x": pa.DictionaryArray.from_arrays(pa.array([0, 1]), inner)})
    store = TableStore(tmp_path / "run", mode=mode)
    with pytest.raises(FormatError) as caught:
        store.publish(OUTPUT, 1, table)
    store.close()
    assert str(caught.value) == (
        "the values of the dictionary column 'x' contain dictionaries (dictionary<values=dictionary<values=string, "
        "indices=int8, ordered=0>, indices=int64, ordered=0>), which an Arrow file cannot hold: decode the column with "
        "dictionary_decode()"
    )

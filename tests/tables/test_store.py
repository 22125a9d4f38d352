"""Tables from node to node: by reference, through files, over the budget, and what happens when the disk is full."""

from __future__ import annotations

import gc
import os
import stat
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import nfrun.tables.output_files
import nfrun.tables.store
from nfrun.core.errors import HandoffError
from nfrun.core.events import OutputRef
from nfrun.system.checksums import file_checksum
from nfrun.tables.digest import Digest, table_digest
from nfrun.tables.ipc import LITTLE, MIN_ROWS, open_file, write_file
from nfrun.tables.store import MODES, TableStore

MANY = pa.table({"n": pa.array(range(1000), pa.int64())})


class Heard:
    """What a store told: outputs that were settled, and what broke."""

    def __init__(self) -> None:
        self.published: list[OutputRef] = []
        self.broken: list[str] = []


class Gate:
    """Holds every write until it is opened; `begun` is set when one waits."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, module: Any = nfrun.tables.store, name: str = "write_file"
    ) -> None:
        self.begun, self.open = threading.Event(), threading.Event()
        self.paths: list[str] = []
        real = getattr(module, name)

        def gated(value: Any, *rest: Any, **more: Any) -> Any:
            self.paths.extend(Path(given).name for given in rest if isinstance(given, Path | str))
            self.begun.set()
            assert self.open.wait(60)
            return real(value, *rest, **more)

        monkeypatch.setattr(module, name, gated)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., tuple[TableStore, Heard]]]:
    stores = []

    def make(**options: Any) -> tuple[TableStore, Heard]:
        heard = Heard()
        store = TableStore(
            tmp_path / "run", on_published=heard.published.append, on_error=heard.broken.append, **options
        )
        stores.append(store)
        return store, heard

    yield make
    for store in stores:
        store.close()


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    real = pa.OSFile
    monkeypatch.setattr(pa, "OSFile", lambda path, mode: real("/dev/full", mode))


def files(store: TableStore) -> list[str]:
    return sorted(p.name for p in store._folder.iterdir()) if store._folder.exists() else []


def in_thread(call: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Call it on a thread; what it gives or raises is put into the list."""
    came: list[Any] = []

    def run() -> None:
        try:
            came.append(call())
        except BaseException as error:
            came.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, came


def waiting(store: TableStore, call: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Call it on a thread, and come back once that waits for the store."""
    waits, real = threading.Event(), store._change.wait_for

    def wait_for(predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        if threading.current_thread().name != "nfrun-writer":
            waits.set()
        return real(predicate, timeout)

    store._change.wait_for = wait_for  # type: ignore[method-assign]
    thread, came = in_thread(call)
    assert waits.wait(10)
    with store._change:  # it held this until it waited
        store._change.wait_for = real  # type: ignore[method-assign]
    return thread, came


# ------------------------------------------------------------------ the three modes


def test_auto_gives_the_very_same_table_while_it_is_written(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch)
    store, heard = make(write_first=frozenset("a"))
    ref = store.publish("a", 1, MANY)
    assert (ref.rows, ref.bytes, ref.schema, ref.digest) == (1000, 8000, "n: int64", None)
    gate.begun.wait(10)
    assert store.open(ref) is MANY
    assert not heard.published
    gate.open.set()
    assert store.flushed(10)
    assert heard.published[0].digest == table_digest(MANY)
    later = store.open(ref)
    assert later is not MANY
    assert later.equals(MANY)
    assert [p.name for p in Path(ref.path or "").parent.iterdir()] == ["a.1.arrow"]


def test_auto_drops_the_table_once_its_file_is_there(make: Any) -> None:
    store, _ = make(write_first=frozenset("a"))
    table = pa.table({"n": [1]})
    gone = weakref.ref(table)
    store.publish("a", 1, table)
    del table
    assert store.flushed(10)
    gc.collect()
    assert gone() is None


def test_what_fits_a_page_is_not_mapped_and_lets_go_of_what_was_published(make: Any) -> None:
    import ctypes

    store, heard = make(write_first=frozenset("ab"))
    numbers = (ctypes.c_int64 * 2)(1, 2)
    little = pa.table({"n": pa.Array.from_buffers(pa.int64(), 2, [None, pa.py_buffer(numbers)])})
    large = pa.table({"n": range(LITTLE)})
    refs = [store.publish("a", 1, little), store.publish("b", 1, large.slice(7))]
    assert store.flushed(10)
    maps = Path("/proc/self/maps")
    if maps.exists():
        assert [f"{name}.1.arrow" in maps.read_text() for name in "ab"] == [False, True]
    numbers[0] = 3  # as a node may do with a buffer that it goes on to use
    assert [store.open(ref)["n"][0].as_py() for ref in refs] == [1, 7]
    assert [ref.digest for ref in heard.published] == [table_digest(store.open(ref)) for ref in refs]


def test_the_checksum_of_a_file_travels_along_where_it_costs_nothing(make: Any) -> None:
    store, heard = make(write_first=frozenset("ab"), mode="mmap")
    store.publish("a", 1, pa.table({"n": [1]}))
    store.publish("b", 1, pa.table({"n": range(100_000)}))
    little, large = heard.published
    assert little.checksum == file_checksum(little.path)
    assert large.checksum is None


def test_mmap_maps_for_every_reader_one_file_that_takes_no_memory(make: Any) -> None:
    store, heard = make(mode="mmap")
    big = pa.table({"n": pa.array(range(300_000), pa.int64())})
    ref = store.publish("a", 1, big)
    assert ref.digest == table_digest(big)
    assert [r.id for r in heard.published] == ["a"]
    before = pa.total_allocated_bytes()
    tables = [store.open(ref) for _ in range(5)]
    assert pa.total_allocated_bytes() - before < big.nbytes // 10
    assert all(t is not big and t.equals(big) for t in tables)
    assert files(store) == ["a.1.arrow"]


def test_memory_writes_nothing_unless_somebody_asks(make: Any) -> None:
    store, heard = make(mode="memory")
    ref = store.publish("a", 1, MANY)
    assert ref.path is None
    assert store.open(ref) is MANY
    assert store.flushed(10)
    assert files(store) == []
    assert heard.published == []
    path = store.file(ref)
    assert open_file(path).equals(MANY)
    assert store.open(ref) is MANY
    store.release(ref)
    assert store.flushed(10)
    assert files(store) == []


def test_memory_settles_what_is_kept_without_a_file(make: Any) -> None:
    store, heard = make(mode="memory", retained=frozenset({"a"}))
    store.publish("a", 1, MANY)
    assert store.flushed(10)
    assert [(r.digest, r.path) for r in heard.published] == [(table_digest(MANY), None)]
    assert files(store) == []


def test_memory_writes_what_is_asked_for_while_it_is_hashed(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import nfrun.tables.digest

    gate = Gate(monkeypatch, nfrun.tables.digest, "table_digest")
    store, heard = make(mode="memory", retained=frozenset({"a"}))
    ref = store.publish("a", 1, MANY)
    assert gate.begun.wait(10)
    thread, came = waiting(store, lambda: store.file(ref))
    gate.open.set()
    thread.join(10)
    assert open_file(came[0]).equals(MANY)
    assert len(heard.published) == 1


@pytest.mark.parametrize("mode", MODES)
def test_digests_do_not_depend_on_the_mode_or_the_chunks(make: Any, mode: str) -> None:
    whole = pa.table({"n": pa.array(range(1000), pa.int64()), "s": [f"{i}" * (i % 7) for i in range(1000)]})
    chunks = pa.concat_tables([whole.slice(i, 7) for i in range(0, 1000, 7)])
    keep = frozenset({"whole", "chunks", "reader", "slice"})
    store, heard = make(mode=mode, retained=keep)
    store.publish("whole", 1, whole)
    store.publish("chunks", 1, chunks)
    store.publish("reader", 1, chunks.to_reader())
    store.publish("slice", 1, pa.concat_tables([whole, whole]).slice(1000))
    assert store.flushed(10)
    assert {r.id for r in heard.published} == keep
    assert {r.digest for r in heard.published} == {table_digest(whole)}


# ------------------------------------------------------------------ release


def test_what_is_released_before_it_was_written_never_is(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch)
    store, heard = make(write_first=frozenset("ab"))
    first, second = store.publish("a", 1, MANY), store.publish("b", 1, MANY)
    assert gate.begun.wait(10)
    store.release(second)
    store.release(first)  # in the middle of being written
    gate.open.set()
    assert store.flushed(10)
    assert gate.paths == ["a.1.arrow"]
    assert files(store) == []
    assert heard.published == []
    with pytest.raises(HandoffError, match=r"^the output 'a' is gone: all its readers had ended$"):
        store.open(first)


def test_what_is_released_while_it_is_written_is_not_written_to_its_end(
    make: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    taken: list[int] = []
    real = Digest.add

    def add(self: Digest, batch: pa.RecordBatch) -> None:
        taken.append(batch.num_rows)
        begun.set()
        assert go_on.wait(10)
        real(self, batch)

    monkeypatch.setattr(Digest, "add", add)
    batch = pa.record_batch({"n": pa.array([1], pa.int64()).take(pa.array([0] * MIN_ROWS, pa.int32()))})
    store, heard = make(write_first=frozenset("a"))
    ref = store.publish("a", 1, pa.Table.from_batches([batch] * 5))
    assert begun.wait(10)
    assert [name.rpartition(".")[2] for name in files(store)] == ["partial"]
    store.release(ref)
    go_on.set()
    assert store.flushed(10)
    assert taken == [MIN_ROWS]
    assert files(store) == []
    assert heard.published == heard.broken == []


def test_what_is_released_while_it_is_hashed_is_not_told(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import nfrun.tables.digest

    gate = Gate(monkeypatch, nfrun.tables.digest, "table_digest")
    store, heard = make(mode="memory", retained=frozenset("a"))
    ref = store.publish("a", 1, MANY)
    assert gate.begun.wait(10)
    store.release(ref)
    gate.open.set()
    assert store.flushed(10)
    assert heard.published == []


def test_a_reader_keeps_its_mapping_after_the_file_is_gone(make: Any) -> None:
    store, _ = make(mode="mmap")
    ref = store.publish("a", 1, MANY)
    table = store.open(ref)
    store.release(ref)
    store.release(ref)  # again: nothing
    assert store.flushed(10)
    assert files(store) == []
    assert table.equals(MANY)


def test_a_release_frees_who_still_waits_for_the_file(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch)
    store, _ = make(budget=10_000, write_first=frozenset({"busy"}))
    busy = store.publish("busy", 1, MANY.slice(0, 1))
    assert gate.begun.wait(10)
    ref = store.publish("a", 1, MANY)
    thread, came = waiting(store, lambda: store.file(ref))
    store.release(ref)
    thread.join(10)
    assert str(came[0]) == "the output 'a' is gone: all its readers had ended"
    gate.open.set()
    store.release(busy)
    assert store.flushed(10)
    assert store._write_queue.bytes == 0


def test_a_release_lets_go_of_the_table(make: Any) -> None:
    store, _ = make(mode="memory")
    table = pa.table({"n": [1]})
    gone = weakref.ref(table)
    ref = store.publish("a", 1, table)
    del table
    store.release(ref)
    gc.collect()
    assert gone() is None
    assert store._write_queue.bytes == 0


# ------------------------------------------------------------------ what is not written at once


def test_what_nobody_asks_for_is_not_written_while_there_is_room(make: Any) -> None:
    store, heard = make(budget=16_000)
    ref = store.publish("a", 1, MANY)
    assert store.flushed(10)
    assert store.open(ref) is MANY
    assert files(store) == []
    assert open_file(store.file(ref)).equals(MANY)
    assert store.flushed(10)
    assert files(store) == ["a.1.arrow"]
    assert [r.digest for r in heard.published] == [table_digest(MANY)]
    store.release(ref)
    assert store.flushed(10)
    assert files(store) == []
    assert store._write_queue.bytes == 0


def test_the_oldest_are_written_once_more_than_half_of_the_budget_waits(make: Any) -> None:
    store, heard = make(budget=30_000)
    refs = [store.publish(name, 1, MANY) for name in "abc"]
    assert store.flushed(10)
    assert [r.id for r in heard.published] == ["a", "b"]
    assert files(store) == ["a.1.arrow", "b.1.arrow"]
    assert [store.open(ref) is MANY for ref in refs] == [False, False, True]
    assert store._write_queue.bytes == 8_000
    store.release(refs[2])
    assert (store._write_queue.bytes, ("c", 1) in store._write_queue) == (0, False)


def test_who_waits_for_room_gets_it_from_what_could_have_waited(make: Any) -> None:
    store, heard = make(budget=20_000)
    store.publish("a", 1, MANY)
    assert store.flushed(10)
    assert files(store) == []
    thread, came = in_thread(lambda: store.publish("b", 1, pa.concat_tables([MANY, MANY])))
    thread.join(10)
    assert came[0].id == "b"
    assert heard.published[0].id == "a"


def test_what_the_run_keeps_goes_first(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch)
    store, _ = make(budget=40_000, retained=frozenset({"first", "kept"}))
    store.publish("first", 1, MANY)
    assert gate.begun.wait(10)
    for name in ("x", "y", "kept"):
        store.publish(name, 1, MANY)
    gate.open.set()
    assert store.flushed(10)
    assert gate.paths == ["first.1.arrow", "kept.1.arrow"]


# ------------------------------------------------------------------ the budget


def test_over_the_budget_publish_waits(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch)
    store, _ = make(budget=12_000)
    store.publish("a", 1, MANY)
    assert gate.begun.wait(10)
    thread, came = waiting(store, lambda: store.publish("b", 1, MANY))
    assert ("b", 1) not in store._entries
    gate.open.set()
    thread.join(10)
    assert came[0].id == "b"


def test_one_output_may_be_larger_than_the_budget(make: Any) -> None:
    store, heard = make(budget=1)
    for name in "abc":
        store.publish(name, 1, MANY)
    assert store.flushed(10)
    assert [r.id for r in heard.published] == ["a", "b", "c"]
    assert store._write_queue.bytes == 0


def test_memory_has_no_budget_and_no_debts(make: Any) -> None:
    store, _ = make(mode="memory", budget=1)
    refs = [store.publish(name, 1, MANY) for name in "abc"]
    store.file(refs[0])
    for ref in refs:
        store.release(ref)
    assert store.flushed(10)
    assert store._write_queue.bytes == 0


def test_a_release_makes_room(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch)
    store, _ = make(budget=9_000, write_first=frozenset("a"))
    store.publish("a", 1, MANY.slice(0, 10))
    assert gate.begun.wait(10)
    ref = store.publish("b", 1, MANY)
    thread, came = waiting(store, lambda: store.publish("c", 1, MANY))
    store.release(ref)
    thread.join(10)
    assert came[0].id == "c"
    gate.open.set()


# ------------------------------------------------------------------ what goes wrong


def test_a_full_disk_breaks_the_run_behind_auto(make: Any, full_disk: None) -> None:
    store, heard = make(retained=frozenset({"a"}))
    ref = store.publish("a", 1, MANY)
    assert store.flushed(10)
    said = "cannot write the output 'a' (8,000 bytes): No space left on device"
    assert heard.broken == [said]
    assert heard.published == []
    assert store.open(ref) is MANY
    with pytest.raises(HandoffError) as caught:
        store.file(ref)
    assert str(caught.value) == said
    store.release(ref)
    store.close()
    assert files(store) == []


def test_a_full_disk_fails_the_publishing_in_mmap(make: Any, full_disk: None) -> None:
    store, heard = make(mode="mmap")
    with pytest.raises(HandoffError) as caught:
        store.publish("a", 1, MANY)
    assert str(caught.value) == "cannot write the output 'a' (8,000 bytes): No space left on device"
    assert heard.published == heard.broken == []
    store.close()
    assert files(store) == []


def test_a_failed_write_of_what_was_released_concerns_nobody(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = pa.OSFile
    monkeypatch.setattr(pa, "OSFile", lambda path, mode: real("/dev/full", mode))
    gate = Gate(monkeypatch)
    store, heard = make(write_first=frozenset("a"))
    ref = store.publish("a", 1, MANY)
    assert gate.begun.wait(10)
    store.release(ref)
    gate.open.set()
    assert store.flushed(10)
    assert heard.broken == []


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("raised", [ValueError("theirs"), OSError(5, "theirs"), pa.ArrowInvalid("theirs"), KeyError(1)])
def test_what_a_reader_raises_comes_through(make: Any, mode: str, raised: Exception) -> None:
    def batches() -> Iterator[pa.RecordBatch]:
        yield MANY.to_batches()[0]
        raise raised

    store, heard = make(mode=mode)
    with pytest.raises(type(raised)) as caught:
        store.publish("a", 1, pa.RecordBatchReader.from_batches(MANY.schema, batches()))
    assert caught.value is raised or str(caught.value) == str(raised)
    assert store.flushed(10)
    assert files(store) == []
    assert heard.published == heard.broken == []


def test_a_reader_is_written_as_it_comes(make: Any) -> None:
    store, heard = make()
    size, held = 8 * MIN_ROWS, []

    def batches() -> Iterator[pa.RecordBatch]:
        for i in range(20):
            held.append(pa.total_allocated_bytes() - before)
            yield pa.record_batch({"n": pa.array([i], pa.int64()).take(pa.array([0] * MIN_ROWS, pa.int32()))})

    before = pa.total_allocated_bytes()
    reader = pa.RecordBatchReader.from_batches(pa.schema([("n", pa.int64())]), batches())
    ref = store.publish("a", 1, reader)
    assert (ref.rows, ref.bytes) == (20 * MIN_ROWS, 20 * size)
    assert max(held) < 4 * size
    assert store.open(ref).num_rows == ref.rows
    assert heard.published == [ref]


def test_a_broken_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.1.arrow").write_bytes(b"ARROW1 no")
    with pytest.raises(HandoffError, match=r"^cannot open a.1.arrow: "):
        open_file(tmp_path / "a.1.arrow")
    with pytest.raises(HandoffError, match=r"^cannot open b.1.arrow: "):
        open_file(tmp_path / "b.1.arrow")


# ------------------------------------------------------------------ the end


def test_only_kept_files_outlive_the_store(make: Any) -> None:
    store, heard = make(retained=frozenset({"kept"}))
    store.publish("kept", 1, MANY)
    store.publish("other", 1, MANY)
    store.close()
    store.close()
    assert files(store) == ["kept.1.arrow"]
    assert [r.id for r in heard.published] == ["kept"]
    mode = (store._folder / "kept.1.arrow").stat().st_mode
    assert stat.S_IMODE(mode) == 0o444


def test_an_empty_folder_goes(make: Any) -> None:
    store, _ = make()
    store.publish("a", 1, MANY)
    store.close()
    assert not store._folder.exists()


@pytest.mark.parametrize("mode", MODES)
def test_who_publishes_after_the_end_leaves_nothing(make: Any, mode: str) -> None:
    store, heard = make(mode=mode, retained=frozenset({"a"}))
    store.close()
    with pytest.raises(HandoffError, match=r"^the output 'a' comes too late: the run is over$"):
        store.publish("a", 1, MANY)
    assert not store._folder.exists()
    assert heard.published == []


def test_who_publishes_across_the_end_leaves_nothing(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch, nfrun.tables.output_files)
    store, heard = make(mode="mmap", retained=frozenset({"a"}))
    thread, came = in_thread(lambda: store.publish("a", 1, MANY))
    assert gate.begun.wait(10)
    store.close()
    gate.open.set()
    thread.join(10)
    assert str(came[0]) == "the output 'a' comes too late: the run is over"
    assert files(store) == []
    assert heard.published == []


def test_a_reader_still_at_work_at_the_end_leaves_no_partial_file(make: Any) -> None:
    reached, go_on = threading.Event(), threading.Event()

    def batches() -> Iterator[pa.RecordBatch]:
        yield pa.record_batch({"n": pa.array(range(MIN_ROWS), pa.int64())})
        reached.set()
        assert go_on.wait(10)

    store, _ = make()
    reader = pa.RecordBatchReader.from_batches(MANY.schema, batches())
    thread, came = in_thread(lambda: store.publish("a", 1, reader))
    assert reached.wait(10)
    assert [name.rpartition(".")[2] for name in files(store)] == ["partial"]
    store.close()
    assert files(store) == []
    go_on.set()
    thread.join(10)
    assert isinstance(came[0], HandoffError)
    assert files(store) == []


def test_a_hurried_end_waits_for_no_write(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Gate(monkeypatch)
    store, heard = make(retained=frozenset("abc"), budget=9_000)
    store.publish("a", 1, MANY)
    assert gate.begun.wait(10)
    thread, came = waiting(store, lambda: store.publish("b", 1, MANY))
    store.close(wait=False)
    thread.join(10)
    assert isinstance(came[0], HandoffError)
    gate.open.set()
    assert store.flushed(10)
    assert files(store) == []
    assert heard.published == heard.broken == []


def test_a_hurried_end_keeps_what_is_written(make: Any) -> None:
    store, _ = make(retained=frozenset({"a"}))
    store.publish("a", 1, MANY)
    assert store.flushed(10)
    store.close(wait=False)
    assert files(store) == ["a.1.arrow"]


# ------------------------------------------------------------------ files


def dictionaries() -> pa.Table:
    chunks = [pa.array(words, pa.string()).dictionary_encode() for words in (["a", "b"], ["b", "c", "a"], [])]
    return pa.table({"d": pa.chunked_array(chunks), "n": range(5)})


class Point(pa.ExtensionType):
    def __init__(self) -> None:
        super().__init__(pa.list_(pa.int8(), 2), "test.point")

    def __arrow_ext_serialize__(self) -> bytes:
        return b""

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type: Any, serialized: bytes) -> Point:
        return cls()


POINTS = pa.ExtensionArray.from_storage(Point(), pa.array([[1, 2]], Point().storage_type))
TABLES = {
    "no rows": MANY.slice(0, 0),
    "no columns": pa.table({}),
    "rows without columns": MANY.select([]),
    "tiny chunks": pa.concat_tables([MANY.slice(i, 1) for i in range(1000)]),
    "a slice": pa.table({"s": [f"{i}" for i in range(1000)], "b": [i % 3 == 0 for i in range(1000)]}).slice(501, 7),
    "dictionaries": dictionaries(),
    "dictionaries in lists": pa.table(
        {"d": pa.chunked_array([pa.array([[w]], pa.list_(pa.dictionary(pa.int8(), pa.string()))) for w in "xyx"])}
    ),
    "an extension type": pa.table({"p": POINTS}),
    "uuid": pa.table({"u": pa.array([b"0" * 16], pa.uuid())}),
    "twice the same column": pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["x", "x"]),
    "views, runs and unions": pa.table(
        {
            "v": pa.array(["a", None, "a long enough string"], pa.string_view()),
            "r": pa.RunEndEncodedArray.from_arrays(pa.array([2, 3], pa.int32()), pa.array([1, 2])),
            "n": pa.nulls(3),
        }
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("mode", ["mmap", "auto"])
def test_what_comes_out_is_what_went_in(make: Any, mode: str, name: str) -> None:
    table = TABLES[name]
    store, heard = make(mode=mode, retained=frozenset("ab"))
    refs = [store.publish("a", 1, table), store.publish("b", 1, table.to_reader())]
    assert store.flushed(10)
    assert heard.broken == []
    for ref in refs:
        found = store.open(ref)
        found.validate(full=True)
        if name != "an extension type":  # one that is not registered comes out as what it is stored as
            assert found.schema.equals(table.schema)
        assert found.num_rows == table.num_rows == ref.rows
        assert found.to_pylist() == table.to_pylist()
        assert table_digest(found) == table_digest(table)
    assert {r.digest for r in heard.published} == {table_digest(table)}


def test_small_batches_are_joined(tmp_path: Path) -> None:
    size = MIN_ROWS // 4 + 1
    table = pa.concat_tables([pa.table({"n": pa.array(range(size), pa.int64())}) for _ in range(10)])
    written = write_file(table, tmp_path / "a.arrow")
    assert (written.rows, written.bytes) == (10 * size, 80 * size)
    with pa.ipc.open_file(tmp_path / "a.arrow") as reader:
        assert [reader.get_batch(i).num_rows for i in range(reader.num_record_batches)] == [
            4 * size,
            4 * size,
            2 * size,
        ]


def test_large_batches_stay_as_they_are(tmp_path: Path) -> None:
    table = pa.table({"n": pa.array(range(3 * MIN_ROWS), pa.int64())})
    write_file(table, tmp_path / "a.arrow")
    assert open_file(tmp_path / "a.arrow").column("n").num_chunks == 1


def test_a_slice_takes_no_more_than_itself(tmp_path: Path) -> None:
    big = pa.table({"s": ["x" * 1000] * 1000})
    write_file(big.slice(10, 2), tmp_path / "a.arrow")
    assert (tmp_path / "a.arrow").stat().st_size < 10_000


def test_nothing_is_left_of_a_file_that_failed(tmp_path: Path, full_disk: None) -> None:
    with pytest.raises(OSError, match="No space left"):
        write_file(MANY, tmp_path / "a.arrow")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_whose_name_is_not_utf8(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"\xff")
    write_file(MANY, folder / "a.arrow")
    assert open_file(folder / "a.arrow").equals(MANY)


def test_dictionaries_too_many_for_their_indices_are_told(make: Any) -> None:
    chunks = [
        pa.DictionaryArray.from_arrays(pa.array(range(100), pa.int8()), [f"{k}{i}" for i in range(100)]) for k in "ab"
    ]
    store, _ = make(mode="mmap")
    with pytest.raises(
        HandoffError, match=r"^cannot write the output 'a' \([0-9,]+ bytes\): These dictionaries cannot be combined"
    ):
        store.publish("a", 1, pa.table({"d": pa.chunked_array(chunks)}))


# ------------------------------------------------------------------ all at once


@pytest.mark.parametrize("mode", MODES)
def test_many_threads(make: Any, mode: str) -> None:
    """Producers, readers and releases at once, with a budget that lets through one output at a time."""
    store, heard = make(mode=mode, budget=8_000, retained=frozenset({"k0", "k1"}))
    start = threading.Barrier(8)

    def work(number: int) -> None:
        start.wait(10)
        for i in range(20):
            ref = store.publish(f"t{number}", i, MANY)
            assert store.open(ref).equals(MANY)
            if (i + number) % 3 == 0:
                assert open_file(store.file(ref)).equals(MANY)
            store.release(ref)
        if number < 2:
            store.publish(f"k{number}", 1, MANY)

    pairs = [in_thread(lambda n=n: work(n)) for n in range(8)]  # type: ignore[misc]
    for thread, _ in pairs:
        thread.join(20)
    assert [came for _, came in pairs] == [[None]] * 8
    assert store.flushed(10)
    assert store._write_queue.bytes == 0
    kept = {r.id for r in heard.published if r.id.startswith("k")}
    assert kept == {"k0", "k1"}
    store.close()
    assert files(store) == ([] if mode == "memory" else ["k0.1.arrow", "k1.1.arrow"])

"""The table store: tables by reference and through files, the budget, releases, errors and close."""

from __future__ import annotations

import errno
import gc
import os
import re
import stat
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from io import FileIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import nfrun.tables.ipc
import nfrun.tables.output_files
from nfrun.core.errors import HandoffError
from nfrun.core.events import OutputRef
from nfrun.core.pipeline import OutputId
from nfrun.system.checksums import file_checksum
from nfrun.tables.digest import Digest, table_digest
from nfrun.tables.formats import FormatError
from nfrun.tables.ipc import open_file, write_file
from nfrun.tables.store import TableStore
from nfrun.tables.stored_form import LITTLE, MIN_ROWS

MODES = ("auto", "mmap", "memory")
MANY = pa.table({"n": pa.array(range(1000), pa.int64())})


class StoreEvents:
    """The callbacks of a store: the published outputs and the errors."""

    def __init__(self) -> None:
        self.published: list[OutputRef] = []
        self.errors: list[HandoffError] = []


class CommittingStore(TableStore):
    """A store that commits every output at once, as if its node had finished."""

    def publish(self, output: str, attempt: int, value: Any) -> OutputRef:
        ref = super().publish(output, attempt, value)
        self.commit(ref)
        return ref

    def register_file(self, ref: OutputRef) -> OutputRef:
        ref = super().register_file(ref)
        self.commit(ref)
        return ref


class WriteBlocker:
    """Blocks every write until `open` is set. `started` is set when a write is blocked."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, module: Any = nfrun.tables.output_files, name: str = "write_file"
    ) -> None:
        self.started, self.open = threading.Event(), threading.Event()
        self.paths: list[str] = []
        original = getattr(module, name)

        def blocked_call(value: Any, *arguments: Any, **options: Any) -> Any:
            self.paths.extend(Path(argument).name for argument in arguments if isinstance(argument, Path | str))
            self.started.set()
            assert self.open.wait(60)
            return original(value, *arguments, **options)

        monkeypatch.setattr(module, name, blocked_call)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., tuple[TableStore, StoreEvents]]]:
    stores = []

    def make(**options: Any) -> tuple[TableStore, StoreEvents]:
        emitted = StoreEvents()
        store = CommittingStore(
            tmp_path / "run", on_published=emitted.published.append, on_error=emitted.errors.append, **options
        )
        stores.append(store)
        return store, emitted

    yield make
    for store in stores:
        store.close()


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nfrun.tables.ipc, "_created", lambda path: FileIO("/dev/full", "w"))


def files(store: TableStore) -> list[str]:
    return sorted(p.name for p in store._folder.iterdir()) if store._folder.exists() else []


def in_thread(call: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Call it on a thread; the list gets its result or its exception."""
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(call())
        except BaseException as error:
            results.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, results


def blocked(store: TableStore, call: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Call it on a thread and return when the call waits for the store."""
    blocked_event, original = threading.Event(), store._change.wait_for

    def wait_for(predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        if threading.current_thread().name != "nfrun-writer":
            blocked_event.set()
        return original(predicate, timeout)

    store._change.wait_for = wait_for  # type: ignore[method-assign]
    thread, results = in_thread(call)
    assert blocked_event.wait(10)
    with store._change:  # the thread released this lock when it began to wait
        store._change.wait_for = original  # type: ignore[method-assign]
    return thread, results


# ------------------------------------------------------------------ outputs that count


@pytest.mark.parametrize("mode", MODES)
def test_an_output_that_is_written_is_published_when_it_is_committed(tmp_path: Path, mode: str) -> None:
    emitted = StoreEvents()
    store = TableStore(tmp_path / "run", mode=mode, retained=frozenset("abc"), on_published=emitted.published.append)
    a, b = store.publish("a", 1, MANY), store.publish("b", 1, MANY)
    assert store.flushed(10)
    assert emitted.published == []
    store.commit(a)
    store.discard(b)
    store.commit(b)
    assert [(ref.id, ref.digest) for ref in emitted.published] == [("a", table_digest(MANY))]
    store.close()


def test_an_output_that_is_committed_is_published_when_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocker, emitted = WriteBlocker(monkeypatch), StoreEvents()
    store = TableStore(tmp_path / "run", persistent=True, on_published=emitted.published.append)
    ref = store.publish("a", 1, MANY)
    store.commit(ref)
    store.release(ref)  # a persistent store still writes it
    assert emitted.published == []
    blocker.open.set()
    assert store.flushed(10)
    assert [ref.id for ref in emitted.published] == ["a"]
    store.close()


@pytest.mark.parametrize("mode", ["auto", "mmap"])
def test_a_persistent_store_publishes_checksums(tmp_path: Path, mode: str) -> None:
    emitted = StoreEvents()
    store = TableStore(tmp_path / "run", mode=mode, persistent=True, on_published=emitted.published.append)
    large, wide = (
        pa.table({"n": pa.array(range(50_000), pa.int64())}),
        pa.table({f"n{i}": range(500) for i in range(50)}),
    )
    elsewhere = nfrun.tables.output_files.write_output(tmp_path / "run" / "worker.1.arrow", "worker", 1, large)
    refs = [
        store.publish("small", 1, MANY),
        store.publish("large", 1, large),
        store.publish("wide", 1, wide),
        store.publish("reader", 1, large.to_reader()),
        store.register_file(elsewhere),
    ]
    for ref in refs:
        store.commit(ref)
        store.release(ref)
    assert store.flushed(10)
    assert {ref.id: ref.checksum for ref in emitted.published} == {
        ref.id: file_checksum(ref.path or "") for ref in refs
    }
    store.close()


# ------------------------------------------------------------------ the three modes


def test_auto_gives_the_same_table_object_while_it_is_written(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    blocker = WriteBlocker(monkeypatch)
    store, emitted = make()
    ref = store.publish("a", 1, MANY)
    assert (ref.rows, ref.bytes, ref.schema, ref.digest) == (1000, 8000, "n: int64", None)
    blocker.started.wait(10)
    assert store.open(ref) is MANY
    assert not emitted.published
    blocker.open.set()
    assert store.flushed(10)
    assert emitted.published[0].digest == table_digest(MANY)
    later = store.open(ref)
    assert later is not MANY
    assert later.equals(MANY)
    assert [p.name for p in Path(ref.path or "").parent.iterdir()] == ["a.1.arrow"]


def test_auto_drops_the_table_when_its_file_is_written(make: Any) -> None:
    store, _ = make()
    table = pa.table({"n": [1]})
    table_ref = weakref.ref(table)
    store.publish("a", 1, table)
    del table
    assert store.flushed(10)
    gc.collect()
    assert table_ref() is None


def test_a_table_that_fits_a_page_is_copied_and_not_mapped(make: Any) -> None:
    import ctypes

    store, emitted = make()
    numbers = (ctypes.c_int64 * 2)(1, 2)
    little = pa.table({"n": pa.Array.from_buffers(pa.int64(), 2, [None, pa.py_buffer(numbers)])})
    large = pa.table({"n": range(LITTLE)})
    refs = [store.publish("a", 1, little), store.publish("b", 1, large.slice(7))]
    assert store.flushed(10)
    maps = Path("/proc/self/maps")
    if maps.exists():
        assert [f"{name}.1.arrow" in maps.read_text() for name in "ab"] == [False, True]
    numbers[0] = 3  # a node may go on to use its buffer
    assert [store.open(ref)["n"][0].as_py() for ref in refs] == [1, 7]
    assert [ref.digest for ref in emitted.published] == [table_digest(store.open(ref)) for ref in refs]


def test_an_output_ref_has_the_checksum_of_its_file(make: Any) -> None:
    store, emitted = make(mode="mmap")
    store.publish("a", 1, pa.table({"n": [1]}))
    store.publish("b", 1, pa.table({"n": range(1_000_000)}))
    store.publish("c", 1, pa.table({f"n{i}": range(500) for i in range(50)}))
    little, large, wide = emitted.published
    assert little.checksum == file_checksum(little.path)
    assert large.checksum == file_checksum(large.path)
    assert large.size == Path(large.path).stat().st_size
    assert wide.checksum == file_checksum(wide.path)


def test_mmap_maps_one_file_for_all_readers_without_allocating(make: Any) -> None:
    store, emitted = make(mode="mmap")
    big = pa.table({"n": pa.array(range(300_000), pa.int64())})
    ref = store.publish("a", 1, big)
    assert ref.digest == table_digest(big)
    assert [r.id for r in emitted.published] == ["a"]
    before = pa.total_allocated_bytes()
    tables = [store.open(ref) for _ in range(5)]
    assert pa.total_allocated_bytes() - before < big.nbytes // 10
    assert all(t is not big and t.equals(big) for t in tables)
    assert files(store) == ["a.1.arrow"]


def test_memory_writes_no_file_unless_a_file_is_requested(make: Any) -> None:
    store, emitted = make(mode="memory")
    ref = store.publish("a", 1, MANY)
    assert ref.path is None
    assert store.open(ref) is MANY
    assert store.flushed(10)
    assert files(store) == []
    assert emitted.published == []
    path = store.file(ref)
    assert open_file(path).equals(MANY)
    assert store.open(ref) is MANY
    store.release(ref)
    assert store.flushed(10)
    assert files(store) == []


def test_memory_publishes_retained_outputs_without_a_file(make: Any) -> None:
    store, emitted = make(mode="memory", retained=frozenset({"a"}))
    store.publish("a", 1, MANY)
    assert store.flushed(10)
    assert [(r.digest, r.path) for r in emitted.published] == [(table_digest(MANY), None)]
    assert files(store) == []


def test_memory_writes_a_requested_file_while_the_table_is_hashed(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    blocker = WriteBlocker(monkeypatch, name="hashed")
    store, emitted = make(mode="memory", retained=frozenset({"a"}))
    ref = store.publish("a", 1, MANY)
    assert blocker.started.wait(10)
    thread, results = blocked(store, lambda: store.file(ref))
    blocker.open.set()
    thread.join(10)
    assert open_file(results[0]).equals(MANY)
    assert len(emitted.published) == 1


@pytest.mark.parametrize("mode", MODES)
def test_digests_do_not_depend_on_the_mode_or_the_chunks(make: Any, mode: str) -> None:
    whole = pa.table({"n": pa.array(range(1000), pa.int64()), "s": [f"{i}" * (i % 7) for i in range(1000)]})
    chunks = pa.concat_tables([whole.slice(i, 7) for i in range(0, 1000, 7)])
    retained = frozenset({"whole", "chunks", "reader", "slice"})
    store, emitted = make(mode=mode, retained=retained)
    store.publish("whole", 1, whole)
    store.publish("chunks", 1, chunks)
    store.publish("reader", 1, chunks.to_reader())
    store.publish("slice", 1, pa.concat_tables([whole, whole]).slice(1000))
    assert store.flushed(10)
    assert {r.id for r in emitted.published} == retained
    assert {r.digest for r in emitted.published} == {table_digest(whole)}


# ------------------------------------------------------------------ release


def test_an_output_released_before_its_write_is_not_written(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    blocker = WriteBlocker(monkeypatch)
    store, emitted = make()
    first, second = store.publish("a", 1, MANY), store.publish("b", 1, MANY)
    assert blocker.started.wait(10)
    store.release(second)
    store.release(first)  # while it is being written
    blocker.open.set()
    assert store.flushed(10)
    assert blocker.paths == ["a.1.arrow"]
    assert files(store) == []
    assert emitted.published == []
    with pytest.raises(HandoffError, match=r"^the output 'a' is gone: all its readers had ended$"):
        store.open(first)


def test_a_release_during_a_write_stops_the_write(make: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    started, proceed = threading.Event(), threading.Event()
    batch_sizes: list[int] = []
    original = Digest.add

    def add(self: Digest, batch: pa.RecordBatch) -> None:
        batch_sizes.append(batch.num_rows)
        started.set()
        assert proceed.wait(10)
        original(self, batch)

    monkeypatch.setattr(Digest, "add", add)
    batch = pa.record_batch({"n": pa.array([1], pa.int64()).take(pa.array([0] * MIN_ROWS, pa.int32()))})
    store, emitted = make()
    ref = store.publish("a", 1, pa.Table.from_batches([batch] * 5))
    assert started.wait(10)
    assert [name.rpartition(".")[2] for name in files(store)] == ["partial"]
    store.release(ref)
    proceed.set()
    assert store.flushed(10)
    assert batch_sizes == [MIN_ROWS]
    assert files(store) == []
    assert emitted.published == emitted.errors == []


def test_an_output_released_while_it_is_hashed_is_not_published(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    blocker = WriteBlocker(monkeypatch, name="hashed")
    store, emitted = make(mode="memory", retained=frozenset("a"))
    ref = store.publish("a", 1, MANY)
    assert blocker.started.wait(10)
    store.release(ref)
    blocker.open.set()
    assert store.flushed(10)
    assert emitted.published == []


def test_an_unwritten_output_is_hashed_and_its_file_goes_with_it(make: Any) -> None:
    store, emitted = make(persistent=True, unwritten=frozenset({"a", "b"}))
    a, b = store.publish("a", 1, MANY), store.publish("b", 1, MANY)
    assert store.flushed(10)
    assert [(ref.path, ref.digest) for ref in emitted.published] == [(None, table_digest(MANY))] * 2
    assert store.wait_digest(a).schema_digest == emitted.published[0].schema_digest
    assert files(store) == []
    path = store.file(b)
    assert open_file(path).equals(MANY)
    assert store.open(a) is MANY
    store.release(a)
    store.release(b)
    assert store.flushed(10)
    assert files(store) == []


def test_many_bytes_of_unwritten_outputs_are_files_until_they_are_released(make: Any) -> None:
    store, emitted = make(persistent=True, unwritten=frozenset({"a", "b"}), budget=4 * MANY.nbytes)
    a, b = store.publish("a", 1, MANY), store.publish("b", 1, MANY)
    assert store.flushed(10)
    assert [ref.path for ref in emitted.published] == [None, None]
    assert files(store) == ["b.1.arrow"]
    assert store.open(b).equals(MANY)
    store.close()
    assert files(store) == []
    assert not store.holds(a)


def test_a_file_of_another_run_is_opened_where_it_is_and_never_removed(make: Any, tmp_path: Path) -> None:
    folder = tmp_path / "earlier"
    folder.mkdir()
    earlier = TableStore(folder, mode="mmap", persistent=True)
    ref = earlier.publish(OutputId("a"), 1, MANY)
    for mode in MODES:
        store, _ = make(mode=mode)
        store.register_file(ref)
        assert store.holds(ref)
        assert store.open(ref).equals(MANY)
        store.discard(ref)
        assert store.flushed(10)
        store.close()
        with pytest.raises(HandoffError):
            store.register_file(ref)
    assert Path(ref.path).exists()


def test_a_reader_keeps_its_mapping_after_the_file_is_gone(make: Any) -> None:
    store, _ = make(mode="mmap")
    ref = store.publish("a", 1, MANY)
    table = store.open(ref)
    store.release(ref)
    store.release(ref)  # a second release does nothing
    assert store.flushed(10)
    assert files(store) == []
    assert table.equals(MANY)


def test_a_release_ends_the_wait_for_the_file(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    blocker = WriteBlocker(monkeypatch)
    store, _ = make(budget=10_000)
    busy = store.publish("busy", 1, MANY.slice(0, 1))
    assert blocker.started.wait(10)
    ref = store.publish("a", 1, MANY)
    thread, results = blocked(store, lambda: store.file(ref))
    store.release(ref)
    thread.join(10)
    assert str(results[0]) == "the output 'a' is gone: all its readers had ended"
    blocker.open.set()
    store.release(busy)
    assert store.flushed(10)
    assert store._write_queue.bytes == 0


def test_a_release_drops_the_table(make: Any) -> None:
    store, _ = make(mode="memory")
    table = pa.table({"n": [1]})
    table_ref = weakref.ref(table)
    ref = store.publish("a", 1, table)
    del table
    store.release(ref)
    gc.collect()
    assert table_ref() is None
    assert store._write_queue.bytes == 0


# ------------------------------------------------------------------ the budget


def test_over_the_budget_publish_waits(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    blocker = WriteBlocker(monkeypatch)
    store, _ = make(budget=12_000)
    store.publish("a", 1, MANY)
    assert blocker.started.wait(10)
    thread, results = blocked(store, lambda: store.publish("b", 1, MANY))
    assert ("b", 1) not in store._entries
    blocker.open.set()
    thread.join(10)
    assert results[0].id == "b"


def test_one_output_may_be_larger_than_the_budget(make: Any) -> None:
    store, emitted = make(budget=1)
    for name in "abc":
        store.publish(name, 1, MANY)
    assert store.flushed(10)
    assert [r.id for r in emitted.published] == ["a", "b", "c"]
    assert store._write_queue.bytes == 0


def test_memory_has_no_budget_and_no_queue(make: Any) -> None:
    store, _ = make(mode="memory", budget=1)
    refs = [store.publish(name, 1, MANY) for name in "abc"]
    store.file(refs[0])
    for ref in refs:
        store.release(ref)
    assert store.flushed(10)
    assert store._write_queue.bytes == 0


def test_a_release_makes_room(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    blocker = WriteBlocker(monkeypatch)
    store, _ = make(budget=10_000)
    store.publish("a", 1, MANY.slice(0, 10))
    assert blocker.started.wait(10)
    ref = store.publish("b", 1, MANY)
    thread, results = blocked(store, lambda: store.publish("c", 1, MANY))
    store.release(ref)
    thread.join(10)
    assert results[0].id == "c"
    blocker.open.set()


# ------------------------------------------------------------------ errors


def test_a_full_disk_is_reported_through_on_error_in_auto(make: Any, full_disk: None) -> None:
    store, emitted = make(retained=frozenset({"a"}))
    ref = store.publish("a", 1, MANY)
    assert store.flushed(10)
    message = "cannot write the output 'a' (8,000 bytes): No space left on device"
    assert [(str(error), error.errno) for error in emitted.errors] == [(message, errno.ENOSPC)]
    assert emitted.published == []
    assert store.open(ref) is MANY
    with pytest.raises(HandoffError) as caught:
        store.file(ref)
    assert (str(caught.value), caught.value.errno) == (message, errno.ENOSPC)
    store.release(ref)
    store.close()
    assert files(store) == []


def test_publish_raises_if_no_thread_can_be_started_and_works_once_one_can(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    store, emitted = make(retained=frozenset({"a"}))
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(HandoffError, match="no thread could be started: can't start new thread"):
            store.publish("a", 1, MANY)
    assert store.flushed(0)
    store.publish("a", 2, MANY)
    assert store.flushed(10)
    assert [ref.attempt for ref in emitted.published] == [2]
    store.close()


def test_a_full_disk_raises_in_publish_in_mmap(make: Any, full_disk: None) -> None:
    store, emitted = make(mode="mmap")
    with pytest.raises(HandoffError) as caught:
        store.publish("a", 1, MANY)
    assert str(caught.value) == "cannot write the output 'a' (8,000 bytes): No space left on device"
    assert emitted.published == emitted.errors == []
    store.close()
    assert files(store) == []


def test_a_failed_write_of_a_released_output_is_not_reported(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nfrun.tables.ipc, "_created", lambda path: FileIO("/dev/full", "w"))
    blocker = WriteBlocker(monkeypatch)
    store, emitted = make()
    ref = store.publish("a", 1, MANY)
    assert blocker.started.wait(10)
    store.release(ref)
    blocker.open.set()
    assert store.flushed(10)
    assert emitted.errors == []


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("raised", [ValueError("theirs"), OSError(5, "theirs"), pa.ArrowInvalid("theirs"), KeyError(1)])
def test_an_error_of_a_record_batch_reader_is_raised_unchanged(make: Any, mode: str, raised: Exception) -> None:
    def batches() -> Iterator[pa.RecordBatch]:
        yield MANY.to_batches()[0]
        raise raised

    store, emitted = make(mode=mode)
    with pytest.raises(type(raised)) as caught:
        store.publish("a", 1, pa.RecordBatchReader.from_batches(MANY.schema, batches()))
    assert caught.value is raised or str(caught.value) == str(raised)
    assert store.flushed(10)
    assert files(store) == []
    assert emitted.published == emitted.errors == []


def test_a_record_batch_reader_is_written_batch_by_batch(make: Any) -> None:
    store, emitted = make()
    size, allocated = 8 * MIN_ROWS, []

    def batches() -> Iterator[pa.RecordBatch]:
        for i in range(20):
            allocated.append(pa.total_allocated_bytes() - before)
            yield pa.record_batch({"n": pa.array([i], pa.int64()).take(pa.array([0] * MIN_ROWS, pa.int32()))})

    before = pa.total_allocated_bytes()
    reader = pa.RecordBatchReader.from_batches(pa.schema([("n", pa.int64())]), batches())
    ref = store.publish("a", 1, reader)
    assert (ref.rows, ref.bytes) == (20 * MIN_ROWS, 20 * size)
    assert max(allocated) < 4 * size
    assert store.open(ref).num_rows == ref.rows
    assert emitted.published == [ref]


def test_a_damaged_or_missing_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.1.arrow").write_bytes(b"ARROW1 no")
    with pytest.raises(HandoffError, match=r"^cannot open a.1.arrow: "):
        open_file(tmp_path / "a.1.arrow")
    with pytest.raises(HandoffError, match=r"^cannot open b.1.arrow: "):
        open_file(tmp_path / "b.1.arrow")


# ------------------------------------------------------------------ close


def test_only_retained_files_outlive_the_store(make: Any) -> None:
    store, emitted = make(retained=frozenset({"kept"}))
    store.publish("kept", 1, MANY)
    store.publish("other", 1, MANY)
    store.close()
    store.close()
    assert files(store) == ["kept.1.arrow"]
    assert [r.id for r in emitted.published] == ["kept"]
    mode = (store._folder / "kept.1.arrow").stat().st_mode
    assert stat.S_IMODE(mode) == 0o444


def test_close_removes_an_empty_folder(make: Any) -> None:
    store, _ = make()
    store.publish("a", 1, MANY)
    store.close()
    assert not store._folder.exists()


@pytest.mark.parametrize("mode", MODES)
def test_a_publish_after_close_leaves_nothing(make: Any, mode: str) -> None:
    store, emitted = make(mode=mode, retained=frozenset({"a"}))
    store.close()
    with pytest.raises(HandoffError, match=r"^the output 'a' comes too late: the run is over$"):
        store.publish("a", 1, MANY)
    assert not store._folder.exists()
    assert emitted.published == []


def test_a_publish_during_close_leaves_nothing(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    blocker = WriteBlocker(monkeypatch)
    store, emitted = make(mode="mmap", retained=frozenset({"a"}))
    thread, results = in_thread(lambda: store.publish("a", 1, MANY))
    assert blocker.started.wait(10)
    store.close()
    blocker.open.set()
    thread.join(10)
    assert str(results[0]) == "the output 'a' comes too late: the run is over"
    assert files(store) == []
    assert emitted.published == []


def test_a_record_batch_reader_active_at_close_leaves_no_partial_file(make: Any) -> None:
    reached, proceed = threading.Event(), threading.Event()

    def batches() -> Iterator[pa.RecordBatch]:
        yield pa.record_batch({"n": pa.array(range(MIN_ROWS), pa.int64())})
        reached.set()
        assert proceed.wait(10)

    store, _ = make()
    reader = pa.RecordBatchReader.from_batches(MANY.schema, batches())
    thread, results = in_thread(lambda: store.publish("a", 1, reader))
    assert reached.wait(10)
    assert [name.rpartition(".")[2] for name in files(store)] == ["partial"]
    store.close()
    assert files(store) == []
    proceed.set()
    thread.join(10)
    assert isinstance(results[0], HandoffError)
    assert files(store) == []


def test_close_without_wait_does_not_wait_for_writes(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    blocker = WriteBlocker(monkeypatch)
    store, emitted = make(retained=frozenset("abc"), budget=9_000)
    store.publish("a", 1, MANY)
    assert blocker.started.wait(10)
    thread, results = blocked(store, lambda: store.publish("b", 1, MANY))
    store.close(wait=False)
    thread.join(10)
    assert isinstance(results[0], HandoffError)
    blocker.open.set()
    assert store.flushed(10)
    assert files(store) == []
    assert emitted.published == emitted.errors == []


def test_close_without_wait_keeps_written_files(make: Any) -> None:
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
    "views and nulls": pa.table(
        {
            "v": pa.array(["a", None, "a long enough string"], pa.string_view()),
            "n": pa.nulls(3),
        }
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("mode", ["mmap", "auto"])
def test_a_table_comes_back_unchanged(make: Any, mode: str, name: str) -> None:
    table = TABLES[name]
    store, emitted = make(mode=mode, retained=frozenset("ab"))
    refs = [store.publish("a", 1, table), store.publish("b", 1, table.to_reader())]
    assert store.flushed(10)
    assert emitted.errors == []
    for ref in refs:
        found = store.open(ref)
        found.validate(full=True)
        if name != "an extension type":  # an unregistered extension type comes back as its storage type
            assert found.schema.equals(table.schema)
        assert found.num_rows == table.num_rows == ref.rows
        assert found.to_pylist() == table.to_pylist()
        assert table_digest(found) == table_digest(table)
    assert {r.digest for r in emitted.published} == {table_digest(table)}


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


def test_a_failed_write_leaves_no_file(tmp_path: Path, full_disk: None) -> None:
    with pytest.raises(OSError, match="No space left"):
        write_file(MANY, tmp_path / "a.arrow")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_whose_name_is_not_utf8(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"\xff")
    write_file(MANY, folder / "a.arrow")
    assert open_file(folder / "a.arrow").equals(MANY)


@pytest.mark.parametrize("mode", MODES)
def test_dictionaries_too_large_for_their_indices_are_an_error_of_the_node(make: Any, mode: str) -> None:
    chunks = [
        pa.DictionaryArray.from_arrays(pa.array(range(100), pa.int8()), [f"{k}{i}" for i in range(100)]) for k in "ab"
    ]
    store, _ = make(mode=mode)
    what = (
        "the chunks of the column 'd' (dictionary<values=string, indices=int8, ordered=0>) have different "
        "dictionaries, which cannot be put together (These dictionaries cannot be combined.  The unified dictionary "
        "requires a larger index type): decode it, or give all chunks the same dictionary"
    )
    with pytest.raises(FormatError, match=f"^{re.escape(what)}$"):
        store.publish("a", 1, pa.table({"d": pa.chunked_array(chunks)}))


# ------------------------------------------------------------------ threads


@pytest.mark.parametrize("mode", MODES)
def test_many_threads(make: Any, mode: str) -> None:
    """Threads publish, read and release at the same time; the budget has room for one output at a time."""
    store, emitted = make(mode=mode, budget=8_000, retained=frozenset({"k0", "k1"}))
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
    assert [results for _, results in pairs] == [[None]] * 8
    assert store.flushed(10)
    assert store._write_queue.bytes == 0
    retained = {r.id for r in emitted.published if r.id.startswith("k")}
    assert retained == {"k0", "k1"}
    store.close()
    assert files(store) == ([] if mode == "memory" else ["k0.1.arrow", "k1.1.arrow"])


def test_a_writer_that_cannot_import_reports_it_and_ends(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nfrun.tables.digest", None)  # as if there were too many open files
    store, emitted = make(persistent=True)
    store.publish("a", 1, MANY)
    assert store.flushed(10)
    assert len(emitted.published + emitted.errors) == 1

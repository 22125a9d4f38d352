"""Outputs in places: their names come from their content, and they are fetched when they are read."""

from __future__ import annotations

import threading
from pathlib import Path

import pyarrow as pa
import pytest

from nfrun.core.errors import HandoffError, NotStored
from nfrun.core.events import OutputRef
from nfrun.core.pipeline import OutputId
from nfrun.core.values import replace
from nfrun.system.atomic_files import remove_unlocked
from nfrun.system.checksums import file_checksum
from nfrun.system.kept_files import content_of
from nfrun.tables.output_files import WorkerStore, hand_on
from nfrun.tables.places.folder import Folder
from nfrun.tables.places.host_cache import HostCache
from nfrun.tables.places.stored_outputs import StoredOutputs, output_name, put_output
from nfrun.tables.store import TableStore

ID = OutputId("node", "")


@pytest.fixture
def place(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "store")


def written(tmp_path: Path, table: pa.Table, attempt: int = 1) -> OutputRef:
    """Write a table as a worker does."""
    (tmp_path / "worker").mkdir(exist_ok=True)
    ref = WorkerStore(tmp_path / "worker").publish(ID, attempt, table)
    return ref if ref.checksum else replace(ref, checksum=file_checksum(ref.path or ""))


def test_equal_tables_have_one_name_and_others_another(tmp_path: Path) -> None:
    table = pa.table({"a": [1, 2]})
    first, second = written(tmp_path, table), written(tmp_path, table, 2)
    other = written(tmp_path, table.replace_schema_metadata({"k": "v"}), 3)
    assert output_name(first) == output_name(second)
    assert output_name(first) != output_name(other)
    assert output_name(first).startswith("data/") and output_name(first).endswith(".arrow")
    assert ":" not in output_name(first)


@pytest.mark.parametrize(
    ("type", "seen", "end"),
    [
        ("file", "file", ""),
        (".pkl", ".pkl", ".pkl"),
        (".sh", ".sh program", ".program.sh"),
        ("folder", "folder", ".folder"),
        ("folder", "folder a b", ".folder.named/a b"),
        (".bin", ".bin model.bin", ".named/model.bin"),
        (".sh", ".sh program run.sh", ".program.named/run.sh"),
    ],
)
def test_names_have_what_readers_see_of_files(type: str, seen: str, end: str) -> None:
    ref = OutputRef(ID, 0, 1, "", digest="xxh3_128:aa", checksum="bb", schema_digest=seen, type=type)
    stem = output_name(ref).removesuffix(end)
    assert stem.startswith("data/aa-") and stem.endswith("-bb")


def test_a_stored_output_is_fetched_when_it_is_read_and_once(place: Folder, tmp_path: Path) -> None:
    table = pa.table({"a": [1, 2]})
    ref = put_output(place, written(tmp_path, table))
    assert ref.is_remote and (ref.stored or "").startswith(f"{place.uri}/data/")
    fetched: list[str] = []

    class Counted(StoredOutputs):
        def get(self, stored: str, size: int | None = None) -> Path:
            fetched.append(stored)
            return super().get(stored, size)

    store = TableStore(tmp_path / "run", persistent=True, stored=Counted())
    assert store.register_file(ref) == ref
    published = store.wait_digest(ref)
    assert published.digest and not fetched
    readers = [threading.Thread(target=store.open, args=(ref,)) for _ in range(8)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert store.open(ref).equals(table)
    assert store.file(ref) == place.get(output_name(ref))
    assert fetched == [ref.stored]
    store.release(ref)
    store.close()
    assert place.size(output_name(ref)) == ref.size


@pytest.mark.parametrize("end", ["release", "discard", "close"])
def test_a_copy_is_used_until_the_store_lets_go_of_the_output(place: Folder, tmp_path: Path, end: str) -> None:
    ref = put_output(place, written(tmp_path, pa.table({"a": [1]})))
    cache = HostCache(tmp_path / "stores" / "boot" / "a")
    made = place.get(output_name(ref))
    place.get = lambda name, size=None: cache.get(name, lambda folder: made)  # type: ignore[method-assign, assignment]
    store = TableStore(tmp_path / "run", persistent=True, stored=StoredOutputs(place))
    store.register_file(ref)
    store.open(ref)
    copy = cache.folder / output_name(ref)
    assert copy.exists() and not remove_unlocked(copy)
    store.close() if end == "close" else getattr(store, end)(ref)
    assert remove_unlocked(copy)
    store.close()


def test_an_output_that_is_gone_is_told_apart_from_other_errors(place: Folder, tmp_path: Path) -> None:
    ref = put_output(place, written(tmp_path, pa.table({"a": [1]})))
    store = TableStore(tmp_path / "run", persistent=True, stored=StoredOutputs())
    store.register_file(ref)
    place.remove([output_name(ref)])
    with pytest.raises(NotStored, match="is not there any more"):
        store.open(ref)
    with pytest.raises(NotStored):
        store.file(ref)
    store.close()


def test_a_local_output_is_put_once_for_all(place: Folder, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    put: list[str] = []

    class Counted(Folder):
        def put(self, path: Path, name: str, *, moved: bool = True) -> int:
            put.append(name)
            return super().put(path, name, moved=moved)

    store = TableStore(tmp_path / "run", persistent=True, stored=StoredOutputs(Counted(place.path)))
    table = pa.table({"a": [1, 2, 3]})
    ref = store.publish(ID, 1, table)
    found: list[OutputRef] = []
    threads = [threading.Thread(target=lambda: found.append(store.stored(ref))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(put) == 1 and len({each.stored for each in found}) == 1
    assert found[0].path and Path(found[0].path).exists() and found[0].checksum
    assert store.stored(found[0]) is found[0]
    other = TableStore(tmp_path / "other", persistent=True, stored=StoredOutputs())
    other.register_file(replace(found[0], path=None))
    assert other.open(replace(found[0], path=None)).equals(table)
    other.close()
    store.close()


def test_any_file_can_be_put(place: Folder, tmp_path: Path) -> None:
    store = TableStore(tmp_path / "run", persistent=True, stored=StoredOutputs(place))
    scratch = written(tmp_path, pa.table({"a": [1]}))
    put = store.stored(replace(scratch, digest=None, checksum=None, schema_digest=None))
    assert put.checksum == scratch.checksum and put.stored
    store.close()


def test_an_output_is_put_by_its_content_not_by_its_id(place: Folder, tmp_path: Path) -> None:
    """The gathered input of a mapped node has the id of an output, and may be made again."""
    outputs = StoredOutputs(place)
    first, second = (written(tmp_path, pa.table({"a": [number]}), number) for number in (1, 2))
    put = [outputs.put(replace(ref, attempt=1)) for ref in (first, second)]
    assert put[0].stored != put[1].stored
    assert [outputs.get(ref.stored or "").read_bytes() for ref in put] == [
        Path(ref.path or "").read_bytes() for ref in (first, second)
    ]
    Path(first.path or "").unlink()
    written(tmp_path, pa.table({"a": [3]}), 1)  # another file of that name
    again = outputs.put(replace(first, digest=None, checksum=None, schema_digest=None))
    assert again.stored not in {ref.stored for ref in put}


def test_what_was_removed_is_put_again_when_its_node_has_run_again(place: Folder, tmp_path: Path) -> None:
    outputs, ref = StoredOutputs(place), written(tmp_path, pa.table({"a": [1]}))
    put = outputs.put(ref)
    place.remove([output_name(put)])
    assert outputs.put(replace(ref, attempt=2)).stored == put.stored
    assert place.size(output_name(put)) == ref.size


def handed_on(path: Path, type: str = ".txt") -> OutputRef:
    return hand_on(ID, 1, path, type)


def test_a_file_of_the_user_is_copied_into_the_place(place: Folder, tmp_path: Path) -> None:
    (path := tmp_path / "mine.txt").write_text("content")
    path.chmod(0o755)
    (folder := tmp_path / "folder").mkdir()
    (folder / "a").write_text("content")
    outputs = StoredOutputs(place)
    for ref in (handed_on(path), replace(handed_on(folder, "folder"), attempt=2)):
        put = outputs.put(ref)
        assert put.path == ref.path and put.stored
        found = outputs.get(put.stored)
        assert found.name == Path(ref.path or "").name
        assert content_of(found).digest == ref.checksum
        assert content_of(found).is_executable == (ref.type != "folder")
    assert not [found.name for found in place.names() if found.name.startswith("tmp/")]


def test_a_file_that_was_changed_since_it_was_read_is_not_put(place: Folder, tmp_path: Path) -> None:
    (path := tmp_path / "mine.txt").write_text("content")
    ref = handed_on(path)
    path.write_text("changed")
    with pytest.raises(HandoffError) as caught:
        StoredOutputs(place).put(ref)
    assert str(caught.value) == f"{path} was changed while the run was reading it: start the run again"
    assert list(place.names()) == []


def test_without_a_place_nothing_is_put(tmp_path: Path) -> None:
    store = TableStore(tmp_path / "run", persistent=True)
    assert store.place is None
    with pytest.raises(HandoffError, match="there is no place for the output 'node'"):
        store.stored(written(tmp_path, pa.table({"a": [1]})))
    store.close()

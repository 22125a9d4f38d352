"""A folder as a place: files and folders appear whole under their names, and never change."""

from __future__ import annotations

import errno
import os
import resource
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nfrun.tables.places.base import FileGone, PlaceError
from nfrun.tables.places.folder import Folder


@pytest.fixture
def place(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "store")


def file(path: Path, text: str = "content", mode: int = 0o644) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def folder(path: Path) -> Path:
    (path / "inner").mkdir(parents=True)
    file(path / "inner" / "a.txt")
    (path / "link").symlink_to("inner/a.txt")
    return path


def names(place: Folder) -> dict[str, int]:
    return {found.name: found.size for found in place.names()}


def test_a_file_is_moved_into_the_place_and_is_read_only(place: Folder, tmp_path: Path) -> None:
    made = file(tmp_path / "made")
    assert place.put(made, "data/a.arrow") == 7
    assert not made.exists()
    path = place.get("data/a.arrow")
    assert path.read_text() == "content"
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert place.size("data/a.arrow") == 7
    assert names(place) == {"data/a.arrow": 7}
    assert place.kept == (place.path,)


def test_what_lies_in_the_folder_of_the_place_is_renamed_not_copied(place: Folder) -> None:
    made = file(place.fresh_folder() / "made")
    number = made.stat().st_ino
    place.put(made, "data/a.arrow")
    assert place.get("data/a.arrow").stat().st_ino == number


def test_a_read_only_file_that_stays_is_linked(place: Folder, tmp_path: Path) -> None:
    made = file(tmp_path / "made", mode=0o444)
    place.put(made, "data/a.arrow", moved=False)
    assert place.get("data/a.arrow").stat().st_ino == made.stat().st_ino


def test_a_file_that_may_change_is_copied(place: Folder, tmp_path: Path) -> None:
    made = file(tmp_path / "made", mode=0o755)
    place.put(made, "data/a.sh", moved=False)
    made.write_text("changed")
    path = place.get("data/a.sh")
    assert path.read_text() == "content"
    assert os.access(path, os.X_OK)


@pytest.mark.parametrize("moved", [True, False])
def test_a_folder_is_put_whole(place: Folder, tmp_path: Path, moved: bool) -> None:
    made = folder(tmp_path / "made")
    assert place.put(made, "data/a.folder", moved=moved) == 7
    assert made.exists() is not moved
    path = place.get("data/a.folder")
    assert (path / "link").read_text() == "content"
    assert stat.S_IMODE((path / "inner" / "a.txt").stat().st_mode) == 0o444
    assert names(place) == {"data/a.folder": 7}


def test_a_name_that_is_there_stays_as_it_is(place: Folder, tmp_path: Path) -> None:
    place.put(file(tmp_path / "made"), "data/a.arrow")
    before = place.get("data/a.arrow").stat()
    place.put(again := file(tmp_path / "again"), "data/a.arrow")
    assert not again.exists()
    assert place.get("data/a.arrow").stat().st_ino == before.st_ino
    place.put(folder(tmp_path / "b"), "data/b.folder")
    place.put(folder(tmp_path / "b"), "data/b.folder")
    assert names(place) == {"data/a.arrow": 7, "data/b.folder": 7}


def test_a_truncated_file_or_folder_is_put_again(place: Folder, tmp_path: Path) -> None:
    for name, make in (("data/a.arrow", file), ("data/b.folder", folder)):
        place.put(make(tmp_path / "made"), name)
        path = place.get(name) if make is file else place.get(name) / "inner" / "a.txt"
        path.chmod(0o644)
        path.write_text("con")
        path.chmod(0o444)
        place.put(make(tmp_path / "made"), name)
    assert names(place) == {"data/a.arrow": 7, "data/b.folder": 7}


def test_what_writers_have_not_put_is_listed_apart(place: Folder) -> None:
    made = file(place.fresh_folder() / "made")
    assert list(names(place)) == [str(made.parent.relative_to(place.path))]
    assert next(iter(names(place))).startswith("tmp/")


def test_names_of_readers_own(place: Folder, tmp_path: Path) -> None:
    place.put(file(tmp_path / "made"), "data/x.named/model.bin")
    assert names(place) == {"data/x.named/model.bin": 7}
    place.remove(["data/x.named/model.bin"])
    assert names(place) == {} and not [*place.path.glob("data/*")]


def test_what_is_put_beside_a_removal_is_there(place: Folder, tmp_path: Path) -> None:
    def put_and_remove(number: int) -> None:
        for turn in range(50):
            name = f"data/{number}-{turn}.named/a"
            (made := tmp_path / f"made {number}").write_text("content")
            place.put(made, name)
            assert place.size(name) == 7
            place.remove([name])

    with ThreadPoolExecutor(4) as pool:
        for _ in pool.map(put_and_remove, range(4)):
            pass
    assert names(place) == {}


def test_removal_takes_read_only_folders_and_skips_what_is_not_there(place: Folder, tmp_path: Path) -> None:
    place.put(folder(tmp_path / "a"), "data/a.folder")
    place.put(file(tmp_path / "b"), "code/b.zip")
    place.remove(["data/a.folder", "data/c.arrow"])
    assert names(place) == {"code/b.zip": 7}
    assert place.size("data/a.folder") is None
    with pytest.raises(FileGone, match=r"store/data/a\.folder is not there any more"):
        place.get("data/a.folder")


def test_what_links_lead_to_is_neither_listed_nor_removed(place: Folder, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    file(tmp_path / "mine" / "x")
    place.put(file(tmp_path / "a"), "data/x")
    (place.path / "code").symlink_to(tmp_path / "mine")
    assert [*names(place)] == ["data/x"]
    place.remove(["data/x", "code/x"])
    assert (tmp_path / "mine" / "x").exists() and [*names(place)] == []
    place.remove_all()
    assert (tmp_path / "mine" / "x").exists()


def test_all_is_removed_at_once(place: Folder, tmp_path: Path) -> None:
    place.put(folder(tmp_path / "a"), "data/a.folder")
    place.fresh_folder()
    place.remove_all()
    place.remove_all()
    assert not place.path.exists()


def test_errors_say_what_and_where(place: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = file(tmp_path / "made")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "text")

    monkeypatch.setattr("nfrun.tables.places.folder.os.rename", full)
    with pytest.raises(PlaceError) as caught:
        place.put(made, "data/a.arrow")
    assert str(caught.value) == f"cannot write {place.path}/data/a.arrow: No space left on device"
    assert caught.value.errno == errno.ENOSPC
    assert made.exists()
    assert names(place) == {}


def test_a_full_disk(place: Folder, tmp_path: Path) -> None:
    """A limit for the size of files stands for it. What was written until then is removed."""
    made = file(tmp_path / "made", "x" * 100_000)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        with pytest.raises(PlaceError) as caught:
            place.put(made, "data/a.arrow", moved=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert str(caught.value) == f"cannot write {place.path}/data/a.arrow: File too large"
    assert made.exists()
    assert names(place) == {}


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_a_folder_that_is_not_writable(place: Folder, tmp_path: Path) -> None:
    made = file(tmp_path / "made")
    place.path.parent.chmod(0o555)
    try:
        with pytest.raises(PlaceError) as caught:
            place.put(made, "data/a.arrow")
    finally:
        place.path.parent.chmod(0o755)
    assert str(caught.value) == f"cannot write {place.path}/data/a.arrow: Permission denied"
    assert made.exists()


def test_a_missing_folder_has_nothing(place: Folder) -> None:
    assert names(place) == {}
    assert place.size("data/a.arrow") is None
    place.remove(["data/a.arrow"])
    assert not place.path.exists()

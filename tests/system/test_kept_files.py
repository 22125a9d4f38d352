"""The content of files and folders, and how they are kept."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from nfrun.system.atomic_files import remove
from nfrun.system.atomic_folders import copy_file, copy_folder
from nfrun.system.kept_files import Content, NotKeepable, content_of, keep, size_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a file, a program, a link and an empty folder."""
    made = tmp_path / "made"
    (made / "a" / "empty").mkdir(parents=True)
    (made / "a" / "x.txt").write_text("x")
    (made / "tool").write_text("#!")
    (made / "tool").chmod(0o755)
    (made / "link").symlink_to("a/x.txt")
    return made


def test_the_content_of_a_folder_has_a_size_and_a_number_of_files(folder: Path) -> None:
    found = content_of(folder)
    assert (found.size, found.files) == (3, 2)
    assert size_of(folder) == 3


def test_times_and_the_place_do_not_count(folder: Path, tmp_path: Path) -> None:
    before = content_of(folder)
    os.utime(folder / "a" / "x.txt", (1, 1))
    assert content_of(folder) == before
    assert content_of(folder.rename(tmp_path / "moved")) == before


def _make_empty(path: Path) -> None:
    (path / "b").mkdir()


def _link_elsewhere(path: Path) -> None:
    (path / "link").unlink()
    (path / "link").symlink_to("tool")


CHANGES: dict[str, Callable[[Path], object]] = {
    "content": lambda path: (path / "a" / "x.txt").write_text("y"),
    "a name": lambda path: (path / "a" / "x.txt").rename(path / "a" / "y.txt"),
    "another file": lambda path: (path / ".hidden").write_text(""),
    "an empty folder": _make_empty,
    "an executable bit": lambda path: (path / "tool").chmod(0o644),
    "where a link leads": _link_elsewhere,
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_readers_see_counts(folder: Path, what: str) -> None:
    before = content_of(folder).digest
    CHANGES[what](folder)
    assert content_of(folder).digest != before


def test_checksums_may_be_remembered(folder: Path) -> None:
    asked: list[str] = []

    def checksum(path: Path) -> str:
        asked.append(path.name)
        return "0"

    content_of(folder, checksum)
    assert asked == ["x.txt", "tool"]
    assert content_of(folder / "tool", checksum) == Content("0", 2, is_executable=True)


@pytest.mark.parametrize(
    ("target", "inside"),
    [("/etc/passwd", False), ("../other", False), ("a/../../other", False), ("a/empty", True), ("nothing", True)],
)
def test_links_may_not_lead_out(folder: Path, target: str, inside: bool) -> None:
    (folder / "new").symlink_to(target)
    if inside:
        assert content_of(folder)
        return
    with pytest.raises(NotKeepable) as caught:
        content_of(folder)
    what = f"'made/new' is a link that leads out of the folder, to {target}"
    assert str(caught.value) == f"{what} (put a copy of it there: cp -L)"


def test_a_link_by_way_of_another_link_may_not_lead_out(folder: Path) -> None:
    (folder / "a" / "b").mkdir()
    (folder / "a" / "b" / "top").symlink_to("../..")
    (folder / "new").symlink_to("a/b/top/../x")
    with pytest.raises(NotKeepable):
        content_of(folder)


def test_pipes_are_not_kept(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    with pytest.raises(NotKeepable, match="'made/pipe' is not an ordinary file"):
        content_of(folder)


def test_what_is_kept_is_moved_and_read_only(folder: Path, tmp_path: Path) -> None:
    node, final = (folder / "tool").stat().st_ino, tmp_path / "kept.1"
    keep(folder, final)
    assert not folder.exists()
    assert (final / "tool").stat().st_ino == node
    modes = {path.relative_to(final).as_posix(): path.lstat().st_mode & 0o222 for path in final.rglob("*")}
    assert {name: mode for name, mode in modes.items() if mode and name != "link"} == {}
    assert os.access(final / "tool", os.X_OK)
    assert final.stat().st_mode & 0o222 == 0
    remove(final)
    assert not final.exists()


def test_a_file_with_another_name_is_copied(tmp_path: Path) -> None:
    path, other, final = tmp_path / "a", tmp_path / "b", tmp_path / "kept"
    path.write_text("x")
    os.link(path, other)
    keep(path, final)
    other.write_text("changed")
    assert final.read_text() == "x"
    assert not path.exists()


def test_a_folder_with_a_file_that_has_another_name_is_copied(folder: Path, tmp_path: Path) -> None:
    other, final, before = tmp_path / "b", tmp_path / "kept", content_of(folder)
    other.write_text("x")
    (folder / "a" / "x.txt").unlink()
    os.link(other, folder / "a" / "x.txt")
    keep(folder, final)
    assert other.stat().st_mode & 0o200
    other.write_text("changed")
    assert content_of(final) == before
    assert not folder.exists()


def test_what_cannot_be_moved_is_copied(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, rename = content_of(folder), os.rename

    def refuse(source: Path, target: Path) -> None:
        if source == folder:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        rename(source, target)

    monkeypatch.setattr(os, "rename", refuse)
    keep(folder, tmp_path / "kept")
    assert content_of(tmp_path / "kept") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept"]


def test_a_copy_that_fails_leaves_nothing(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(source: Path, target: Path, **options: bool) -> None:
        target.mkdir()
        (target / "part").touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    os.link(folder / "tool", tmp_path / "other")
    monkeypatch.setattr("shutil.copytree", fill)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        keep(folder, tmp_path / "kept")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made", "other"]


def test_nothing_is_removed_where_nothing_is(tmp_path: Path) -> None:
    remove(tmp_path / "none")
    assert list(tmp_path.iterdir()) == []


def test_a_copy_takes_the_place_of_a_folder(folder: Path, tmp_path: Path) -> None:
    content = content_of(folder)
    keep(folder, tmp_path / "kept")
    target = tmp_path / "out" / "site"
    copy_folder(tmp_path / "kept", target)
    (target / "old").write_text("old")
    copy_folder(tmp_path / "kept", target)
    assert content_of(target) == content
    assert os.listdir(tmp_path / "out") == ["site"]  # noqa: PTH208
    assert target.stat().st_mode & 0o200
    (target / "a" / "x.txt").write_text("can be written")


def test_a_copy_takes_the_place_of_a_link(folder: Path, tmp_path: Path) -> None:
    real, link = tmp_path / "elsewhere" / "real", tmp_path / "link"
    real.mkdir(parents=True)
    (real / "old").touch()
    link.symlink_to(real)
    copy_folder(folder, link)
    assert not link.is_symlink() and content_of(link) == content_of(folder)
    assert [str(path.relative_to(real.parent)) for path in real.parent.rglob("*")] == ["real", "real/old"]
    copy_folder(folder, tmp_path / "elsewhere" / "real" / "..")  # no name of its own: the folder that it leads to
    assert content_of(real.parent) == content_of(folder)


def test_a_copy_replaces_no_pipe_or_device(tmp_path: Path) -> None:
    (source := tmp_path / "a.txt").touch()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for name in ("pipe", "link"):
        with pytest.raises(OSError, match="not an ordinary file"):
            copy_file(source, tmp_path / name)
    assert (tmp_path / "pipe").is_fifo() and (tmp_path / "link").is_symlink()


def test_folders_of_killed_writers_are_removed(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "out" / "site"
    monkeypatch.setattr("nfrun.system.atomic_folders.remove", lambda path: None)  # as if it were killed before that
    copy_folder(folder, target)
    copy_folder(folder, target)
    assert len(list(target.parent.iterdir())) > 1
    monkeypatch.undo()
    copy_folder(folder, target)
    assert [path.name for path in target.parent.iterdir()] == ["site"]


def test_a_copy_of_a_file_can_be_written_to(tmp_path: Path) -> None:
    source = tmp_path / "tool"
    source.write_text("x")
    source.chmod(0o555)
    copy_file(source, tmp_path / "out" / "tool")
    assert os.access(tmp_path / "out" / "tool", os.X_OK)
    assert (tmp_path / "out" / "tool").stat().st_mode & 0o200


def test_a_folder_does_not_take_the_place_of_a_file(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(NotADirectoryError):
        copy_folder(folder, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_folder_is_swapped_where_two_cannot_change_places(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can_exchange: bool
) -> None:
    if not can_exchange:
        monkeypatch.setattr("nfrun.system.atomic_folders._exchanged", lambda new, old: False)
    target = tmp_path / "site"
    for text in ("old", "new"):
        (folder / "tool").write_text(text)
        copy_folder(folder, target)
        assert (target / "tool").read_text() == text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made", "site"]

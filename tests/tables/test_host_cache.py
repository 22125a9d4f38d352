"""The copies on a machine: bounded, never removed while they are used, and safe for several processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nfrun.tables.places.host_cache import HostCache, default_folder


def fetched(content: bytes) -> object:
    def fetch(folder: Path) -> Path:
        (folder / "object").write_bytes(content)
        return folder / "object"

    return fetch


def get(cache: HostCache, name: str, size: int = 100) -> Path:
    return cache.get(name, fetched(bytes(size)))  # type: ignore[arg-type]


def names(cache: HostCache) -> list[str]:
    return sorted(str(path.relative_to(cache.folder)) for path in cache.folder.rglob("*") if path.is_file())


@pytest.fixture
def cache(tmp_path: Path) -> HostCache:
    return HostCache(tmp_path / "stores" / "boot" / "a", 250)


def test_what_was_used_longest_ago_goes_first(cache: HostCache) -> None:
    for number, name in enumerate(("data/a", "data/b")):
        os.utime(get(cache, name), (number, number))
    get(cache, "data/a")  # b is the older one now
    get(cache, "data/c")
    assert names(cache) == ["data/a", "data/c"]


@pytest.mark.parametrize("link", ["", "/boot", "/boot/mine", "/boot/mine/data", "/fresh"])
def test_what_links_lead_to_stays_unless_the_folder_itself_is_one(tmp_path: Path, link: str) -> None:
    target = tmp_path / "disk" / "x" / "y" / "z"
    target.mkdir(parents=True)
    (target / "big").write_bytes(bytes(300))
    os.utime(tmp_path / "disk" / "x", (0, 0))
    (tmp_path / f"stores{link}").parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / f"stores{link}").symlink_to(tmp_path / "disk")
    cache = HostCache(tmp_path / "stores" / "other" / "a", 250)
    get(cache, "data/a")
    assert (target / "big").exists() == bool(link)


def test_what_is_used_stays_whatever_it_takes(cache: HostCache) -> None:
    used = [get(cache, name) for name in ("data/a", "data/b", "data/c", "data/a")]
    assert names(cache) == ["data/a", "data/b", "data/c"]
    del used[:3]
    get(cache, "data/d")
    assert names(cache) == ["data/a", "data/d"]  # a is used once more
    used.clear()
    get(cache, "data/e")
    assert names(cache) == ["data/d", "data/e"]


def test_what_another_process_uses_stays_until_that_ends(cache: HostCache) -> None:
    code = (
        "import sys; from pathlib import Path; from nfrun.tables.places.host_cache import HostCache; "
        "used = HostCache(Path(sys.argv[1])).get('data/a', print); print(flush=True); sys.stdin.read()"
    )
    get(cache, "data/a")
    command = [sys.executable, "-c", code, str(cache.folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        for name in ("data/b", "data/c"):
            get(cache, name)
        assert "data/a" in names(cache)
        process.kill()
    get(cache, "data/d")
    assert "data/a" not in names(cache)


def test_copies_of_all_places_share_the_budget(cache: HostCache) -> None:
    other = HostCache(cache.folder.with_name("b"), 250)
    for each, name in ((cache, "data/a"), (cache, "data/x.named/b"), (other, "data/c")):
        get(each, name)
    assert len(names(cache)) + len(names(other)) == 2
    assert names(other) == ["data/c"]


def test_what_a_killed_process_left_is_removed(cache: HostCache) -> None:
    (cache.folder / "data" / "k.partial.d").mkdir(parents=True)
    (cache.folder / "data" / "k.partial.d" / "object").write_bytes(bytes(1000))
    (cache.folder / "data" / "l.partial").write_bytes(b"")
    old = cache.fresh_folder()
    (old / "made").write_bytes(bytes(1000))
    os.utime(old, (0, 0))
    new = cache.fresh_folder()
    get(cache, "data/a")
    assert names(cache) == ["data/a"]
    assert not old.exists() and new.exists()


def test_a_fetch_that_fails_leaves_nothing(cache: HostCache) -> None:
    def fail(folder: Path) -> Path:
        (folder / "object").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        cache.get("data/a", fail)
    assert names(cache) == []
    assert get(cache, "data/a").stat().st_size == 100


def test_a_copy_of_what_was_made_here_needs_no_fetch(cache: HostCache, tmp_path: Path) -> None:
    (made := tmp_path / "made").write_bytes(b"x")
    cache.adopt(made, "data/a")
    assert not made.exists()
    assert cache.get("data/a", lambda folder: pytest.fail("it was fetched")).read_bytes() == b"x"


def test_the_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "nfrun" / "stores"
    for value in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        assert default_folder() == Path.home() / ".cache" / "nfrun" / "stores"


def test_a_copy_of_another_size_is_fetched_anew(cache: HostCache) -> None:
    path = get(cache, "data/a")
    path.chmod(0o644)
    path.write_bytes(b"")
    assert cache.get("data/a", fetched(bytes(100)), 100).stat().st_size == 100  # type: ignore[arg-type]


def test_what_is_made_here_takes_the_place_of_a_damaged_copy(cache: HostCache, tmp_path: Path) -> None:
    for size in (0, 100):
        (made := tmp_path / "made").write_bytes(bytes(size))
        cache.adopt(made, "data/a")
    assert (cache.folder / "data/a").stat().st_size == 100


def test_copies_of_an_earlier_boot_count_and_go_first(cache: HostCache) -> None:
    before = HostCache(cache.folder.parents[1] / "earlier boot" / "a", 250)
    for name in ("data/a", "data/b"):
        os.utime(get(before, name), (0, 0))
    get(cache, "data/c")
    assert names(cache) == ["data/c"]
    assert len(names(before)) == 1


def folder(path: Path, size: int) -> Path:
    path.mkdir()
    (path / "file").write_bytes(bytes(size))
    return path


def test_a_folder_that_is_read_is_not_replaced(cache: HostCache, tmp_path: Path) -> None:
    name = "data/a.folder"
    cache.adopt(folder(tmp_path / "made", 50), name)
    used = cache.get(name, lambda folder: pytest.fail("it was fetched"))
    number = used.stat().st_ino
    for size in (50, 60):
        cache.adopt(folder(tmp_path / "made", size), name)
        assert not (tmp_path / "made").exists()
        assert (cache.folder / name).stat().st_ino == number
    del used
    cache.adopt(folder(tmp_path / "made", 60), name)
    assert (cache.folder / name / "file").stat().st_size == 60

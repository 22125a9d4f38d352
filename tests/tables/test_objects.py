"""Object storage as a place, on a real S3 server of this machine: what is asked of it, and what is believed."""

from __future__ import annotations

import errno
import io
import os
import signal
import stat
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nfrun.core.events import OutputRef
from nfrun.core.pipeline import OutputId
from nfrun.system.checksums import file_checksum, text_checksum
from nfrun.system.kept_files import content_of
from nfrun.tables.places.base import FileGone, PlaceError
from nfrun.tables.places.folder import open_place
from nfrun.tables.places.host_cache import boot_name
from nfrun.tables.places.objects import Objects, _packed, _unpacked
from nfrun.tables.places.stored_outputs import output_name
from tests.tables.s3_server import S3Server

S3 = tuple[S3Server, str]


def place_of(s3: S3, cache: Path | None = None) -> Objects:
    place = open_place(s3[1], cache)
    assert isinstance(place, Objects)
    return place


def made(path: Path, data: bytes = b"content", type: str = ".bin", seen: str = ".bin") -> tuple[Path, str]:
    """Make a file, and return its path and the name that its content gives it."""
    path.write_bytes(data)
    return path, name_of(path, type, seen)


def name_of(path: Path, type: str, seen: str) -> str:
    checksum = content_of(path).digest
    ref = OutputRef(OutputId("n", ""), 0, 0, "", digest="xxh3_128:aa", checksum=checksum, schema_digest=seen, type=type)
    return output_name(ref)


def asked(server: S3Server, name: str) -> list[str]:
    """Return the requests for an object, without the bucket and the ids of uploads, and forget them."""
    found = [request for request in server.requests if name in request]
    server.requests.clear()
    return [
        f"{r.split()[0]} {'&'.join(o for o in r.partition('?')[2].split('&') if 'Id' not in o)}".strip() for r in found
    ]


def test_a_small_object_is_written_with_one_request_and_read_with_two_by_all_of_a_machine(
    s3: S3, tmp_path: Path
) -> None:
    path, name = made(tmp_path / "made", b"x" * 4_999_999)
    writer = place_of(s3, tmp_path / "of writer")
    writer.put(path, name, moved=False)
    assert asked(s3[0], name) == ["PUT"]
    readers = [place_of(s3, tmp_path / "of readers") for _ in range(4)]
    threads = [threading.Thread(target=reader.get, args=(name,)) for reader in readers for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert asked(s3[0], name) == ["HEAD", "GET"]
    assert readers[0].get(name).read_bytes() == path.read_bytes()
    assert stat.S_IMODE(readers[0].get(name).stat().st_mode) == 0o444


FETCH = """
import sys
from nfrun.tables.places.folder import open_place

sys.stdin.readline()
open_place(sys.argv[1]).get(sys.argv[2])
"""


def test_processes_of_a_machine_fetch_an_object_once(s3: S3, tmp_path: Path) -> None:
    path, name = made(tmp_path / "made", bytes(1_000_000))
    place_of(s3, tmp_path / "of writer").put(path, name, moved=False)
    s3[0].requests.clear()
    command = [sys.executable, "-c", FETCH, s3[1], name]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, text=True) for _ in range(3)]
    try:
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.close()
        assert [process.wait(60) for process in processes] == [0, 0, 0]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert asked(s3[0], name) == ["HEAD", "GET"]


def test_a_large_object_takes_one_request_for_each_part(s3: S3, tmp_path: Path) -> None:
    path, name = made(tmp_path / "made", bytes(20_000_000))
    place = place_of(s3)
    place.put(path, name, moved=False)
    found = asked(s3[0], name)
    assert found[:2] == ["HEAD", "POST uploads"]
    assert len([each for each in found if each.startswith("PUT partNumber=")]) == len(found) - 3 == 2
    place.put(path, name, moved=False)
    assert asked(s3[0], name) == ["HEAD"]  # it is there
    assert place.get(name).read_bytes() == path.read_bytes()
    assert asked(s3[0], name) == ["HEAD", "GET", "GET"]


def test_what_was_put_here_is_not_fetched_again(s3: S3, tmp_path: Path) -> None:
    path, name = made(tmp_path / "made")
    place = place_of(s3)
    assert place.put(path, name) == 7
    assert not path.exists()
    assert place.get(name).read_bytes() == b"content"
    assert asked(s3[0], name) == ["PUT"]
    assert place.kept[0] in place.get(name).parents


def test_what_is_not_named_by_its_content_is_not_kept_here(s3: S3, tmp_path: Path) -> None:
    """Such as what a driver and a worker write to see whether they see the same place."""
    place = place_of(s3)
    (path := tmp_path / "made").write_text("content")
    place.put(path, "data/nonce-1.txt")
    assert not path.exists()
    assert asked(s3[0], "nonce") == ["PUT"]
    assert place.get("data/nonce-1.txt").read_text() == "content"
    assert asked(s3[0], "nonce") == ["HEAD", "GET"]
    place.remove(["data/nonce-1.txt"])
    assert not [*place.kept[0].rglob("nonce*")]
    with pytest.raises(FileGone):
        place_of(s3).get("data/nonce-1.txt")


def test_a_folder_is_one_object(s3: S3, tmp_path: Path) -> None:
    folder = tmp_path / "made"
    (folder / "inner").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "inner" / "run.sh").write_text("true")
    (folder / "inner" / "run.sh").chmod(0o755)
    (folder / "link").symlink_to("inner/run.sh")
    before, name = content_of(folder), name_of(folder, "folder", "folder")
    place_of(s3, tmp_path / "a").put(folder, name)
    reader = place_of(s3, tmp_path / "b")
    assert [found.name for found in reader.names()] == [name]
    assert content_of(reader.get(name)) == before
    assert os.access(reader.get(name) / "link", os.X_OK)
    assert not os.access(reader.get(name) / "link", os.W_OK) or os.getuid() == 0


def test_programs_and_names_of_readers_own(s3: S3, tmp_path: Path) -> None:
    path, name = made(tmp_path / "made", b"true", ".sh", ".sh program run it.sh")
    place_of(s3, tmp_path / "a").put(path, name)
    found = place_of(s3, tmp_path / "b").get(name)
    assert found.name == "run it.sh"
    assert os.access(found, os.X_OK)


def test_names_sizes_and_removal(s3: S3, tmp_path: Path) -> None:
    place = place_of(s3)
    assert list(place.names()) == []
    paths = [made(tmp_path / "made", bytes([number])) for number in range(3)]
    for number in range(3):
        path, name = made(tmp_path / "made", bytes([number]))
        place.put(path, name)
        assert place.size(name) == 1
    names = sorted(name for _, name in paths)
    found = sorted(place.names(), key=lambda each: each.name)
    assert [(each.name, each.size) for each in found] == [(name, 1) for name in names]
    assert all(each.modified > 1e9 for each in found)
    place.remove([names[0], "data/not-there"])
    assert sorted(each.name for each in place.names()) == names[1:]
    assert place.size(names[0]) is None
    place.remove_all()
    place.remove_all()
    assert list(place.names()) == []


def test_an_object_that_is_gone(s3: S3, tmp_path: Path) -> None:
    with pytest.raises(FileGone) as caught:
        place_of(s3).get("data/a.bin")
    address = s3[1].replace("/store?", "/store/data/a.bin?")
    assert str(caught.value) == f"{address} is not there any more"


@pytest.mark.parametrize("data", [b"", b"con", b"changed", b"content and more"])
@pytest.mark.parametrize("is_folder", [False, True])
def test_a_damaged_object_is_not_believed(s3: S3, tmp_path: Path, data: bytes, is_folder: bool) -> None:
    path = tmp_path / "made"
    if is_folder:
        path.mkdir()
        (path / "a").write_bytes(b"content")
    else:
        path.write_bytes(b"content")
    name = name_of(path, "folder" if is_folder else ".bin", "folder" if is_folder else ".bin")
    place = place_of(s3)
    place.put(path, name, moved=False)
    overwrite(place, name, data)
    with pytest.raises(FileGone, match="is damaged and was removed"):
        place.get(name)
    assert place.size(name) is None
    place.put(path, name, moved=False)
    assert content_of(place.get(name)) == content_of(path)


def entry(name: str, content: str = "x", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content) if not fields else 0
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content.encode()


LINK = {"type": tarfile.SYMTYPE}
HOSTILE: dict[str, list[tuple[tarfile.TarInfo, bytes]]] = {
    "a file above": [entry("../out/x")],
    "a file above, by a folder": [entry("a/../../out/x")],
    "a link above": [entry("a", **LINK, linkname="../out")],
    "an absolute link": [entry("a", **LINK, linkname="OUT")],
    "a file through a link": [entry("a", **LINK, linkname="OUT"), entry("a/x")],
    "a link through a link": [entry("a", **LINK, linkname="OUT"), entry("a/x", **LINK, linkname="y")],
    "a link through a link that was inside": [
        entry("s/x"),
        entry("a", **LINK, linkname="m/n/b/../../../out"),  # inside, as long as there is no b
        entry("m/n/b", **LINK, linkname="../../s"),
        entry("a/y", **LINK, linkname="z"),
    ],
    "a link by a deep link": [
        entry("p/q/x"),
        entry("d", **LINK, linkname="p/q"),
        entry("e", **LINK, linkname="d/../../../out"),
    ],
    "a hard link above": [entry("a", type=tarfile.LNKTYPE, linkname="../out/secret")],
    "a device": [entry("a", type=tarfile.CHRTYPE, devmajor=1, devminor=3)],
    "a pipe": [entry("a", type=tarfile.FIFOTYPE)],
    "a file for a folder": [entry("a"), entry("a/x")],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_tar_that_leads_out_of_its_folder_is_damaged(tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "secret").write_text("secret")
    with tarfile.open(tmp_path / "packed.tar", "w") as archive:
        for info, content in HOSTILE[name]:
            info.name, info.linkname = (text.replace("OUT", str(out)) for text in (info.name, info.linkname))
            archive.addfile(info, io.BytesIO(content) if info.isreg() else None)
    assert _unpacked(tmp_path / "packed.tar", tmp_path / "unpacked") is None
    assert [path.name for path in out.iterdir()] == ["secret"]


def test_an_absolute_file_in_a_tar_is_unpacked_into_its_folder(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "packed.tar", "w") as archive:
        info, content = entry(f"{tmp_path}/out")
        archive.addfile(info, io.BytesIO(content))
    unpacked = _unpacked(tmp_path / "packed.tar", tmp_path / "unpacked")
    assert unpacked is not None
    assert [path.name for path in unpacked.rglob("out")] == ["out"]
    assert not (tmp_path / "out").exists()


def test_what_a_tar_may_have(tmp_path: Path) -> None:
    made = tmp_path / "made"
    (made / "inner" / "deep").mkdir(parents=True)
    (made / "run").write_text("true")
    (made / "run").chmod(0o4775)
    (made / "same").hardlink_to(made / "run")
    for name, target in {"inner/up": "../run", "inner/deep/all": "../..", "gone": "inner/none", "loop": "loop"}.items():
        (made / name).symlink_to(target)
    unpacked = _unpacked(_packed(made, tmp_path / "packed.tar"), tmp_path / "unpacked")
    assert unpacked is not None and content_of(unpacked) == content_of(made)
    assert (unpacked / "run").stat().st_mode & 0o7777 == 0o755


def overwrite(place: Objects, name: str, data: bytes) -> None:
    with place._opened[0].open_output_stream(place._key(name)) as target:
        target.write(data)


UPLOAD = """
import sys
from pathlib import Path
from nfrun.tables.places.folder import open_place

open_place(sys.argv[1]).put(Path(sys.argv[2]), sys.argv[3], moved=False)
"""


def test_a_killed_upload_is_not_there(s3: S3, tmp_path: Path) -> None:
    server, uri = s3
    path, name = made(tmp_path / "made", bytes(21_000_000))
    with server.holding(lambda request: "partNumber=2" in request) as reached:
        process = subprocess.Popen([sys.executable, "-c", UPLOAD, uri, str(path), name])
        try:
            assert reached.wait(60)
            process.send_signal(signal.SIGKILL)
        finally:
            process.kill()
            process.wait()
    place = place_of(s3)
    assert place.size(name) is None
    assert list(place.names()) == []
    place.put(path, name, moved=False)
    assert file_checksum(place.get(name)) == file_checksum(path)


def test_an_upload_that_fails_midway_leaves_nothing(s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, name = made(tmp_path / "made", bytes(21_000_000))

    class Failing(io.FileIO):
        def read(self, size: int = -1) -> bytes:  # type: ignore[override]
            if self.tell():
                raise OSError(errno.EIO, "text")
            return super().read(size) or b""

    place = place_of(s3)
    monkeypatch.setattr(Path, "open", lambda path, mode: Failing(path, mode))  # noqa: PLW0108  (a class is no method)
    with pytest.raises(PlaceError, match=f"cannot write .*{name}.*: Input/output error"):
        place.put(path, name, moved=False)
    assert place.size(name) is None


def test_a_full_disk_for_copies(s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, name = made(tmp_path / "made")
    place = place_of(s3)
    place.put(path, name, moved=False)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "text")

    monkeypatch.setattr("nfrun.tables.places.objects.os.pwrite", full)
    with pytest.raises(PlaceError) as caught:
        place.get(name)
    address = s3[1].replace("/store?", f"/store/{name}?")
    copies = place.kept[0] / boot_name() / text_checksum(s3[1])
    assert str(caught.value) == f"cannot read {address} with a copy in {copies}: No space left on device"
    assert caught.value.errno == errno.ENOSPC


def test_keys_that_the_service_does_not_know(s3: S3, tmp_path: Path) -> None:
    path, name = made(tmp_path / "made")
    place, address = place_of(s3), s3[1].replace("/store?", f"/store/{name}?")
    with s3[0].refusing_keys():
        for what, wrong in (
            (lambda: place.put(path, name), f"cannot write {address}: AWS Error INVALID_ACCESS_KEY_ID "),
            (lambda: place.get(name), f"cannot read {address}: AWS Error ACCESS_DENIED "),
            (lambda: list(place.names()), f"cannot list {s3[1]}: AWS Error INVALID_ACCESS_KEY_ID "),
        ):
            with pytest.raises(PlaceError) as caught:
                what()
            assert str(caught.value).startswith(wrong)


def no_bucket(server: S3Server, uri: str, monkeypatch: pytest.MonkeyPatch) -> str:
    return server.uri("no-such-bucket/store")


def wrong_port(server: S3Server, uri: str, monkeypatch: pytest.MonkeyPatch) -> str:
    return "s3://bucket/store?endpoint_override=127.0.0.1%3A9&region=us-east-1&scheme=http"


def test_wrong_options_of_an_address(s3: S3, tmp_path: Path) -> None:
    with pytest.raises(PlaceError) as caught:
        open_place("s3://bucket/x?region=us-east-1&wrong=1").size("data/a")
    what = "cannot read s3://bucket/x/data/a?region=us-east-1&wrong=1"
    assert str(caught.value) == f"{what}: Unexpected query parameter in S3 URI: 'wrong'"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (no_bucket, "AWS Error NO_SUCH_BUCKET "),
        # Arrow tries three times, for six seconds.
        pytest.param(wrong_port, "AWS Error NETWORK_CONNECTION ", marks=pytest.mark.slow),
    ],
)
def test_a_service_that_cannot_be_used(
    s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[..., str], why: str
) -> None:
    uri = change(*s3, monkeypatch)
    path, name = made(tmp_path / "made")
    with pytest.raises(PlaceError) as caught:
        open_place(uri).put(path, name)
    assert str(caught.value).startswith(f"cannot write {uri.replace('/store?', f'/store/{name}?')}: {why}")
    assert path.exists()

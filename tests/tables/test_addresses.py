"""Addresses of places and of what is in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from nfrun.tables.places.base import PlaceError, address_of, place_and_name
from nfrun.tables.places.folder import open_place

NO_FOLDER = "is no folder: write file:///FOLDER (with %3F for ?, and %23 for #)"
PLACES = ["file:///srv/a%20b/data/7f", "s3://bucket/x/data/7f?endpoint_override=localhost%3A9000&scheme=http"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", ["data/x.arrow", "code/1f.zip", "data/y.named/a b?#%.bin", "data/y.named/data"])
def test_an_address_leads_back_to_its_place_and_name(place: str, name: str) -> None:
    if name.endswith("/data"):
        name += ".bin"
    assert place_and_name(address_of(place, name)) == (place, name)


@pytest.mark.parametrize(
    "address", ["", "file:///srv/x", "file:///srv/data/", "file:///srv/data/%2E%2E", "s3://b/data/a/b/c"]
)
def test_what_is_no_address_of_an_output_is_refused(address: str) -> None:
    with pytest.raises(PlaceError, match="is no address of an output"):
        place_and_name(address)


def test_a_path_and_its_uri_are_the_same_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    uri = (tmp_path / "a b").as_uri()
    assert [open_place(each).uri for each in ("a b", "./x/../a b", str(tmp_path / "a b"), uri, uri + "/")] == [uri] * 5
    assert not (tmp_path / "a b").exists()


def test_no_place_can_be_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    wrong = {
        f"{tmp_path}/file": f"the store {tmp_path}/file cannot be a folder: {tmp_path}/file is a file",
        f"{tmp_path}/file/a/b": f"the store {tmp_path}/file/a/b cannot be a folder: {tmp_path}/file is a file",
        "file://host/srv": f"the store file://host/srv {NO_FOLDER}",
        "s3://AKIA7:geheim@bucket/x": "the store s3://***@bucket/x holds credentials: leave them out, and set them in "
        "the environment",
        "s3://bucket/x?secret_key=geheim": "the store s3://bucket/x holds credentials: leave them out, and set them in "
        "the environment",
        "ftp7://host/x": "the store ftp7://host/x is of an unknown kind: it is a path, or begins with file://, "
        "s3://, gs://, gcs://",
        "s3://b/x?AccessKey=geheim": "the store s3://b/x holds credentials: leave them out, and set them in "
        "the environment",
        "s3://b/x?endpoint_override=http%3A%2F%2Fuser%3Apw%40host": "the store s3://b/x holds credentials: leave them "
        "out, and set them in the environment",
        "file:///a?b": f"the store file:///a?b {NO_FOLDER}",
        "s3:///x": "the store s3:///x names no bucket (s3://BUCKET/FOLDER)",
        "": "an empty name is no store",
    }
    for uri, message in wrong.items():
        with pytest.raises(PlaceError) as caught:
            open_place(uri)
        assert str(caught.value) == message

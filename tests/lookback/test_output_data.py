"""What a page shows of outputs that are files and folders, and of those that are gone."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from kept_runs import Kept, finished, output

from nfrun.lookback.page.output_data import OutputContents
from nfrun.lookback.page.run_data import masked
from nfrun.lookback.run_reference import find_run
from nfrun.system.kept_files import content_of
from nfrun.system.logs.redaction import Redactor

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 100


def shown(
    folder: Path, type: str, content: bytes | dict[str, bytes] | None, room: int = 50_000, *, damage: bool = False
) -> dict[str, Any]:
    """What the page shows of an output of this type with this content, of a folder by the names of its files."""
    kept = Kept(folder)
    name = f"a.1{type if type.startswith('.') else ''}"
    path = kept.add(1, nodes=[finished("a", outputs=(output("a", 0, type=type, file=name),))]) / name
    if isinstance(content, dict):
        for inner, data in content.items():
            (path / inner).parent.mkdir(parents=True, exist_ok=True)
            (path / inner).write_bytes(data)
    elif content is not None:
        path.write_bytes(content)
    there = content_of(path) if content is not None else None
    known = {"checksum": there.digest, "size": there.size} if there else {}
    found = output("a", 0, type=type, file=name, **known)
    if damage:
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    return OutputContents(find_run(kept.work, None)).of(found, room)


def test_pictures_are_whole_or_left_out(tmp_path: Path) -> None:
    found = shown(tmp_path / "one", ".png", PNG)
    assert found == {
        "kept": True,
        "media": {"type": "image/png", "data": base64.b64encode(PNG).decode(), "cut": False},
    }
    large = shown(tmp_path / "two", ".png", PNG + b"\0" * 400_000)
    assert large == {"kept": True, "not_shown": "It is not shown: it has 400 kB."}
    wrong = shown(tmp_path / "three", ".png", b"no pixel")
    assert wrong == {"kept": True, "not_shown": "It is not shown: it is no PNG picture."}
    assert "media" in shown(tmp_path / "four", ".svg", b"<?xml version='1.0'?><svg></svg>")


@pytest.mark.parametrize(
    ("type", "media"),
    [(".html", "text/html"), (".md", "text/markdown"), (".json", "application/json"), (".txt", "text/plain")],
)
def test_texts_are_shown_with_their_type(tmp_path: Path, type: str, media: str) -> None:
    assert shown(tmp_path, type, "<b>ä".encode())["media"] == {"type": media, "data": "<b>ä", "cut": False}


def test_long_texts_are_cut_between_characters(tmp_path: Path) -> None:
    found = shown(tmp_path, ".txt", "ä".encode() * 40_000, room=2_001)["media"]
    assert (found["data"], found["cut"]) == ("ä" * 1_000 + "…", True)


@pytest.mark.parametrize("type", [".txt", ".html"])
def test_no_part_of_a_secret_stays_where_a_text_is_cut(tmp_path: Path, type: str) -> None:
    secret = "SUPERSECRET-and-more-of-it"
    for before in range(19_970, 20_000):
        found = shown(tmp_path / str(before), type, b"-" * before + secret.encode() + b"-" * 100)
        text = masked(found, Redactor([secret]))["media"]["data"].strip("-…")
        assert text in ("***", "S", "SU", ""), text  # fewer than three characters tell nothing


@pytest.mark.parametrize("data", [b"\0\1\2", b"\xff\xfe" * 40, b"abc\0def", b"gr\xfc\xdfe", "grüße".encode("utf-16")])
def test_of_other_files_nothing_is_shown(tmp_path: Path, data: bytes) -> None:
    assert shown(tmp_path, "file", data) == {"kept": True, "not_shown": "It is not shown: it is no text in UTF-8."}


def test_an_empty_file_is_an_empty_text(tmp_path: Path) -> None:
    assert shown(tmp_path, "file", b"")["media"] == {"type": "text/plain", "data": "", "cut": False}


def test_the_first_files_of_a_folder_are_named(tmp_path: Path) -> None:
    found = shown(tmp_path, "folder", {f"in/{i:02}.txt": b"x" for i in range(25)})
    assert (found["files"][0], len(found["files"]), found["more_files"]) == ("in/00.txt", 20, 5)


def test_a_damaged_file_is_not_shown(tmp_path: Path) -> None:
    found = shown(tmp_path, ".txt", b"all is well", damage=True)
    assert (found["kept"], "media" in found) == (False, False)
    assert " is damaged and is not used; to make it again: nfrun run" in found["gone"]


def test_a_large_file_is_not_checked_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nfrun.lookback.page.output_data._LARGEST_CHECKED", 10)
    assert shown(tmp_path / "a", ".txt", b"eleven char")["unchecked"] is True
    assert "unchecked" not in shown(tmp_path / "b", ".txt", b"ten chars.")


def test_what_is_gone_says_so(tmp_path: Path) -> None:
    found = shown(tmp_path, ".txt", None)
    assert found["kept"] is False
    assert found["gone"].startswith("the file of ")
    assert " in run 1 was removed; to make it again: nfrun run" in found["gone"]

"""The page as text: what is in it without a browser."""

from __future__ import annotations

import gzip
import json
import re
from base64 import b64decode, b64encode
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nfrun
from nfrun.lookback.page.html_page import BEGIN, render_page
from tests.lookback.documents import HOSTILE, document, hostile, many, node, shop

ASSETS = Path(nfrun.__file__).parent / "lookback" / "page" / "assets"


class Read(HTMLParser):
    """The elements of a page with their attributes, and the texts outside of scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.open = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open = tag
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self.open, []).append(data)


def data_of(page: str) -> Any:
    """The document in a page."""
    found = re.search(r'<script type="application/gzip" id="document">([A-Za-z0-9+/=]*)</script>', page)
    assert found
    return json.loads(gzip.decompress(b64decode(found[1])))


def test_the_document_is_in_the_page_as_it_was() -> None:
    made = shop()
    assert data_of(render_page(made)) == json.loads(json.dumps(made))


def test_a_page_is_the_same_each_time() -> None:
    assert render_page(shop()) == render_page(shop())


def test_numbers_that_json_lacks_become_texts() -> None:
    made = document([node("a", 0.0, cpu=float("nan"), outputs=[{"id": "a", "first_rows": [[float("inf"), 1.5]]}])])
    found = data_of(render_page(made))["nodes"][0]
    assert (found["cpu"], found["outputs"][0]["first_rows"]) == ("nan", [["inf", 1.5]])


def test_hostile_texts_are_no_markup() -> None:
    read = Read(render_page(hostile()))
    tags = [tag for tag, _ in read.elements]
    assert tags.count("script") == 2
    assert {"img", "iframe", "object"}.isdisjoint(tags)
    assert not [name for _, attributes in read.elements for name in attributes if name.startswith("on")]
    assert any("<script>window.hacked = 1</script>" in text for text in read.texts["bdi"])
    assert r"abc\u202egpj.exe" in "".join(read.texts["p"])
    assert "\u202e" not in "".join("".join(texts) for texts in read.texts.values())
    render_page(hostile()).encode()  # no lone surrogate is left


def test_the_policy_allows_the_one_script_and_no_network() -> None:
    page = render_page(shop())
    policy = next(a["content"] for tag, a in Read(page).elements if a.get("http-equiv") == "Content-Security-Policy")
    script = page.split('<script type="module">')[1].split("</script>")[0]
    digest = b64encode(sha256(script.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )


def test_nothing_points_outside_of_the_page() -> None:
    read = Read(render_page(shop()))
    links = [
        attributes[name] or "" for _, attributes in read.elements for name in ("href", "src") if name in attributes
    ]
    assert links and not [link for link in links if not link.startswith(("#", "data:"))]
    sources = "".join(path.read_text(encoding="utf-8") for path in ASSETS.iterdir())
    assert set(re.findall(r"https?://[^\s\"'`]+", sources)) == {"http://www.w3.org/2000/svg"}  # a name, not an address


def test_scripts_make_no_markup_of_texts() -> None:
    sources = {path.name: path.read_text(encoding="utf-8") for path in ASSETS.glob("*.js")}
    for forbidden in (
        "innerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
    ):
        assert not [name for name, text in sources.items() if forbidden in text], forbidden
    # In a frame without scripts, and without what makes connections.
    for only in ("srcdoc", "outerHTML"):
        assert [name for name, text in sources.items() if only in text] == ["values.js"], only
    assert not re.search(
        r"(outerHTML|srcdoc)\s*\+?=(?!=)", sources["values.js"].replace("frame.srcdoc = policy + markup;", "")
    )


def test_scripts_can_be_made_lean_line_by_line() -> None:
    """Indents and comments are left out of a page, so no text of a script may go over lines."""
    for path in ASSETS.glob("*.js"):
        for line in path.read_text(encoding="utf-8").splitlines():
            assert line.strip().startswith("//") or line.count("`") % 2 == 0, f"{path.name}: {line}"


def test_what_a_reader_needs_first_is_there_without_scripts() -> None:
    page = render_page(shop())
    read = Read(page)
    assert read.texts["title"][0] == "shop 12: failed"
    text = " ".join(part for texts in read.texts.values() for part in texts)
    for part in (
        "2025-11-27 14:50:00 UTC",
        "builder-3",
        "2.24 s",
        "nfrun run shop.yaml -p country=DE",
        "nightly",
        "8 cores, 33.0 GB of memory",
        "KeyError",
        "'price'",
        "shop.yaml:21:3",
        "steps.py:21 in total",
        "pyarrow 26.0.1",
        "orders -> load/split",
    ):
        assert part in text, part
    assert page.startswith(BEGIN.decode())


def test_a_command_can_be_pasted_and_a_failure_that_is_allowed_says_so() -> None:
    failed = node("a", 0.0, status="failed", tolerated=True, error={"type": "E", "message": "m"})
    page = render_page(document([failed], command=["nfrun", "run", "my file.yaml", "-p", "a=$b"]))
    assert "nfrun run &#39;my file.yaml&#39; -p &#39;a=$b&#39;" in page
    assert "(1 tolerated)" in page


def test_many_failures_are_counted_and_the_first_are_shown() -> None:
    failed = [
        node(f"n{index}", 0.0, status="failed", error={"type": "E", "message": "x" * 5000}) for index in range(30)
    ]
    text = render_page(document(failed, status="failed"))
    assert text.count('<article class="failure">') == 10
    assert "… and 20 more in the table of nodes" in text
    assert "x" * 2001 not in text


def test_pages_are_small() -> None:
    assert len(render_page(shop())) < 150_000
    assert len(render_page(many(1_000))) < 3_000_000


def test_texts_without_an_end_are_escaped_in_full() -> None:
    for text in HOSTILE:
        page = render_page(document([], pipeline=text))
        assert [tag for tag, _ in Read(page).elements].count("script") == 2

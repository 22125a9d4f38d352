"""The site of the documentation: built strictly, complete, without anything from a network, and with a search."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.docs.pages import PAGES, ROOT
from tests.lookback.browser import Browser, why_no_browser

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("material", reason="needs what the extra 'docs' installs")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(folder)]
    environ = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_page_is_there_and_loads_nothing_from_a_network(site: Path) -> None:
    for page in PAGES:
        name = "index" if page == "README.md" else page.removeprefix("docs/").removesuffix(".md")
        file = site / f"{name}.html" if not name.endswith("/README") else site / name.replace("README", "index.html")
        text = file.read_text(encoding="utf-8")
        assert not re.findall(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=\"?(?:https?:)?//", text), page
        assert "<!-- not run" not in text and "<!-- sh" not in text, page


def test_no_link_is_dead(site: Path) -> None:
    dead = {}
    for file in {*site.rglob("*.html")} - {site / "404.html"}:  # links of that are for a server
        for link in re.findall(r'(?:href|src)="([^"#?]+)[^"]*"', file.read_text(encoding="utf-8")):
            if not re.match(r"[a-z]+:", link) and not (file.parent / unquote(link)).resolve().is_file():
                dead[link] = file.name
    assert not dead


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    if why := why_no_browser():
        pytest.skip(why)
    browser = Browser(tmp_path)
    yield browser
    browser.close()


def test_search_finds_a_page_in_a_folder(site: Path, browser: Browser) -> None:
    browser.driver.get(f"{(site / 'index.html').as_uri()}?q=exit codes")
    browser.wait("document.querySelectorAll('.md-search-result__link').length > 0")
    links = browser.js("[...document.querySelectorAll('.md-search-result__link')].map(link => link.href)")
    assert any("reference/exit-codes.html" in link for link in links), links


def test_the_commands_of_a_session_are_copied_without_their_output(site: Path, browser: Browser) -> None:
    browser.driver.get((site / "map.html").as_uri())
    button = (
        "[...document.querySelectorAll('.highlight')].find(each => each.querySelector('.gp')).querySelector('button')"
    )
    browser.wait(f"{button} !== null")
    browser.driver.execute_script(f"{button}.click()")
    copied = browser.js(f"{button}.getAttribute('data-clipboard-text')")
    assert copied.splitlines() == [
        "nfrun run words.yaml -q",
        "nfrun open words --format csv",
        "nfrun open parts --format csv",
    ]

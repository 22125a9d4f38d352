"""One browser for all tests of a process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from nfrun.lookback.page.html_page import render_page
from tests.lookback.browser import Browser, why_no_browser

Show = Callable[..., Browser]


@pytest.fixture(scope="session")
def only_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if why := why_no_browser():
        pytest.skip(why)
    browser = Browser(tmp_path_factory.mktemp("chromium"))
    try:
        yield browser
    finally:
        browser.close()


@pytest.fixture
def browser(only_browser: Browser) -> Browser:
    """The browser, with the usual window and no emulation."""
    only_browser.size()
    only_browser.media()
    return only_browser


@pytest.fixture
def show(browser: Browser, tmp_path: Path) -> Show:
    """Opens the page of a document, at a hash such as `#node=a`."""

    def opened(document: Mapping[str, Any], place: str = "") -> Browser:
        page = tmp_path / "page.html"
        page.write_text(render_page(document), encoding="utf-8")
        browser.open(page, place)
        return browser

    return opened

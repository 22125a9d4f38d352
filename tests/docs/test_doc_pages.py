"""Every example in the README, in `docs/` and in the READMEs of pipelines is run, and shows what it says."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.docs.page_outputs import comparable
from tests.docs.pages import PAGES, ROOT, blocks, is_slow, run_page

MARKS = {page: {block.mark for block in blocks(page)} for page in PAGES}
FAST = [page for page in PAGES if None in MARKS[page] and not is_slow(page)]
SLOW = [page for page in PAGES if "slow" in MARKS[page] or is_slow(page)]
LINKED = [*PAGES, "CHANGELOG.md", "CONTRIBUTING.md", "bench/README.md", "pipelines/flights/data/README.md"]
# Why blocks are not run. A new reason is a decision.
NOT_RUN = {
    "a prompt": 1,
    "a part of a file; the tests of triage and rag run the files": 1,
    "a service runs it": 5,
    "it changes the files of your shell": 1,
    "it is another tool": 4,
    "installs packages into your environment; a test of plug-ins does it in one of its own": 2,
    "needs Kubernetes": 1,
    "needs a cluster of several machines": 1,
    "needs a real endpoint": 1,
    "needs certificates": 1,
    "needs jq": 1,
    "takes hours": 1,
    "takes minutes; `pytest -m slow` runs a tenth of it": 1,
    "the tests do not run themselves": 1,
    "there is no wrong trial": 1,
}


@pytest.mark.parametrize("page", FAST)
def test_a_page_is_true(page: str, tmp_path: Path) -> None:
    run_page(page, tmp_path, slow=False)


@pytest.mark.slow
@pytest.mark.parametrize("page", SLOW)
def test_a_page_is_true_with_its_slow_examples(page: str, tmp_path: Path) -> None:
    run_page(page, tmp_path, slow=True)


def test_few_examples_are_not_run() -> None:
    found = Counter(str(block.why) for page in PAGES for block in blocks(page) if block.mark == "not run")
    assert found == NOT_RUN


def test_every_file_on_a_page_has_its_name_above() -> None:
    """GitHub does not show titles of blocks."""
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        assert not re.findall(r"^ *```\w* title=.*", text, re.MULTILINE), page


def test_every_page_is_in_the_navigation_of_the_site() -> None:
    told = re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(told) == sorted("index.md" if page == "README.md" else page.removeprefix("docs/") for page in LINKED)


@pytest.mark.parametrize("page", LINKED)
def test_links_lead_to_files_and_headings(page: str) -> None:
    text = _without_code((ROOT / page).read_text(encoding="utf-8"))
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = unquote(link).partition("#")
        file = (ROOT / page).parent / path if path else ROOT / page
        assert file.is_file(), f"{page}: there is no file {link}"
        if anchor and file.suffix == ".md":
            assert anchor in _anchors(file), f"{page}: no heading for {link}"


def _without_code(text: str) -> str:
    return re.sub(r"^ *```.*?^ *```|`[^`\n]+`", "", text, flags=re.MULTILINE | re.DOTALL)


def _anchors(file: Path) -> set[str]:
    """The anchors of the headings, as GitHub makes them."""
    text = re.sub(r"^ *```.*?^ *```", "", file.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_what_differs_from_run_to_run_is_masked() -> None:
    told = "✓ b  1.5 ms  3 rows\n✓ a  20 us  1 row\nx: ok, 2 ran, 0.3 s\nrun 3-20261126-204711 today 20:47:11\n"
    other = "✓ a  3 ms  1 row\n✓ b  4 s  3 rows\n\nx: ok, 2 ran, 1.25 s\nrun 3-20270101-000000 today 00:00:00\n"
    assert comparable(told) == comparable(other)
    assert comparable("3 rows") != comparable("4 rows")
    stages = "1 a 1.5 ms 3 ms 3.7\n2 b 1 s 2 s 1.0\nsequential 12.4 s -> 6.35 s (2.0x)\n"
    assert comparable(stages) == comparable("1 a 1 us 2 us 0.1\n2 b 3 ms 9 ms 0.0\n")
    assert comparable(stages) != comparable(stages.replace("2 b", "2 c"))


def test_the_readme_shows_files_of_the_repository() -> None:
    shown = [block for block in blocks("README.md") if block.title]
    assert shown
    for block in shown:
        assert (ROOT / str(block.title)).read_text(encoding="utf-8") == block.text


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150

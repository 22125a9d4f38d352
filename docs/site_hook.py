"""Adds the pages outside of `docs/` to the site, and lets links between pages work as they do in the repository."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
OUTSIDE = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "bench/README.md", "pipelines/**/README.md")
_LINK = re.compile(r"(\]\(|(?:src|srcset|href)=\")(?![a-z]+:|#)([^)\s\"#]+)")
_CAPTION = re.compile(r"^`([^`\n]+)`:\n(```+\w+)(.*)$", re.MULTILINE)
_CODE = re.compile(r"`[^`\n]*`")
_COMMENT = re.compile(r"^<!--.*?-->\n?", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: Any) -> Files:
    """Add the pages, and the files that pages link to, under their paths in the repository."""
    pages = sorted(path for pattern in OUTSIDE for path in ROOT.glob(pattern) if not _is_hidden(path))
    for path in pages:
        files.append(File.generated(config, _place(_name(path)), abs_src_path=str(path)))
    for file in [*files.documentation_pages()]:
        for name in _linked(Path(str(file.abs_src_path))):
            if not name.startswith("docs/") and not name.endswith(".md") and not files.get_file_from_path(name):
                files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Change links to the places of files in the site, and leave comments out."""
    source = _name(Path(page.file.abs_src_path))
    here = posixpath.dirname(page.file.src_uri)

    def moved(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link[2]))
        return link[1] + posixpath.relpath(_place(target), here or ".")

    markdown = _CAPTION.sub(r'\n\2 title="\1"\3', markdown)
    parts = re.split(r"(^ *```.*?^ *```$)", markdown, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if i % 2 else _in_markdown(_LINK.sub(moved, part)) for i, part in enumerate(parts))


def _in_markdown(text: str) -> str:
    """Leave out comments, and the backslashes before `|` in code in tables, which only GitHub needs."""
    return _CODE.sub(lambda code: code[0].replace("\\|", "|"), _COMMENT.sub("", text))


def _linked(page: Path) -> set[str]:
    """The files in the repository that a page links to."""
    folder = posixpath.dirname(_name(page))
    found = {posixpath.normpath(posixpath.join(folder, link[2])) for link in _LINK.finditer(page.read_text("utf-8"))}
    return {name for name in found if (ROOT / name).is_file()}


def _place(name: str) -> str:
    """The place in the site of a file of the repository."""
    return "index.md" if name == "README.md" else name.removeprefix("docs/")


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") or part == "out" for part in path.relative_to(ROOT).parts)

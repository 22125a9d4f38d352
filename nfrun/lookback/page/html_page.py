"""Makes a run's document into one HTML file that needs nothing else: no network, no other script or font.

The template has what is readable without scripts: how the run ended, and what failed. The scripts in `assets/` draw
the rest from the document, which is in the page as gzip in base64. Texts of a node never become markup: the template
escapes them, and the scripts make text nodes of them.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import math
import shlex
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import ChainableUndefined, Environment, Template
from markupsafe import Markup

from nfrun.core.text import escape_controls
from nfrun.reports.format_units import format_seconds, format_size

BEGIN = b"<!doctype html><!-- a run of nfrun -->"  # the first bytes of every page: such a file may be replaced
_ASSETS = Path(__file__).parent / "assets"
# One module in this order: each uses what those before it define.
_SCRIPTS = (
    *("dom", "format", "document", "values", "node"),
    *("table_rows", "table"),
    *("axis", "timeline_rows", "timeline_bars", "timeline_input", "timeline"),
    *("layout", "graph_boxes", "graph_input", "graph"),
    *("change", "main"),
)
_LEVEL = 6  # of gzip: 9 takes three times as long for 1 % less
_MOST_FAILURES = 10  # with their messages at the top; the others are in the table of nodes
_MOST_CHARACTERS = 2_000  # of a message there


def render_page(document: Mapping[str, Any]) -> str:
    """Return the page of a run's document, which is described in `run_data.py`. The text has no lone surrogates."""
    script, failures = _script(), [node for node in document["nodes"] if node.get("status") == "failed"]
    return _template().render(
        begin=Markup(BEGIN.decode()),
        run=document["run"],
        failures=sorted(failures, key=lambda node: bool(node.get("tolerated"))),  # what failed the run comes first
        tolerated=sum(bool(node.get("tolerated")) for node in failures),
        most_failures=_MOST_FAILURES,
        styles=Markup(_styles()),
        script=Markup(script),
        script_hash=b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        data=Markup(_packed(document)),
    )


def page_name(pipeline: str, number: int) -> str:
    """Return a name for the file of a page, from the name of the pipeline file and the number of the run."""
    return f"{Path(pipeline).stem}-{number}.html"


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=ChainableUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(
        words=shlex.join, shown=_shown, seconds=format_seconds, count=_count, time=_time, size=format_size, link=_link
    )
    return environment.from_string(_asset("page.html.j2"))


@cache
def _styles() -> str:
    return _lean(_asset("page.css"))


@cache
def _script() -> str:
    return "\n" + "".join(_lean(_asset(f"{name}.js")) for name in _SCRIPTS)


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


def _lean(text: str) -> str:
    """Return a script or styles without indents, empty lines and lines that are comments."""
    lines = map(str.strip, text.splitlines())
    return "".join(f"{line}\n" for line in lines if line and not line.startswith(("// ", "/* ")))


def _packed(document: Mapping[str, Any]) -> str:
    """Return the document as JSON, gzip and base64: in base64 is nothing that ends an element or begins a comment."""
    try:
        text = json.dumps(document, separators=(",", ":"), allow_nan=False)
    except ValueError:  # JavaScript reads no NaN and no infinity
        text = json.dumps(_finite(document), separators=(",", ":"))
    return b64encode(gzip.compress(text.encode(), _LEVEL, mtime=0)).decode()


def _finite(value: Any) -> Any:
    """Return a JSON value with texts in the place of NaN and infinity."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {name: _finite(part) for name, part in value.items()}
    return [*map(_finite, value)] if isinstance(value, list | tuple) else value


def _shown(value: Any, most: int = _MOST_CHARACTERS) -> str:
    """Return a value as text, with control characters escaped and its end cut off."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return escape_controls(text if len(text) <= most else f"{text[:most]}…")


def _count(number: float) -> str:
    return f"{number:,}"


def _link(node: str) -> str:
    return quote(node.encode(errors="replace"), safe="")


def _time(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")

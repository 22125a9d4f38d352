"""Writes the parts of the pages in `docs/reference/` that say what schemas, options and docstrings say.

Each part stands between two comments in its page. Run `python docs/make_reference.py` after a change of these; with
`--check` it writes nothing, and leaves with 1 if a page is out of date.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import nfrun
import nfrun.testing
from nfrun.cli.commands import all_commands
from nfrun.code.watch import seen_files
from nfrun.core.calls import MOST_RUNNING
from nfrun.core.events import JSON_KEYS, Event, event_name
from nfrun.core.values import MISSING, fields
from nfrun.nodes.python_context import Context
from nfrun.nodes.texts import script_files
from nfrun.pipeline_file.axes import MAX_ID, MAX_NODES
from nfrun.pipeline_file.cells import MAX_CELLS
from nfrun.pipeline_file.expressions import MAX_DATES, MAX_SIZE
from nfrun.pipeline_file.subpipelines import MAX_LEVELS
from nfrun.pipeline_file.yaml import text_file
from nfrun.pipeline_file.yaml.document import MAX_DEPTH
from nfrun.system.logs import node_logs
from nfrun.system.units import LONGEST
from nfrun.tables.table_folders import MOST_PARTITIONS

DOCS = Path(__file__).parent
SCHEMAS = DOCS.parent / "schemas"
MOST_IN_ONE = 12  # options of a command without headings
Schema = Mapping[str, Any]
# What is code in the texts of schemas and options, which are plain text.
_CODE = re.compile(
    r"\$\{\{ [\w.]+ \}\}|\{(?:[^{}]|\{[^{}]*\})*\}|'\w+'|\$NFRUN_\w+(?:<\w+>)?|\b[A-Z]+_[A-Z_]+\b|\$name"
    r"|nfrun run file\.yaml(?: -\S+ [\w=]+)?|(?<![\w-])--?[a-z][\w-]*|matrix\.<axis>(?:\.<?\w+>?)?|module:function"
)
# The parts of the schema of pipeline files that get a table, with their headings.
TABLES = {
    "": "At the top of the file",
    "properties/params/additionalProperties": "A parameter",
    "properties/inputs/additionalProperties": "An input of the file",
    "properties/profiles/additionalProperties": "A profile",
    "$defs/node": "A node",
    "$defs/input": "An input of a node",
    "$defs/axis": "An axis of a matrix",
    "$defs/map": "map",
    "$defs/checks/items": "A check",
    "$defs/retries": "retries",
    "$defs/resources": "resources of a node",
    "$defs/last_node": "A node under on_failure and finally",
}
DOCUMENTS = {"run": ("run", "node", "output", "check"), "plan": ("plan", "node"), "validate": ("validation", "problem")}


def pipeline_file() -> Iterator[str]:
    schema = json.loads((SCHEMAS / "pipeline.schema.json").read_text(encoding="utf-8"))
    for path, heading in TABLES.items():
        part = schema
        for name in filter(None, path.split("/")):
            part = part[name]
        part = {**next((p for p in part.get("anyOf", ()) if "properties" in p), {}), **part}
        yield f"## {heading}"
        if path and part.get("description"):
            yield cell(part["description"])
        yield from table(schema, part)


def table(schema: Schema, part: Schema, *, tells_required: bool = True) -> Iterator[str]:
    """The properties of a part of a schema."""
    rows = ["| key | value | |", "| --- | --- | --- |"]
    for name, value in part["properties"].items():
        found = resolve(schema, value)
        required = " Required." if tells_required and name in part.get("required", ()) else ""
        rows.append(f"| `{name}` | {kind_of(found)} | {cell(found.get('description', ''))}{required} |")
    yield "\n".join(rows)


def resolve(schema: Schema, part: Schema) -> Schema:
    """Follow a reference within the schema. What stands beside the reference is added, or wins."""
    if "$ref" not in part:
        return part
    found: Any = schema
    for name in part["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    base = resolve(schema, found)
    own = {key: value for key, value in part.items() if key != "$ref"}
    if "properties" in own:
        own["properties"] = {**base["properties"], **own["properties"]}
    return {**base, **own}


def kind_of(part: Schema) -> str:
    """The types of a value in the words of YAML, or the values that are allowed."""
    if "enum" in part:
        return ", ".join(f"`{json.dumps(value).strip(chr(34))}`" for value in part["enum"])
    if "const" in part:
        return f"`{json.dumps(part['const'])}`"
    types = part.get("type", [])
    found = [types] if isinstance(types, str) else [*types]
    for other in (*part.get("anyOf", ()), *part.get("oneOf", ())):
        found += [kind for kind in kind_of(other).split(", ") if kind]
    words = {"object": "mapping", "array": "list", "boolean": "true or false", "string": "text"}
    return ", ".join(dict.fromkeys(words.get(kind, kind) for kind in found))


def commands() -> Iterator[str]:
    for name, (_, options, text) in all_commands().items():
        declared = [option for option in fields(options) if not option.metadata["settings"].get("hidden")]
        declared.sort(key=lambda option: bool(option.metadata["flags"]))  # arguments come first
        arguments = [option for option in declared if not option.metadata["flags"]]
        takes_file = any("--pipeline" in option.metadata["flags"] for option in declared)
        words = ["[FILE]"] * takes_file + [_argument(option) for option in arguments]
        yield f"## {name}"
        yield cell(text)
        yield f"`nfrun {' '.join([name, *words, '[OPTIONS]'])}`"
        groups: dict[str, list[Any]] = {}
        for option in declared:
            groups.setdefault(option.metadata["group"] if len(declared) > MOST_IN_ONE else "", []).append(option)
        for group, options_of_group in groups.items():
            if group:
                yield f"**{group}**"
            rows = [f"| {flags_of(option)} | {help_of(option)} |" for option in options_of_group]
            yield "\n".join(["| | |", "| --- | --- |", *rows])


def _argument(option: Any) -> str:
    word = str(option.metadata["settings"].get("metavar", option.name.upper()))
    word += "..." if option.metadata["kind"] == list[Path] else ""
    return word if option.default is MISSING or word.startswith("[") else f"[{word}]"


def flags_of(option: Any) -> str:
    flags, settings = option.metadata["flags"], option.metadata["settings"]
    value = settings.get("metavar") or "|".join(option.metadata["choices"])
    if not flags:
        return f"`{value or option.name.upper()}`"
    value = value or ("" if option.metadata["kind"] is bool else "TEXT")
    last = f"{flags[-1]} {value}".strip().replace("|", "\\|")
    return ", ".join(f"`{flag}`" for flag in (*flags[:-1], last))


def help_of(option: Any) -> str:
    default = option.default
    says = option.metadata["settings"].get("show_default", True)
    says = says and option.metadata["flags"]
    told = f" Default: `{default}`." if says and isinstance(default, (str, int)) and default not in ("", False) else ""
    return cell(option.metadata["settings"].get("help", "")) + told


def documents() -> Iterator[str]:
    for name, parts in DOCUMENTS.items():
        schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
        yield f"## nfrun {name} --json"
        yield cell(schema["description"])
        for part in parts:
            if part != parts[0]:
                yield f"### {part} in {name}"
            yield from table(schema, resolve(schema, schema["$defs"][part]), tells_required=False)
    yield from events()
    yield "## nfrun show --json"
    yield "`nfrun schema show` prints the schema of `run`, which also has a recorded run, its nodes and their cells."


def events() -> Iterator[str]:
    yield "## nfrun run --events FILE"
    yield (
        "Each line is a JSON object with `event`, its name, and `at`, the seconds since the run began. Keys may be "
        "added; those that are there stay. An output is an object with its `id`, `type`, `rows`, `bytes`, `schema`, "
        "`path`, `digest` and the like."
    )
    rows = ["| event | keys | when |", "| --- | --- | --- |"]
    for kind in get_args(Event):
        doc = docstring(kind).partition("\n")[0]
        if not re.search("engine only|^Orders", doc):  # those are in no file
            keys = [JSON_KEYS.get(field.name, field.name) for field in fields(kind) if field.name != "at"]
            rows.append(f"| `{event_name(kind)}` | {', '.join(f'`{key}`' for key in keys)} | {cell(doc)} |")
    yield "\n".join(rows)


def limits() -> Iterator[str]:
    schema = json.loads((SCHEMAS / "pipeline.schema.json").read_text(encoding="utf-8"))
    rows = {
        "size of a pipeline file": f"{text_file.MAX_BYTES >> 20} MiB",
        "mappings and lists in each other, in a file": MAX_DEPTH,
        "sub-pipelines in each other": MAX_LEVELS,
        "characters of the id of a node": MAX_ID,
        "cells of a node": MAX_CELLS,
        "nodes of a pipeline with a matrix": MAX_NODES,
        "characters or items that an expression makes": MAX_SIZE,
        "days or hours that `dates` makes": MAX_DATES,
        "parts of a `map`": schema["$defs"]["map"]["properties"]["parts"]["anyOf"][0]["maximum"],
        "calls of a node that are under way at once": MOST_RUNNING,
        "partitions that a node writes": MOST_PARTITIONS,
        "files that a script names, to be compared in the next run": script_files.MOST_FILES,
        "files that an attempt opened, to be compared in the next run": seen_files.MOST_FILES,
        "bytes of these files": f"{seen_files.MOST_BYTES // 1000**3} GB",
        "timeouts and delays": f"{round(LONGEST / 86400)} days",
        "lines of a stream that a run shows": node_logs._MOST_LINES,
    }
    shown = (
        f"| {what} | {most:,} |" if isinstance(most, int) else f"| {what} | {most} |" for what, most in rows.items()
    )
    yield "\n".join(["| what | at most |", "| --- | --- |", *shown])


def python() -> Iterator[str]:
    names = sorted(nfrun._MODULES) + sorted(
        name for name, value in vars(nfrun).items() if inspect.isclass(value) and value.__module__ == "nfrun"
    )
    for name in sorted(dict.fromkeys(names), key=lambda name: (_rank(getattr(nfrun, name)), name)):
        yield from python_object(f"nfrun.{name}", getattr(nfrun, name))
    yield from python_object("nfrun.testing.run_node", nfrun.testing.run_node)
    yield from python_object("context", Context)


def _rank(value: Any) -> int:
    """Functions come first, then classes, then errors."""
    return inspect.isclass(value) + (inspect.isclass(value) and issubclass(value, Exception))


def python_object(name: str, value: Any) -> Iterator[str]:
    yield f"## {name}"
    if inspect.isclass(value) and issubclass(value, Exception):
        yield docstring(value)
        return
    if not inspect.isclass(value):
        yield code(f"{name}{signature(value)}")
        yield docstring(value)
        return
    yield docstring(value)
    members = {
        name: found
        for part in reversed(value.__mro__)
        if part.__module__.startswith("nfrun")
        for name, found in vars(part).items()
    }
    for member, found in members.items():
        if member.startswith("_") or not (doc := inspect.getdoc(found)) or doc == inspect.getdoc(type(found)):
            continue
        if inspect.isfunction(found):
            yield code(f".{member}{signature(found)}")
            yield doc
        else:
            yield f"`.{member}`: {doc}"


def signature(value: Callable[..., Any]) -> str:
    text = re.sub(r"(: |-> )'([^']*)'", r"\1\2", str(inspect.signature(value)))
    text = re.sub(r"\bnfrun\.[\w.]+\.(\w+)", r"\1", text)
    return re.sub(r"\((self|cls)(, )?", "(", text)


def code(text: str) -> str:
    return f"`{text}`"


def docstring(value: Any) -> str:
    return inspect.getdoc(value) or ""


def cell(text: str) -> str:
    """Text for a cell of a table: what looks like code is code, and `|` is no border."""
    text = " ".join(text.split())
    text = _CODE.sub(lambda found: f"`{found[0].strip(chr(39))}`", text)
    return text.replace("|", "\\|").replace("***", "`***`")


PARTS = {
    "pipeline-file": pipeline_file,
    "commands": commands,
    "json": documents,
    "limits": limits,
    "python": python,
}


def pages() -> Iterator[tuple[Path, str]]:
    """The pages with their text as it should be."""
    for name, make in PARTS.items():
        file = DOCS / "reference" / f"{name}.md"
        head, begin, rest = file.read_text(encoding="utf-8").partition(
            f"<!-- made by docs/make_reference.py: {name} -->\n"
        )
        _, end, tail = rest.partition("<!-- end -->")
        assert begin and end, f"{file} has no place for what is made"
        yield file, head + begin + "\n" + "\n\n".join(make()) + "\n\n" + end + tail


def main(check: bool) -> int:
    stale = [(file, text) for file, text in pages() if file.read_text(encoding="utf-8") != text]
    for file, text in stale:
        print(f"{file} {'is out of date: run python docs/make_reference.py' if check else 'written'}")
        if not check:
            file.write_text(text, encoding="utf-8")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))

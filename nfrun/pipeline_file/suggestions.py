"""Suggests what the user probably meant by a key or value that the schema rejects.

`schema.py` and `loader.py` put these hints into diagnostics.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from nfrun.core.pipeline import LAST_SECTIONS
from nfrun.core.text import closest_match, ellipsize
from nfrun.nodes.registry import KINDS, written_kinds
from nfrun.pipeline_file.yaml.document import Keys
from nfrun.tables.formats import format_of

# For each key of a file, a node or a check, the words that other tools use for it. Kinds of node have theirs in
# `Says.synonyms`. Messages about other mappings name all of their keys.
_SYNONYMS = {
    "nodes": ("steps", "tasks", "jobs", "stages", "models", "flow", "dag", "ops"),
    "needs": ("depends_on", "depends", "dependencies", "dependency", "requires", "after", "upstream", "wait_for"),
    "inputs": ("input", "in"),
    "outputs": ("output", "outs", "out", "returns", "artifacts"),
    "with": ("args", "arguments", "kwargs", "options", "op_kwargs", "params", "parameters"),
    "packages": ("requirements", "libraries", "libs", "pip", "conda"),
    "files": ("deps", "deps_files", "file_deps", "file_dep", "input_files", "sources", "watch", "paths"),
    "checks": ("tests", "test", "data_tests", "expectations", "assertions", "assert", "validations", "constraints"),
    "schema": ("dtypes", "types", "column_types"),
    "not_null": ("required",),
    "unique": ("primary_key", "distinct"),
    "enum": ("accepted_values", "isin", "is_in", "one_of", "allowed"),
    "range": ("between", "min_max", "in_range", "accepted_range"),
    "match": ("regex", "pattern", "matches", "like"),
    "references": ("relationships", "foreign_key", "relationship"),
    "fresh": ("freshness", "recency"),
    "rows": ("row_count", "count", "num_rows"),
    "retries": ("retry", "max_retries", "attempts"),
    "if": ("when", "condition", "only_if", "run_if", "enabled", "unless", "skip_if"),
    "continue_on_error": (
        *("continue-on-error", "allow_failure", "allow_failures", "ignore_errors", "ignore_error", "ignore_failure"),
        *("soft_fail", "tolerate", "can_fail", "optional"),
    ),
    "on_failure": ("on_error", "on_fail", "failure", "on_failure_callback", "on_failure_do", "rescue"),
    "finally": ("always", "cleanup", "clean_up", "teardown", "on_exit", "after_all", "ensure", "post", "onexit"),
    "timeout": ("execution_timeout", "timeout_seconds", "timeout-minutes", "time_limit"),
    "params": ("parameters", "vars", "variables", "args", "inputs"),
    "description": ("desc", "doc", "docs", "help", "comment", "title"),
    "defaults": ("default_args", "config", "settings"),
    "profiles": ("profile", "environments", "targets"),
    "env": ("environment", "envs"),
    "timezone": ("tz", "time_zone", "zone"),
    "secrets": ("secret", "credentials", "sensitive"),
    "resources": ("cpu", "cpus", "pool_slots"),
}

_MAP_KEYS = (
    *("batch", "batch_size", "chunk_size", "chunksize", "over", "by", "group_by", "parts", "keep", "explode"),
    "max_failed",
)
_MATRIX_KEYS = (
    *("strategy", "foreach", "for_each", "forEach", "split", "scatter", "expand", "with_items", "partitions"),
    "mapspec",
)
_LIMITS = (
    *("max_parallel", "max-parallel", "concurrency", "pool", "pools", "queue", "semaphore", "max_concurrency"),
    *("rate_limit", "rate-limit", "ratelimit", "rate", "throttle", "rps", "max_active_tasks"),
)
KEYS = {
    "include": "nfrun cannot do that yet",
    **dict.fromkeys(
        _MATRIX_KEYS,
        "known values make a 'matrix': {fold: [0, 1, 2]}; for the rows of an input there is 'map': {over: rows}",
    ),
    **dict.fromkeys(
        ("model", "http"),
        "a class in a python node, loaded once, or a function, which 'map' calls for the rows of an input",
    ),
    **dict.fromkeys(_MAP_KEYS, "it stands under 'map': {over: input, batch: 64}"),
    "zip": "combinations that are no product are one axis of mappings: case: [{id: a, …}, {id: b, …}]",
    "exclude": "it stands inside 'matrix'",
    **dict.fromkeys(
        ("gather", "where", "columns"), "it stands in an input: inputs: {name: {from: node, gather: concat}}"
    ),
    **dict.fromkeys(
        _LIMITS,
        "'resources' limits what runs at once: {api: 4} or {api: 50/s} at the top, and {api: 1} in a node",
    ),
    "uses": "a plug-in is 'use: NAME', another pipeline 'pipeline: other.yaml'; of actions there is none",
    "deps": "did you mean 'files'? nodes that it waits for go under 'needs'",
    **dict.fromkeys(("image", "container", "docker"), "nfrun starts no containers; a 'run' node can call docker run"),
    "trigger_rule": "an input says what happens without it: 'else' or 'optional'; what runs in any case stands under "
    "'finally' at the top of the file",
    **dict.fromkeys(
        ("on", "schedule", "schedule_interval", "cron", "start_date", "catchup"),
        "a pipeline starts when somebody runs it; leave that to cron or CI",
    ),
    **dict.fromkeys(("gpu", "gpus", "num_gpus"), "it stands under 'resources': {gpu: 1}"),
    **dict.fromkeys(("memory", "mem", "ram"), "it stands under 'resources': {memory: 4GB}"),
    "disk": "it stands under 'resources', with a budget at the top: {disk: 20GB}",
    **dict.fromkeys(("budget", "budgets", "limits"), "did you mean 'resources'?"),
    **dict.fromkeys(
        ("cwd", "wdir", "workdir", "working-directory", "working_dir"),
        "a script starts in the pipeline's folder; use cd in it",
    ),
    **dict.fromkeys(("name", "id", "task_id"), "the name of a node is the key above it"),
    "secrets": "name them at the top of the file; a 'run' node gets one by its 'env'",
    "cache": "a node says it, or 'defaults' for all of them",
    "if": "a node says it",
    "version": "files of nfrun have no version",
    **dict.fromkeys(("kind", "type", "operator", "task"), f"the kind is a key: {', '.join(written_kinds())}"),
    "stage": "stages follow from 'inputs' and 'needs'",
}
# What nodes can have that run when all others have ended.
LAST_KINDS = [name for name, kind in KINDS.items() if kind.runs.may_be_last]
LAST_SETTINGS = ("if", "continue_on_error", "format", "retries", "timeout", "env", "description")
_AT_THE_END = frozenset(word for key in ("on_failure", "finally") for word in (key, *_SYNONYMS[key]))
_KIND_LATER = ("model", "http", "uses", "image", "container", "docker", "task", "operator", "kind")

# What to do instead of naming a file here.
FILE_HINTS = {
    "inputs": "a file is read by a node of its own, as in 'read: data.csv', or stands under 'files'",
    "outputs": "these are names; 'outputs: {name: file}' hands a file on, and a 'write' node writes one",
    "needs": "these are names of nodes; a file stands under 'files'",
}
SETTINGS = (
    *("if", "continue_on_error", "format", "retries", "timeout", "executor", "cache", "resources", "env", "packages"),
    *("tags", "timezone", "description"),
)
_MOST_KEYS, _MAX_LISTED = 16, 6  # of more keys, a message names a few
_GRAPH_KEYS = ("inputs", "with", "outputs", "schema", "checks", "needs", "files", "matrix", "map")
_NAMED = {"inputs": "input", "with": "value", "env": "variable", "outputs": "output"}
_THINGS = {
    **dict.fromkeys(("nodes", *LAST_SECTIONS), "a node"),
    "params": "a parameter",
    "inputs": "an input",
    "env": "an environment variable",
    "resources": "a budget",
    "outputs": "an output",
    "with": "a value",
}


def node_keys() -> list[str]:
    """Return the keys that a node may have: a kind, what all nodes have, and settings of single kinds."""
    of_kinds = [key for kind in written_kinds().values() for key in kind.says.settings]
    return list(dict.fromkeys([*written_kinds(), *_GRAPH_KEYS, *SETTINGS, *of_kinds]))


def meant(word: str, known: Iterable[str]) -> str | None:
    """Return the entry of `known` that `word` is a synonym or a misspelling of, None if there is none."""
    choices = list(known)
    synonyms = {**_SYNONYMS, **{name: kind.says.synonyms for name, kind in KINDS.items()}}
    return next((key for key in choices if word.lower() in synonyms.get(key, ())), None) or closest_match(word, choices)


def means_kind(key: str) -> bool:
    """Whether an unknown key of a node was probably meant as its kind."""
    return key in _KIND_LATER or meant(key, node_keys()) in written_kinds()


def name_of(path: Keys) -> str:
    """Return the name of the value at this path for a message, such as "node 'join'"."""
    if not path:
        return "a pipeline file"
    last = path[-1]
    if isinstance(last, int):
        return f"an item of '{path[-2]}'"
    sort = (
        {**dict.fromkeys(("nodes", *LAST_SECTIONS), "node "), "params": "parameter "}.get(str(path[0]), "")
        if len(path) == 2
        else ""
    )
    if not sort and len(path) >= 2 and path[-2] in _NAMED and (path[0] != "nodes" or len(path) == 4):
        sort = f"{_NAMED[str(path[-2])]} "
    return f"{sort}'{ellipsize(last)}'"


def thing_in(path: Keys) -> str:
    """Return what a key names in the mapping at this path, such as "an input"."""
    return _THINGS.get(str(path[-1]) if path else "", "a value")


def place_of(path: Keys) -> str:
    """Return the name of the mapping at this path for a message about its keys, such as "a node"."""
    if len(path) == 2 and path[0] in LAST_SECTIONS:
        return f"a node under '{path[0]}'"
    if not path or (len(path) == 2 and path[0] in ("nodes", "params")):
        return thing_in(path[:1]) if path else "a pipeline file"
    return f"'{ellipsize(str(path[-1]))}'"


def unknown_key(key: str, value: Any, known: list[str], path: Keys) -> str:
    """Return the hint for an unknown key of the mapping at `path`, whose keys are `known`."""
    is_node = len(path) == 2 and path[0] == "nodes"
    if is_node and key.lower() in _AT_THE_END:
        return "nodes that run at the end stand under 'finally' or 'on_failure' at the top of the file"
    if key in KEYS and (is_node or (not path and key not in _KIND_LATER)):
        return KEYS[key]
    if len(path) == 2 and path[0] in ("profiles", *LAST_SECTIONS) and key in node_keys():
        return f"there is {', '.join(known)}"
    word, colon, rest = key.partition(":")
    if colon and word in known:
        return f"write a space after the ':', as in '{word}: {ellipsize(rest.strip() or '…')}'"
    if guess := meant(key, known):
        return f"did you mean '{guess}'?"
    if value is None and " " in key:
        return "a text with a ',' needs quotes inside { }"
    if not path and isinstance(value, dict) and any(kind in value for kind in written_kinds()):
        return "if this is a node, indent it below 'nodes'"
    if len(known) <= _MOST_KEYS:
        return f"there is {', '.join(known)}"
    others = [name for name in known if name not in KINDS]
    return f"there is {', '.join(others[:_MAX_LISTED])}, …: 'nfrun schema' has all"


def means_map(key: str) -> bool:
    """Whether a key of a node that is unknown was probably meant as its map, or as a part of that."""
    return key in _MAP_KEYS or (key not in node_keys() and closest_match(key, node_keys()) == "map")


def other_value(value: str, choices: Iterable[str]) -> str:
    """Return the hint for a text that is none of the choices."""
    guess = closest_match(value, choices)
    return f"did you mean '{guess}'?" if guess else ""


def wrong_type(path: Keys, value: Any, schema: Mapping[str, Any]) -> str:
    """Return the hint for a value of the wrong type."""
    if isinstance(value, str) and schema["type"] == "object" and (key := re.match(r"[a-z_]+:(?=\S)", value)):
        word = key[0][:-1]
        if len(path) == 2 and path[0] == "nodes" and word not in node_keys() and not meant(word, node_keys()):
            return f"did you mean {{python: {ellipsize(value, 100)}}}?"
        return f"write a space after '{key[0]}'"
    if is_node_key(path):
        return f"if '{path[-1]}' is a key of the node above it, indent it like its other keys"
    if isinstance(value, list) and path == ("nodes",):
        return "write the name of each node, such as 'extract:', where '- ' stands"
    if isinstance(value, list) and len(path) == 2 and path[0] == "nodes":
        return "a node is no list: remove the '- '"
    if isinstance(value, dict) and "from" in value and path[2:3] == ("inputs",) and path[-1] != "else":
        return f"give it a name: inputs: {{{ellipsize(str(value['from']))}: {ellipsize(_flow(value), 100)}}}"
    if isinstance(value, str) and schema["type"] != "string" and re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value):
        return "remove the quotes"
    if isinstance(value, bool | int | float) and schema["type"] == "string" and schema.get("pattern", r"\S") == r"\S":
        return "put it in quotes"
    return example(path, schema)


def example(path: Keys, schema: Mapping[str, Any]) -> str:
    """Return an example from the schema as a hint, or else the schema's message ("" if it has none)."""
    if not path or isinstance(path[-1], int) or not schema.get("examples"):
        return str(schema.get("patternErrorMessage", ""))
    return f"for example {ellipsize(path[-1])}: {_flow(schema['examples'][0])}"


def repair(path: Keys, value: str, schema: Mapping[str, Any]) -> str:
    """Return the hint for a text that does not match the schema's pattern: a correction, or else its message."""
    key = str(path[-2] if isinstance(path[-1], int) and len(path) > 1 else path[-1])
    if len(path) > 2 and looks_like_file(value) and (instead := FILE_HINTS.get(str(path[2]))):
        return instead
    corrections = KINDS[key].says.corrections(value) if key in KINDS else ()
    likely = (value.strip(), *corrections, *([value.partition(".")[0]] if key == "needs" else []))
    fits = next((text for text in likely if text != value and re.search(schema["pattern"], text)), None)
    parts = re.split(r"[,\s]+", value.strip(" ,[]"))
    if key in ("inputs", "needs") and len(parts) > 1 and all(re.search(schema["pattern"], part) for part in parts):
        return f"did you mean [{ellipsize(', '.join(parts))}]?"
    return f"did you mean '{ellipsize(fits)}'?" if fits else str(schema.get("patternErrorMessage", ""))


def looks_like_file(text: str) -> bool:
    """Return whether a text is rather the name of a file than a reference."""
    return "/" in text or format_of(text) is not None or text.endswith((".py", ".sql", ".sh", ".json", ".txt"))


def is_node_key(path: Keys) -> bool:
    """Whether the path has a key of a node, such as `inputs`, in the place of a node's name."""
    return len(path) == 2 and path[0] == "nodes" and path[1] in node_keys()


def is_stray_node(path: Keys, value: Mapping[str, Any], key: str) -> bool:
    """Whether `key` is a node at the top level of a file that has no 'nodes'."""
    body = value[key]
    return (
        not path and "nodes" not in value and isinstance(body, dict) and any(kind in body for kind in written_kinds())
    )


def _flow(value: Any) -> str:
    """Return a small value as one line of YAML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{ellipsize(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    return "[" + ", ".join(map(_flow, value)) + "]" if isinstance(value, list) else ellipsize(str(value))

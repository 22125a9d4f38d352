"""Suggests what the user probably meant by a key or value that the schema rejects.

`schema.py` and `loader.py` put these hints into diagnostics.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from nfrun.core.pipeline import LAST_SECTIONS
from nfrun.core.text import closest_match, ellipsize, shortened
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
    "match": ("regex", "pattern", "matches", "like"),
    "retries": ("retry", "max_retries", "attempts"),
    "if": ("when", "condition", "only_if", "run_if", "enabled", "unless", "skip_if"),
    "continue_on_error": (
        *("continue-on-error", "allow_failure", "allow_failures", "ignore_errors", "ignore_error", "ignore_failure"),
        *("soft_fail", "tolerate", "can_fail", "optional"),
    ),
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

_MAP_KEYS = ("batch", "batch_size", "chunk_size", "over", "by", "group_by", "parts", "keep", "explode", "max_failed")
_MATRIX_KEYS = ("strategy", "foreach", "for_each", "split", "scatter", "expand", "with_items", "partitions", "zip")
_AT_THE_END = ("on_failure", "finally", "on_error", "on_fail", "always", "cleanup", "teardown", "on_exit", "post")
_LIMITS = ("max_parallel", "concurrency", "pool", "queue", "max_concurrency", "rate_limit", "rate", "throttle")
KEYS = {
    **dict.fromkeys(_MATRIX_KEYS, "known values make a 'matrix': {fold: [0, 1, 2]}; the rows of an input a 'map'"),
    **dict.fromkeys(_MAP_KEYS, "it stands under 'map': {over: input, batch: 64}"),
    **dict.fromkeys(_AT_THE_END, "nodes that run at the end stand at the top of the file: finally: {clean: {run: …}}"),
    "exclude": "it stands inside 'matrix'",
    **dict.fromkeys(("gather", "where"), "it stands in an input: inputs: {name: {from: node, gather: concat}}"),
    **dict.fromkeys(_LIMITS, "'resources' limits what runs at once: {api: 4} at the top, and {api: 1} in a node"),
    **dict.fromkeys(("gpu", "gpus", "memory", "mem", "disk"), "it stands under 'resources': {gpu: 1, memory: 4GB}"),
    "deps": "did you mean 'files'? nodes that it waits for go under 'needs'",
    **dict.fromkeys(("image", "container", "docker"), "nfrun starts no containers; a 'run' node can call docker run"),
    "trigger_rule": "an input says what happens without it: 'else' or 'optional'; 'finally' runs in any case",
    **dict.fromkeys(("on", "schedule", "cron"), "a pipeline starts when somebody runs it; leave that to cron or CI"),
    **dict.fromkeys(("cwd", "workdir", "working-directory"), "a script starts in the pipeline's folder; use cd in it"),
    **dict.fromkeys(("name", "id", "task_id"), "the name of a node is the key above it"),
    "secrets": "name them at the top of the file; a 'run' node gets one by its 'env'",
    "cache": "a node says it, or 'defaults' for all of them",
    "stage": "stages follow from 'inputs' and 'needs'",
    **dict.fromkeys(("kind", "type", "operator", "task"), f"the kind is a key: {', '.join(written_kinds())}"),
}
# What nodes can have that run when all others have ended.
LAST_KINDS = [name for name, kind in KINDS.items() if kind.runs.may_be_last]
LAST_SETTINGS = ("if", "continue_on_error", "format", "retries", "timeout", "env", "description")

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
_MOST_LISTED = 12  # keys, in a message
_GRAPH_KEYS = ("inputs", "with", "outputs", "schema", "checks", "needs", "files", "matrix", "map")


def node_keys() -> list[str]:
    """Return the keys that a node may have: a kind, what all nodes have, and settings of single kinds."""
    of_kinds = [key for kind in written_kinds().values() for key in kind.says.settings]
    return list(dict.fromkeys([*written_kinds(), *_GRAPH_KEYS, *SETTINGS, *of_kinds]))


def meant(word: str, known: Iterable[str]) -> str | None:
    """Return the entry of `known` that `word` is a synonym or a misspelling of, None if there is none."""
    choices = list(known)
    synonyms = {**_SYNONYMS, **{name: kind.says.synonyms for name, kind in KINDS.items()}}
    return next((key for key in choices if word.lower() in synonyms.get(key, ())), None) or closest_match(word, choices)


def name_of(path: Keys) -> str:
    """Return the name of the value at this path for a message, such as "node 'join'"."""
    if not path or isinstance(path[-1], int):
        return f"an item of '{path[-2]}'" if path else "a pipeline file"
    return f"node '{ellipsize(path[-1])}'" if _is_node(path) else f"'{ellipsize(path[-1])}'"


def place_of(path: Keys) -> str:
    """Return the name of the mapping at this path for a message about its keys, such as "a node"."""
    return name_of(path) if not _is_node(path) else "a node" + f" under '{path[0]}'" * (path[0] != "nodes")


def _is_node(path: Keys) -> bool:
    return len(path) == 2 and path[0] in ("nodes", *LAST_SECTIONS)


def unknown_key(key: str, value: Any, known: list[str], path: Keys) -> str:
    """Return the hint for an unknown key of the mapping at `path`, whose keys are `known`."""
    is_node = len(path) == 2 and path[0] == "nodes"
    if key in KEYS and (is_node or not path):
        return KEYS[key]
    if key not in node_keys() and (guess := meant(key, known)):
        return f"did you mean '{guess}'?"
    if value is None and " " in key:
        return "a text with a ',' needs quotes inside { }"
    if not path and isinstance(value, dict) and any(kind in value for kind in written_kinds()):
        return "if this is a node, indent it below 'nodes'"
    return f"there is {shortened(known, _MOST_LISTED)}"


def wrong_value(path: Keys, value: Any, schema: Mapping[str, Any]) -> str:
    """Return the hint for a value that has the wrong type, or does not match a pattern."""
    what, pattern, is_text = schema.get("type", ()), schema.get("pattern", ""), isinstance(value, str)
    if is_text and "string" in what:
        if len(path) > 2 and looks_like_file(value) and (instead := FILE_HINTS.get(str(path[2]))):
            return instead
        return str(schema.get("patternErrorMessage", ""))
    if _is_node(path) and path[1] in node_keys():
        return f"if '{path[1]}' is a key of the node above it, indent it like its other keys"
    if is_text and re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value):
        return "remove the quotes"
    if isinstance(value, bool | int | float) and what == "string" and pattern in ("", r"\S"):
        return "put it in quotes"
    return example(path, schema)


def example(path: Keys, schema: Mapping[str, Any]) -> str:
    """Return an example from the schema as a hint, or else the schema's message ("" if it has none)."""
    if not path or isinstance(path[-1], int) or not schema.get("examples"):
        return str(schema.get("patternErrorMessage", ""))
    return f"for example {ellipsize(path[-1])}: {_flow(schema['examples'][0])}"


def looks_like_file(text: str) -> bool:
    """Return whether a text is rather the name of a file than a reference."""
    return "/" in text or format_of(text) is not None or text.endswith((".py", ".sql", ".sh", ".json", ".txt"))


def _flow(value: Any) -> str:
    """Return a small value as one line of YAML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{ellipsize(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    return "[" + ", ".join(map(_flow, value)) + "]" if isinstance(value, list) else ellipsize(str(value))

"""The JSON form of events, which is a promise to users of `--events`: fields may be added, but none is renamed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from nfrun.core.errors import Cause
from nfrun.core.events import Event
from nfrun.core.values import fields, is_value

# JSON keys that differ from the name of the field. Users rely on them.
JSON_KEYS = {
    "cause": "kind",
    "duration": "took",
    "publish_wait": "published",
    "input_waits": "opened",
    "queue_wait": "queued",
    "gil_wait": "locked",
    "schema_digest": "traits",
}
_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])")


def event_name(kind: type[Any]) -> str:
    """Return the name of an event in JSON: `node_started` for `NodeStarted`."""
    return _WORD.sub("_", kind.__name__).lower()


def to_json(event: Event) -> dict[str, Any]:
    """Convert an event to JSON values: its name under `event`, then its fields."""
    return {"event": event_name(type(event)), **_plain(event)}


def _plain(value: Any) -> Any:
    if is_value(value):
        given = ((f.name, getattr(value, f.name)) for f in fields(value))
        # Of an OutputRef. The node says what it reads, and few outputs are stored.
        shown = ((name, found) for name, found in given if name != "files" and not (name == "stored" and found is None))
        return {JSON_KEYS.get(name, name): _plain(found) for name, found in shown}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return Cause.IO if value is Cause.PERMISSION else value  # `errno` tells them apart

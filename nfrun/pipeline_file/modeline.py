"""Checks, for `nfrun doctor`, the line of a pipeline file that tells editors where its JSON Schema is."""

from __future__ import annotations

import json
import re
import shlex
from contextlib import suppress
from pathlib import Path

from nfrun.core.health import NOTE, OK, HealthCheck
from nfrun.pipeline_file.schema import schema_text
from nfrun.pipeline_file.yaml.text_file import read_text

# The second form is that of JetBrains.
_MODELINE = re.compile(r"^#\s*(?:yaml-language-server\s*:\s*\$schema=|\$schema:\s*)(\S+)", re.MULTILINE)


def check_modeline(file: Path) -> HealthCheck:
    """Check whether editors find the schema of this nfrun by the modeline of a file. Raises SpecError."""
    found = _MODELINE.search(read_text(file, str(file)))
    if found is None:
        return HealthCheck("editor", OK, f"{file.name} does not tell editors where its schema is")
    named = found[1]
    facts = {"schema": named}
    if "://" in named and not named.startswith("file://"):
        return HealthCheck("editor", OK, f"{file.name} names the schema {named}", "", facts)
    schema = file.parent / named.removeprefix("file://")
    advice = f"nfrun schema > {shlex.quote(str(schema))}"
    if not schema.is_file():
        return HealthCheck("editor", NOTE, f"{file.name} names the schema {named}, which is not there", advice, facts)
    with suppress(OSError, ValueError):
        if json.loads(schema.read_bytes()) == json.loads(schema_text()):
            return HealthCheck("editor", OK, f"{named} is the schema of this nfrun", "", facts)
    text = f"{named} is not the schema of this nfrun: editors may refuse what it can, or offer what it cannot"
    return HealthCheck("editor", NOTE, text, advice, facts)

"""Under which key what a node gives is known: all that it depends on, part by part. Reads sources; runs nothing.

Not parts of a key: how often and where a node may run, what installed packages do, the environment that nfrun was
started in, and files that nobody but the node knows of.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nfrun.cache.journal import FinishedOutput
from nfrun.code.fingerprint import Fingerprints
from nfrun.core.events import OutputRef
from nfrun.core.pipeline import NodeSpec, Pipeline
from nfrun.system.checksums import text_checksum

KeyInputs = Mapping[str, str]

_SCHEME = "3"  # to be raised when a node of the same definition gives something else than before


class CacheKeys:
    """The parts of the keys of a pipeline with nothing left to evaluate.

    Not locked. Once one thread has asked for the `definition` of every node, which reads all code, any thread may ask
    for definitions and parts. `holds` and `look_again` are for one thread, from then on.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._fingerprints = Fingerprints(Path(pipeline.folder))
        self._definitions: dict[str, KeyInputs] = {}

    def definition(self, node: str) -> KeyInputs:
        """The parts that the file and the code make up, as digests by what a change of them is called."""
        found = self._definitions.get(node)
        if found is None:
            found = self._definitions[node] = self._define(self._pipeline.nodes[node])
        return found

    def key_inputs(
        self, node: str, *, inputs: Mapping[str, str], needs: Mapping[str, str], files: Mapping[str, str]
    ) -> KeyInputs:
        """All parts. `inputs` are by output (see `same_for_readers`), `needs` keys by node, `files` checksums."""
        return {
            **self.definition(node),
            **{f"input {item.name}": inputs[item.output] for item in self._pipeline.nodes[node].inputs},
            **{f"needs {name}": needs[name] for name in self._pipeline.nodes[node].needs},
            **{f"file {name}": checksum for name, checksum in files.items()},
        }

    def is_current(self, node: str) -> bool:
        """Whether the code that its definition was made of was still all that lay there at the last `look_again`."""
        spec = self._pipeline.nodes[node]
        module, _, function = spec.body.partition(":")
        return spec.kind != "python" or self._fingerprints.is_current(module, function)

    def refresh(self) -> None:
        """From here on the files of the code are read once more."""
        self._fingerprints.refresh()

    def _define(self, spec: NodeSpec) -> KeyInputs:
        key_inputs = {"scheme": _SCHEME, "node": spec.id, "kind": spec.kind, "text": text_checksum(spec.body)}
        key_inputs["outputs"] = ",".join(spec.outputs)
        if spec.kind == "run":
            key_inputs["format"] = spec.format
        if spec.kind == "python":
            module, _, function = spec.body.partition(":")
            code = self._fingerprints.of(module, function)
            key_inputs |= {f"code {name}": digest for name, digest in code.items()}
            key_inputs["order"] = text_checksum(_canonical([[item.name for item in spec.inputs], list(spec.with_)]))
        key_inputs |= {f"value {name}": text_checksum(_canonical(value)) for name, value in spec.with_.items()}
        if spec.kind not in ("read", "write"):
            env = {**self._pipeline.env, **self._pipeline.redacted_env, **spec.env, **spec.redacted_env}
            key_inputs |= {f"variable {name}": text_checksum(value) for name, value in env.items()}
        return key_inputs


def reader_digest(output: OutputRef | FinishedOutput) -> str:
    """One text for outputs between which no reader can tell: of the same content and the same traits."""
    return f"{output.digest or ''} {output.schema_digest or ''}"


def cache_key(key_inputs: KeyInputs) -> str:
    """32 hex digits for all parts together, in whatever order."""
    return text_checksum(json.dumps(sorted(key_inputs.items())))


def _canonical(value: Any) -> str:
    """One text for equal values: 1, 1.0, true and "1" are four. What is given a mapping sees its order, too."""
    return json.dumps(value, ensure_ascii=False)

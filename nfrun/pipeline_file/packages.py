"""Reads the packages that nodes name."""

from __future__ import annotations

from collections.abc import Iterator

from nfrun.code.distributions import Distributions, normalized
from nfrun.pipeline_file.findings import Findings
from nfrun.pipeline_file.yaml.document import Keys


def read_packages(found: Findings, path: Keys, names: list[str], distributions: Distributions) -> Iterator[str]:
    """Yield the packages of the node at `path`. Rejects those in editable mode, and names given twice."""
    seen: dict[str, str] = {}
    for i, name in enumerate(names):
        where, key = (*path, "packages", i), normalized(name)
        if distributions.is_editable(name):
            what = f"the package '{name}' is installed in editable mode, so its version does not tell its content"
            found.report(where, what, "remove it: the code that a Python node imports from it counts anyway")
        elif seen.setdefault(key, name) != name:
            found.report(where, f"'{name}' and '{seen[key]}' are the same package", "remove one")
        yield key

"""Makes plug-ins for tests: a folder that is like one of installed packages, on `sys.path` for a test."""

from __future__ import annotations

import importlib
import json
import sys
import textwrap
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

KIND: Mapping[str, Any] = {
    "api": 1,
    "version": "1.2",
    "revision": 3,
    "description": "Repeats rows.",
    "with": {
        "type": "object",
        "required": ["times"],
        "additionalProperties": False,
        "properties": {
            "times": {"type": "integer", "minimum": 1, "description": "how often"},
            "order": {"enum": ["up", "down"]},
            "columns": {"type": "array", "items": {"type": "string"}, "uniqueItems": True, "minItems": 1},
        },
    },
    "inputs": {"min": 1, "max": 2},
    "outputs": {"rows": "table"},
}
RUN = """\
    import pyarrow as pa

    def run(job):
        job.log.info("repeating")
        return {"rows": pa.concat_tables([job.table(job.node.inputs[0])] * job.node.values["times"])}
"""


def write_plugin(
    site: Path,
    *,
    name: str = "toy.repeat",
    module: str = "toy_kinds.repeat",
    kind: Mapping[str, Any] | str | None = KIND,
    source: str | None = RUN,
    distribution: str = "toy-kinds",
    version: str = "1.2.0",
) -> Path:
    """Write a package with one kind into the folder `site`. Returns the file of its static half.

    `kind` is the static half, None for none, and `source` that of the module.
    """
    folder = site.joinpath(*module.split(".")[:-1])
    folder.mkdir(parents=True, exist_ok=True)
    last = module.split(".")[-1]
    if folder != site and not (folder / "__init__.py").exists():
        (folder / "__init__.py").touch()
    if source is not None:
        (folder / f"{last}.py").write_text(textwrap.dedent(source))
    static = folder / f"{last}.kind.json"
    if kind is not None:
        static.write_text(kind if isinstance(kind, str) else json.dumps(kind))
    info = site / f"{distribution.replace('-', '_')}-{version}.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    entries = info / "entry_points.txt"
    before = entries.read_text() if entries.exists() else "[nfrun.kinds]\n"
    if (line := f"{name} = {module}\n") not in before:
        entries.write_text(before + line)
    return static


@contextmanager
def on_path(site: Path) -> Iterator[None]:
    """Put a folder on `sys.path`, and forget afterwards what was imported from it."""
    before = [*sys.path], set(sys.modules)
    sys.path.append(str(site))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path[:] = before[0]
        for name in set(sys.modules) - before[1]:
            if str(site) in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]
        importlib.invalidate_caches()


def as_installed(package: Path, site: Path) -> list[Path]:
    """Make a package with a pyproject.toml look installed, from its folder. Returns what belongs on `sys.path`."""
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {module}\n" for name, module in entries.items())
        for group, entries in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("".join(groups))
    return [package, site]


if __name__ == "__main__":  # prints the command of a shell after which a package looks installed
    package = Path(sys.argv[1]).resolve()
    places = as_installed(package, Path.cwd() / ".site")
    print(f"export PYTHONPATH={':'.join(map(str, places))}:$PYTHONPATH")

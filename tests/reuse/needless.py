"""Changes each data file of many projects in turn, and prints which nodes would run again.

    python tests/reuse/needless.py [--against CHECKOUT] [NAMES]

The projects are those of `projects/`, which say which nodes read a file, the pipelines that come with nfrun, and the
templates of `nfrun init`. Each is run once. Then each of its data files is changed, one at a time, without a change of
its meaning, and `nfrun plan` is asked. A node that only waits for the table of another one does not count. With
`--against` another checkout does the same, and what differs is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS), str(Path(__file__).parent)]

import forked  # noqa: E402
from projects import projects, touched  # noqa: E402

ROOT = TESTS.parent
WAITS = ("it reads '", "it follows '")  # how the reason of a node begins that waits for another one
NO_DATA = (".py", ".md", ".pyc", ".log")
Again = dict[str, list[str]]  # by data file, the nodes that run again


def shipped() -> dict[str, tuple[Path, str]]:
    """Return folder and file of the shipped pipelines and templates, by name."""
    files = [*ROOT.glob("pipelines/*/*.yaml"), *ROOT.glob("nfrun/templates/*/*.yaml")]
    return {f"{file.parent.parent.name}/{file.stem}": (file.parent, file.name) for file in sorted(files)}


def nfrun(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "nfrun", *words]
    return forked.run(command, cwd=folder, capture_output=True, text=True, env={**os.environ, "API_KEY": "none"})


def run_again(folder: Path, pipeline: str) -> list[str]:
    """Return the nodes that would run now. Those that wait for others do not count."""
    done = nfrun(folder, "plan", pipeline, "--json")
    if done.returncode:
        raise RuntimeError(f"{folder.name}: {done.stderr}")
    nodes: Mapping[str, Any] = json.loads(done.stdout)["nodes"]
    return [name for name, node in nodes.items() if node["resume"] == "run" and not node["why"].startswith(WAITS)]


def of_project(folder: Path, pipeline: str, data: list[str]) -> Again:
    """Run a project, and change each of its data files in turn. Nothing of a file that only others include."""
    failed = nfrun(folder, "run", pipeline, "-q", "--keep-going")
    try:
        always = run_again(folder, pipeline)
    except RuntimeError as error:
        print(f"  {error}", file=sys.stderr)
        return {}
    found: Again = {"": always}
    if failed.returncode:
        print(
            f"  {pipeline} ended with {failed.returncode}: {failed.stderr.strip().splitlines()[-1:]}", file=sys.stderr
        )
    for name in data:
        path = folder / name
        before = path.read_bytes()
        path.write_bytes(touched(before, name))
        found[name] = run_again(folder, pipeline)
        path.write_bytes(before)
    return found


def measured(names: list[str]) -> Iterator[tuple[str, Again]]:
    """Yield what runs again in each project."""
    with tempfile.TemporaryDirectory(prefix="nfrun-needless-", dir=Path.home()) as scratch:
        for name, project in projects().items():
            if not names or name in names:
                folder = Path(scratch, name)
                project.write(folder)
                yield name, of_project(folder, "p.yaml", [*project.readers])
        for name, (source, pipeline) in shipped().items():
            if not names or name in names:
                top = Path(scratch, name.replace("/", "-"))
                shutil.copytree(source.parent, top, ignore=shutil.ignore_patterns(".nfrun", "__pycache__"))
                folder = top / source.name
                files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != pipeline)
                data = [str(path.relative_to(folder)) for path in files if path.suffix not in NO_DATA]
                yield name, of_project(folder, pipeline, data)


def by_another(checkout: Path, names: list[str]) -> dict[str, Again]:
    """Let the nfrun of another checkout do the same. `PYTHONPATH` would not do: nodes may depend on what is there."""
    command = [str(checkout / ".venv/bin/python"), __file__, "--json", *names]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def told(name: str, ours: Again, theirs: Again | None) -> Iterator[str]:
    """Yield the lines about one project."""
    readers = projects()[name].readers if name in projects() else None
    runs = sum(len(nodes) for file, nodes in ours.items() if file)
    if not ours:
        return
    head = f"{name}: {runs} runs of nodes after {len(ours) - 1} changes"
    if readers is not None:
        needless = sum(len({*nodes} - readers[file]) for file, nodes in ours.items() if file)
        stale = sum(len(readers[file] - {*nodes}) for file, nodes in ours.items() if file)
        head += f", {needless} needless, {stale} stale"
    yield head + (f"; {sum(len(nodes) for file, nodes in theirs.items() if file)} of the other" if theirs else "")
    for file, nodes in ours.items():
        notes = []
        if readers is not None and file:
            notes = [f"stale {node}" for node in sorted(readers[file] - {*nodes})]
            notes += [f"needless {node}" for node in sorted({*nodes} - readers[file] - {*ours[""]})]
        if theirs is not None:
            notes += [f"new {node}" for node in nodes if node not in theirs[file]]
            notes += [f"no more {node}" for node in theirs[file] if node not in nodes]
        if notes or (readers is None and theirs is None) or (nodes and not file):
            yield f"  {file or 'without a change'}: {', '.join(notes or nodes) or 'none'}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("names", nargs="*", help="some of the projects; all if left out")
    parser.add_argument("--against", type=Path, help="the folder of another checkout, with a `.venv`")
    parser.add_argument("--json", action="store_true", help="print the nodes by project and file")
    given = parser.parse_args()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    theirs = by_another(given.against.resolve(), given.names) if given.against else {}
    found = {}
    for name, again in measured(given.names):
        found[name] = again
        if not given.json:
            print("\n".join(told(name, again, theirs.get(name))), flush=True)
    if given.json:
        json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()

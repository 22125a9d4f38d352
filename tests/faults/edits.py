"""Edits random projects again and again, kills some runs, and compares each run with a run from nothing.

A project has some of the nodes of `file_readers.txt`, each with a folder of files. An edit changes, adds, removes,
swaps or touches files, changes the code that names them, or a variable of the environment. Promised: a run that reuses
has the same tables as a run of a copy of the project that reuses nothing. Counted are nodes that ran again and gave
the same table as before.
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import time
from pathlib import Path
from typing import Any

import duckdb
import yaml

from tests.faults import rig
from tests.faults.rig import MARK, Place, Trial

ABOUT = (__doc__ or "").split("\n")[0]
FILE = "edited.yaml"
ROUNDS = 10
NODES = 16
_NAMES = ("a.csv", "b.csv", "c.csv")
WITH = {"with value": "{d}/a.csv", "with part": "b"}  # the argument `name` of these functions


def _read(file: Path) -> dict[str, dict[str, str]]:
    """Read a file of sections, each with texts by name."""
    sections = (section.partition("\n") for section in file.read_text().split("\n=== ")[1:])
    return {
        section: {
            name: body.strip("\n") + "\n" for name, _, body in (part.partition("\n") for part in texts.split("## ")[1:])
        }
        for section, _, texts in sections
    }


_TEXTS = _read(Path(__file__).with_name("file_readers.txt"))
_EXTRA = _TEXTS["files"]
_ALL = {f"{kind}, {name}": (kind, body) for kind in ("python", "run", "sql") for name, body in _TEXTS[kind].items()}


class Project:
    """A project that is edited at random. `ways` are the ways to read by node."""

    def __init__(self, folder: Path, chance: random.Random, ways: list[str]) -> None:
        self._folder, self._chance = folder, chance
        self.ways = {f"n{i}": way for i, way in enumerate(ways)}
        self.environ = {"FLAVOUR": "a"}
        self._clock = 1_700_000_000
        for node in self.ways:
            (folder / node).mkdir(parents=True)
            for name in (*_NAMES, *self._extra(node)):
                self._fill(folder / node / name)
        (folder / "helpers.py").write_text(_TEXTS["modules"]["helpers.py"])
        (folder / "bin").mkdir()
        self._tool(0)
        self._shared(0)
        self._save()

    def edit(self) -> str:
        """Make one edit. Returns what it was."""
        chance = self._chance
        node = chance.choice([*self.ways])
        kinds = (self._change,) * 6 + (self._add, self._remove, self._swap, self._touch, self._rename, self._surround)
        return f"{node} ({self.ways[node]}): {chance.choice(kinds)(node)}"

    def _change(self, node: str) -> str:
        """Change a file: mostly one that its node may read."""
        written = [name for name in self._extra(node) if name in _WRITTEN]
        path = self._folder / node / self._chance.choice([*_NAMES, *written * 3])
        self._fill(path)
        return f"{path.name} changed"

    def _extra(self, node: str) -> list[str]:
        """Return the files of its folder that only this way to read names."""
        body = _ALL[self.ways[node]][1]
        return [extra for extra in _EXTRA if extra.replace("code.py", ".code") in body]

    def _add(self, node: str) -> str:
        path = self._folder / node / f"{self._chance.choice('dez')}.csv"
        self._fill(path)
        return f"{path.name} is new"

    def _remove(self, node: str) -> str:
        """Remove a file that was added, or one that its node can do without."""
        added = list((self._folder / node).glob("[dez].csv"))
        if any(word in self.ways[node] for word in ("exists", "missing", "listed")):
            added += [path for path in (self._folder / node).glob("[bc].csv") if "run, " not in self.ways[node]]
        for path in added[:1]:
            path.unlink()
            return f"{path.name} is gone"
        return self._change(node)

    def _swap(self, node: str) -> str:
        """Let another file be the newest."""
        path = self._chance.choice(sorted((self._folder / node).glob("*.csv")))
        self._stamp(path)
        return f"{path.name} is the newest"

    def _touch(self, node: str) -> str:
        for path in (self._folder / node).glob("*.csv"):
            self._stamp(path)
        return "all touched"

    def _rename(self, node: str) -> str:
        """Let the code name another file."""
        path = self._folder / "helpers.py"
        old, new = self._chance.choice((('name = "a.csv"', 'name = "c.csv"'), ('name: str = "a"', 'name: str = "b"')))
        text = path.read_text()
        path.write_text(text.replace(old, new) if old in text else text.replace(new, old))
        return f"helpers.py: {old} or {new}"

    def _surround(self, node: str) -> str:
        """Change what all nodes share."""
        kind = self._chance.randrange(3)
        if kind == 0:
            self.environ["FLAVOUR"] = self._chance.choice("abc")
        elif kind == 1:
            self._shared(self._chance.randrange(1000))
        else:
            self._tool(self._chance.randrange(1000))
        return ("the variable FLAVOUR", "shared.j2 changed", "bin/tool changed")[kind]

    def _fill(self, path: Path) -> None:
        """Write a file with new content."""
        value, name = self._chance.randrange(1_000_000), path.name
        if name == "x.sqlite":
            with sqlite3.connect(path) as db:
                db.execute("create table if not exists t (n int)")
                db.execute("insert into t values (?)", (value,))
            db.close()
        elif name == "x.db":
            with duckdb.connect(str(path)) as con:
                con.execute("create table if not exists t (n int)")
                con.execute(f"insert into t values ({value})")
        elif name.endswith(".csv"):
            path.write_text("n\n" + f"{value}\n" * self._chance.choice((1, 1, 2, 3)))
        else:
            text = _EXTRA[name].replace("{d}", path.parent.name)
            old, new = _WRITTEN.get(name, ("", ""))
            path.write_text(text.replace(old, new) if self._chance.random() < 0.5 else text)
        self._stamp(path)

    def _stamp(self, path: Path) -> None:
        self._clock += self._chance.randrange(1, 100)
        os.utime(path, (self._clock, self._clock))

    def _tool(self, value: int) -> None:
        path = self._folder / "bin/tool"
        path.write_text(f'#!/bin/sh\necho {value}; cat "$1"\n')
        path.chmod(0o755)

    def _shared(self, value: int) -> None:
        (self._folder / "shared.j2").write_text(f"shared {value}\n")

    def _save(self) -> None:
        nodes: dict[str, Any] = {}
        functions = [_TEXTS["modules"]["head of steps.py"]]
        for node, way in self.ways.items():
            kind, body = _ALL[way]
            body = body.replace("{d}", node).rstrip()
            if kind == "python":
                value = WITH.get(way.removeprefix("python, "), "").replace("{d}", node)
                nodes[node] = {"python": f"steps:{node}", **({"with": {"name": value}} if value else {})}
                lines = body.replace("\n", "\n    ")
                functions.append(f"def {node}({'name' if value else ''}):\n    {lines}\n")
            elif kind == "run":
                nodes[node] = {"run": f"{{ echo t; {{ {body}\n}} | tr ',' ' '; }} > $NFRUN_OUTPUT", "format": "csv"}
            else:
                nodes[node] = {"sql": body}
        (self._folder / "steps.py").write_text("\n\n".join(functions))
        document = {"env": {"ROOT": "./"}, "nodes": nodes, "outputs": {node: node for node in nodes}}
        (self._folder / FILE).write_text(yaml.safe_dump(document, sort_keys=False))


_WRITTEN = {  # by name of a file, what its other content has in place of what
    "q.sql": ("a.csv", "b.csv"),
    "s.json": ("a.csv", "b.csv"),
    "s.sh": ("cat", "wc -c <"),
    "s.py": ("b.csv", "c.csv"),
    "env.sh": ("a.csv", "c.csv"),
    "p.awk": ("-", "+"),
    "t.j2": ("hello", "bye"),
    "list.txt": ("a.csv", "c.csv"),
    "x.xml": ("1", "2"),
    "code.py": ("a.csv", "c.csv"),
    "x.sqlite": ("", ""),
    "x.db": ("", ""),
}


def one(trial: Trial) -> None:
    folder = trial.folder / "p"
    order = random.Random(trial.number // (len(_ALL) // NODES)).sample([*_ALL], len(_ALL))
    first = trial.number * NODES % (len(_ALL) // NODES * NODES)  # trials that follow each other have all ways
    project = Project(folder, trial.random, order[first : first + NODES])
    place = Place(folder, {MARK: str(trial.folder), "PYTHONPATH": ""})  # some nodes depend on all code that is there
    before: dict[str, str] = {}
    for number in range(ROUNDS + 1):
        made = [project.edit() for _ in range(trial.random.choice((1, 1, 2, 3)))] if number else []
        was_killed = bool(number) and trial.random.random() < 0.3
        if was_killed:
            killed(trial, place, project.environ)
        ended = place.run("run", FILE, "--json", **project.environ)
        shutil.copytree(folder, trial.folder / "fresh", ignore=shutil.ignore_patterns(".nfrun", "__pycache__"))
        fresh = Place(trial.folder / "fresh", place.env).run("run", FILE, "--json", **project.environ)
        rig.remove(trial.folder / "fresh")
        if not trial.check(ended.code == fresh.code == 0, f"round {number}, {made}: {ended}, from nothing {fresh}"):
            return
        found, wanted = rig.digests(ended.document), rig.digests(fresh.document)
        for node in [node for node in wanted if found[node] != wanted[node]]:
            trial.check(False, f"round {number}: stale: {node} ({project.ways[node]}), after {'; '.join(made)}")
        ran = [name for name, node in ended.document["nodes"].items() if node["status"] != "reused"]
        trial.count("rounds")
        if number and not was_killed:
            trial.count("nodes that ran again", len(ran))
            for name in [name for name in ran if found[name] == before[name]]:
                trial.count("nodes that ran again and gave the same table")
                trial.count(f"  of them {project.ways[name]}")
        before = found


def killed(trial: Trial, place: Place, environ: dict[str, str]) -> None:
    """Start a run, and kill it at a random moment."""
    started = place.start("run", FILE, "-q", **environ)
    time.sleep(trial.random.uniform(0.1, 2.0))
    trial.count("runs killed" if started.process.poll() is None else "runs that ended before they were to be killed")
    started.kill()
    started.end()
    rig.await_gone(str(trial.folder))


if __name__ == "__main__":
    rig.main(one, about=ABOUT, trials=30)

"""Classes that nodes call: how often they are made, and that they are closed."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Here

STEPS = """
import os
failed = []

def note(*words):
    with open(os.path.join(os.path.dirname(__file__), "log.txt"), "a") as log:
        print(*words, os.getpid(), file=log)

def rows():
    return [{"id": i} for i in range(200)]

class Model:
    def __init__(self, name):
        note("load", name)
        if name == "none":
            raise ValueError("there is no such model")
        self.name = name

    def __call__(self, id: list[int]):
        return [self.name] * len(id)

    def close(self):
        note("close", self.name)

class Whole(Model):
    def __call__(self, rows, shift=0):
        if shift and not failed:
            failed.append(1)
            raise OSError("try again")
        return [{"n": len(rows), "shift": shift}]

class Client(Model):
    async def __call__(self, id: int):
        return {"answer": id}

class Looped(Client):
    async def __call__(self, id: int):
        import asyncio
        self.loop = asyncio.get_running_loop()
        return {"answer": id}

    async def close(self):
        import asyncio
        await asyncio.sleep(0)
        note("close", self.name, asyncio.get_running_loop() is self.loop)

class Stubborn(Whole):
    def close(self):
        raise RuntimeError("no")
"""
NODES = "matrix: {m: [1, 2, 3]}\nnodes:\n  rows: {python: 'steps:rows'}\n"


def run(here: Here, folder: Path, node: str, *options: str, code: int = 0) -> tuple[list[str], str]:
    """Run a node, and return what its class noted, without the ids of processes, and what was printed."""
    (folder / "steps.py").write_text(STEPS)
    (folder / "p.yaml").write_text(f"{NODES}  a: {{{node}}}\n")
    done = here(folder, "run", "p.yaml", "-q", *options)
    assert done.returncode == code, done.stderr
    return (folder / "log.txt").read_text().splitlines(), done.stderr


def words(log: list[str]) -> list[str]:
    return [line.rpartition(" ")[0] for line in log]


MAPPED = 'python: "steps:Model", matrix: m, inputs: rows, with: {name: x}, map: {over: rows, batch: 10}'


WHOLE = MAPPED.partition(", map")[0].replace("Model", "Whole").replace("name: x", 'name: x, shift: "${{ matrix.m }}"')


@pytest.mark.parametrize(
    "node",
    [
        MAPPED,
        f"{WHOLE}, retries: {{max: 1, delay: 0}}",
        'python: "steps:Client", matrix: m, inputs: rows, with: {name: x}, map: rows',
    ],
    ids=["mapped", "retried", "async"],
)
def test_a_class_is_made_once_for_all_cells_and_calls_of_one_slot(tmp_path: Path, here: Here, node: str) -> None:
    log, _ = run(here, tmp_path, node, "-j", "1")
    assert words(log) == ["load x", "close x"]


def test_cells_with_other_values_have_instances_of_their_own(tmp_path: Path, here: Here) -> None:
    log, _ = run(here, tmp_path, MAPPED.replace("name: x", 'name: "${{ matrix.m }}"'), "-j", "1")
    assert sorted(words(log)) == ["close 1", "close 2", "close 3", "load 1", "load 2", "load 3"]


def test_each_worker_process_makes_one_and_closes_it(tmp_path: Path, here: Here) -> None:
    log, _ = run(here, tmp_path, MAPPED, "-j", "2", "--executor", "process")
    loaded = [line.removeprefix("load ") for line in log if line.startswith("load")]
    assert len(set(loaded)) == len(loaded) <= 2
    assert sorted(line.removeprefix("close ") for line in log if line.startswith("close")) == sorted(loaded)


def test_a_class_that_cannot_be_made_fails_the_node(tmp_path: Path, here: Here) -> None:
    node = 'python: "steps:Whole", inputs: rows, with: {name: none}, retries: {max: 1, delay: 0}'
    log, told = run(here, tmp_path, node, code=1)
    assert words(log) == ["load none", "load none"]
    assert "node 'a' failed after 2 attempts: ValueError: there is no such model" in told
    assert 'raise ValueError("there is no such model")' in told and "nfrun/" not in told


@pytest.mark.parametrize("executor", ["thread", "process"])
def test_an_async_close_runs_on_the_loop_of_the_calls(tmp_path: Path, here: Here, executor: str) -> None:
    node = f'python: "steps:Looped", inputs: rows, with: {{name: x}}, map: rows, executor: {executor}'
    log, _ = run(here, tmp_path, node, "-j", "1")
    assert words(log) == ["load x", "close x True"]


def test_an_error_in_close_fails_no_run(tmp_path: Path, here: Here) -> None:
    (tmp_path / "log.txt").touch()
    _, told = run(here, tmp_path, 'python: "steps:Stubborn", inputs: rows, with: {name: x}')
    assert told == "nfrun: close() of an instance failed: RuntimeError: no\n"

"""Provides the other engines that run the same graph of calls: hand-written loops, and libraries if installed.

An engine takes a shape and a number of workers, and returns a function that runs the shape once. What it does before
that (sort, build, check) is not timed, as reading and planning are not timed for nfrun.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import inspect
import itertools
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from graphlib import TopologicalSorter
from queue import SimpleQueue
from typing import Any, Literal

from bench.nodes import steps
from nfrun.core.plan import make_stages

INSTALL = "pip install -e '.[bench]'"


@dataclass(frozen=True)
class Shape:
    """A graph of calls.

    `needs[node]` has the nodes before it. All nodes call the same `function` of `bench.nodes.steps`. `given[node]` has
    keyword arguments of a node. With `hands_on`, each node also gets the results of the nodes before it, by name.
    """

    needs: Mapping[str, tuple[str, ...]]
    function: str
    given: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    hands_on: bool = False

    def calls(self) -> dict[str, Callable[..., Any]]:
        """Return the function of each node, with its `given` arguments bound."""
        function = getattr(steps, self.function)
        return {name: partial(function, **self.given[name]) if name in self.given else function for name in self.needs}

    def calls_with_inputs(self) -> dict[str, Callable[..., Any]]:
        """Return the functions for engines whose edges are arguments. Without `hands_on` they ignore them."""
        return self.calls() if self.hands_on else {name: _without_inputs(call) for name, call in self.calls().items()}

    def ends(self) -> list[str]:
        """Return the nodes that no other node needs."""
        needed = {name for names in self.needs.values() for name in names}
        return [name for name in self.needs if name not in needed]


Engine = Callable[[Shape, int], Callable[[], object]]


def _without_inputs(call: Callable[..., Any]) -> Callable[..., Any]:
    def ignoring(**inputs: object) -> Any:
        return call()

    return ignoring


# -- loops as they are written by hand -----------------------------------------------------------------------------


def loop(shape: Shape, workers: int) -> Callable[[], object]:
    """Run with graphlib and ThreadPoolExecutor: workers record the times of each call and put its end into a queue.

    This is the fastest loop here that records times and failures, and the limits of nfrun refer to it.
    """
    sorter, call = _sorter(shape), _caller(shape)

    def run() -> Mapping[str, tuple[float, float]]:
        times: dict[str, tuple[float, float]] = {}
        ended: SimpleQueue[tuple[str, BaseException | None]] = SimpleQueue()

        def work(name: str) -> None:
            began = time.perf_counter()
            try:
                call(name)
            except BaseException as error:
                ended.put((name, error))
            else:
                times[name] = (began, time.perf_counter())
                ended.put((name, None))

        with ThreadPoolExecutor(workers) as pool:
            while sorter.is_active():
                for name in sorter.get_ready():
                    pool.submit(work, name)
                name, error = ended.get()
                if error is not None:
                    raise error
                sorter.done(name)
        return times

    return run


def callback_loop(shape: Shape, workers: int) -> Callable[[], object]:
    """Run as `loop` does, with a queue that is filled by callbacks of the futures."""
    sorter, call = _sorter(shape), _caller(shape)

    def run() -> Mapping[str, tuple[float, float]]:
        times: dict[str, tuple[float, float]] = {}
        ended: SimpleQueue[Future[str]] = SimpleQueue()

        def work(name: str) -> str:
            began = time.perf_counter()
            call(name)
            times[name] = (began, time.perf_counter())
            return name

        with ThreadPoolExecutor(workers) as pool:
            while sorter.is_active():
                for name in sorter.get_ready():
                    pool.submit(work, name).add_done_callback(ended.put)
                sorter.done(ended.get().result())
        return times

    return run


def bare_loop(shape: Shape, workers: int) -> Callable[[], object]:
    """Run as `loop` does, without times and failures: the shortest possible loop."""
    sorter, call = _sorter(shape), _caller(shape)

    def run() -> None:
        ended: SimpleQueue[str] = SimpleQueue()

        def work(name: str) -> None:
            call(name)
            ended.put(name)

        with ThreadPoolExecutor(workers) as pool:
            while sorter.is_active():
                for name in sorter.get_ready():
                    pool.submit(work, name)
                sorter.done(ended.get())

    return run


def naive_loop(shape: Shape, workers: int) -> Callable[[], object]:
    """Run as the documentation of graphlib suggests, with `wait(…, FIRST_COMPLETED)`, without times."""
    sorter, call = _sorter(shape), _caller(shape)

    def run() -> None:
        pending: dict[Future[None], str] = {}
        with ThreadPoolExecutor(workers) as pool:
            while sorter.is_active():
                for name in sorter.get_ready():
                    pending[pool.submit(call, name)] = name
                done, _ = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
                    sorter.done(pending.pop(future))

    return run


def gather(shape: Shape, workers: int) -> Callable[[], object]:
    """Run as the code of the blog post does: `asyncio.gather` over each stage, with a barrier after it."""
    stages, call = make_stages(shape.needs), _caller(shape)

    async def all_stages() -> None:
        with ThreadPoolExecutor(workers) as pool:
            asyncio.get_running_loop().set_default_executor(pool)
            for stage in stages:
                await asyncio.gather(*(asyncio.to_thread(call, name) for name in stage))

    return lambda: asyncio.run(all_stages())


def _sorter(shape: Shape) -> TopologicalSorter[str]:
    sorter = TopologicalSorter(shape.needs)
    sorter.prepare()
    return sorter


def _caller(shape: Shape) -> Callable[[str], None]:
    """Return a function that calls a node by name. With `hands_on` it passes the results of the nodes before it."""
    calls, needs = shape.calls(), shape.needs
    results: dict[str, Any] = {}

    def call(name: str) -> None:
        calls[name]()

    def call_and_keep(name: str) -> None:
        results[name] = calls[name](**{need: results[need] for need in needs[name]})

    return call_and_keep if shape.hands_on else call


# -- libraries -----------------------------------------------------------------------------------------------------


def dask(shape: Shape, workers: int) -> Callable[[], object]:
    """Run with dask's threaded scheduler, on a graph of dask's own tasks, which need no conversion."""
    from dask._task_spec import Task, TaskRef
    from dask.threaded import get

    calls = shape.calls_with_inputs()
    inputs: dict[str, dict[str, Any]] = {
        name: {need: TaskRef(need) for need in needs} for name, needs in shape.needs.items()
    }
    graph = {name: Task(name, calls[name], **inputs[name]) for name in shape.needs}
    ends = shape.ends()
    return lambda: get(graph, ends, num_workers=workers)


def hamilton(shape: Shape, workers: int) -> Callable[[], object]:
    """Run with Hamilton and its `FutureAdapter`: each call waits for its inputs on a worker's thread."""
    from hamilton import ad_hoc_utils, driver
    from hamilton.plugins.h_threadpool import FutureAdapter

    module = f"bench_hamilton_{next(_numbers)}"
    functions = []
    for function in _named_functions(shape):
        function.__module__ = module
        function.__annotations__ = {**dict.fromkeys(inspect.signature(function).parameters, object), "return": object}
        functions.append(function)
    made = ad_hoc_utils.create_temporary_module(*functions, module_name=module)
    adapter = FutureAdapter(max_workers=workers)
    built = driver.Builder().with_modules(made).with_adapters(adapter).build()
    sys.modules.pop(module, None)  # otherwise the functions of every round stay in memory
    ends = shape.ends()

    def run() -> None:
        built.execute(ends)
        adapter.executor.shutdown()

    return run


def pipefunc(shape: Shape, workers: int, strategy: Literal["eager", "generation"] = "eager") -> Callable[[], object]:
    """Run with pipefunc's `Pipeline.map` on threads. By default each call starts as soon as it can."""
    from pipefunc import PipeFunc, Pipeline

    built = Pipeline([PipeFunc(function, function.__name__) for function in _named_functions(shape)])

    def run() -> None:
        with ThreadPoolExecutor(workers) as pool:
            built.map(
                {},
                run_folder=None,
                storage="dict",
                parallel=True,
                executor=pool,
                show_progress=False,
                scheduling_strategy=strategy,
            )

    return run


_numbers = itertools.count()


def _named_functions(shape: Shape) -> list[Any]:
    """Return a function for each node as if written by hand, with its name and a parameter for each node it needs."""
    made = []
    for name, call in shape.calls_with_inputs().items():

        def function(_call: Callable[..., Any] = call, **inputs: Any) -> Any:
            return _call(**inputs)

        parameters = [
            inspect.Parameter(need, inspect.Parameter.KEYWORD_ONLY, annotation=object) for need in shape.needs[name]
        ]
        function.__name__ = function.__qualname__ = name
        function.__signature__ = inspect.Signature(parameters, return_annotation=object)  # type: ignore[attr-defined]
        made.append(function)
    return made


LOOPS: Mapping[str, Engine] = {
    "loop": loop,
    "loop with callbacks": callback_loop,
    "loop without times": bare_loop,
    "loop with wait()": naive_loop,
    "gather by stages": gather,
}
# name: (distribution, engine)
_LIBRARIES: Mapping[str, tuple[str, Engine]] = {
    "dask": ("dask", dask),
    "hamilton": ("apache-hamilton", hamilton),
    "pipefunc": ("pipefunc", pipefunc),
    "pipefunc by generation": ("pipefunc", partial(pipefunc, strategy="generation")),
}


def versions() -> dict[str, str]:
    """Return the versions of the installed libraries, by distribution."""
    found = {}
    for distribution in dict.fromkeys(distribution for distribution, _ in _LIBRARIES.values()):
        try:
            found[distribution] = importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def missing() -> list[str]:
    """Return the distributions that are not installed."""
    found = versions()
    return list(dict.fromkeys(distribution for distribution, _ in _LIBRARIES.values() if distribution not in found))


def libraries() -> dict[str, Engine]:
    """Return the engines whose libraries are installed, by name."""
    found = versions()
    return {name: engine for name, (distribution, engine) in _LIBRARIES.items() if distribution in found}

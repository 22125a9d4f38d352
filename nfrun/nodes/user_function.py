"""Loads the function or class of a Python node, and binds the arguments that do not come from rows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nfrun.code.module_finder import find_module, hidden_files
from nfrun.code.signatures import signature_of
from nfrun.code.source_import import import_for_process
from nfrun.core.values import field, frozen, replace
from nfrun.nodes.base import NodeContext, NodeError
from nfrun.nodes.instances import RUN_COROUTINE, InstancePool, Key
from nfrun.nodes.python_context import own_context
from nfrun.nodes.returned_tables import a_

if TYPE_CHECKING:
    from inspect import Parameter

_PLAIN = frozenset((str, int, float, bool, type(None)))  # values that cannot be changed


@frozen
class Loaded:
    """The function or class of a node.

    `takes_context` is whether a call takes the context. A class is made with what it names in `init`; its instances are
    called. `is_new`: it was loaded now. `frames` has the parameters that take tables as data frames, with the library.
    """

    function: Callable[..., Any]
    takes_context: bool
    is_class: bool = False
    init: tuple[str, ...] = ()
    is_new: bool = False
    frames: Mapping[str, str] = field(default_factory=dict)


def load(context: NodeContext) -> Loaded:
    """Return the node's function or class, imported. Raises NodeError, and what the import raises."""
    node = context.node
    known = node.folder, node.body
    found: Loaded | None = context.memo.get(known)
    if found is not None:
        return found
    module, _, name = node.body.partition(":")
    function = import_function(module, name, context)
    parameters = parameters_of(function)
    frames = _frames_of(function, parameters)
    if isinstance(function, type):
        call = next((vars(base)["__call__"] for base in function.__mro__ if "__call__" in vars(base)), None)
        if call is None:
            raise NodeError(f"the class '{node.body}' has no method __call__")
        of_call = parameters_of(call)
        frames = {**_frames_of(call, of_call), **frames}
        loaded = Loaded(function, "context" in of_call, True, tuple(parameters), frames=frames)
    else:
        loaded = Loaded(function, "context" in parameters, frames=frames)
    context.memo[known] = loaded
    return replace(loaded, is_new=True)


@contextmanager
def bound(context: NodeContext, loaded: Loaded, tables: Mapping[str, Any]) -> Iterator[Callable[..., Any]]:
    """Provide the function with the inputs, the values and the context bound; of a class an instance of the pool.

    Raises what `__init__` raises.
    """
    of_class, arguments = _split(context, loaded, tables)
    frames = loaded.frames
    try:
        if not loaded.is_class:
            yield partial(loaded.function, **as_frames(arguments, frames))
            return
        pool, key = pool_of(context.memo), _instance_key(context, of_class)
        instance = pool.take(key, lambda: loaded.function(**as_frames(of_class, frames)))
        try:
            yield partial(instance, **as_frames(arguments, frames))
        finally:
            pool.give_back(key, instance)
    except (AttributeError, TypeError) as error:
        from nfrun.nodes.data_frames import explain_tables

        explain_tables(error, tables, frames)
        raise


async def bound_shared(context: NodeContext, loaded: Loaded, tables: Mapping[str, Any]) -> Callable[..., Any]:
    """Return the same as `bound`, for calls on the event loop, which share one instance of a class."""
    of_class, arguments = _split(context, loaded, tables)
    arguments = dict(as_frames(arguments, loaded.frames))
    if not loaded.is_class:
        return partial(loaded.function, **arguments)
    pool, key = pool_of(context.memo), _instance_key(context, of_class)
    instance = await pool.shared(key, lambda: loaded.function(**as_frames(of_class, loaded.frames)))
    return partial(instance, **arguments)


def awaited(context: NodeContext, result: Any) -> Any:
    """Return the result of a function, which may be awaitable. Tables are the usual results."""
    if not hasattr(result, "__arrow_c_stream__"):
        import inspect

        if inspect.isawaitable(result):
            return context.run_coroutine(result if inspect.iscoroutine(result) else awaited_value(result))
    return result


async def awaited_value(returned: Any) -> Any:
    """Return the result of an async function, also of one that a decorator has replaced."""
    from inspect import isawaitable

    return await returned if isawaitable(returned) else returned


def pool_of(memo: dict[Any, Any]) -> InstancePool:
    """Return the instances of this process in the memo of a run."""
    found: InstancePool | None = memo.get(InstancePool)
    return found or memo.setdefault(InstancePool, InstancePool(memo.get(RUN_COROUTINE)))


def import_function(module: str, name: str, context: NodeContext) -> Any:
    """Return a function or class of a module, imported. Raises NodeError, and what the import raises."""
    found = find_module(module, context.folder)
    load = context.import_module
    loaded = import_for_process(module, context.folder) if load is None else load(module)
    origin = getattr(loaded, "__file__", None)
    is_other = found and found.origin and origin and Path(found.origin) != Path(origin) and found.origin.endswith(".py")
    if is_other or (not hasattr(loaded, name) and hidden_files(context.folder, module.partition(".")[0])):
        what = f"the module '{module}' beside the pipeline file is hidden by another of that name ({origin})"
        raise NodeError(what, "give it another name")
    function = getattr(loaded, name, None)
    if function is None:
        raise NodeError(f"the module '{module}' has no function '{name}'")
    if not callable(function):
        raise NodeError(f"'{module}:{name}' is {a_(function)}, not a function")
    return function


def values(context: NodeContext, takes_context: bool) -> dict[str, Any]:
    """Return the arguments besides tables. The function must not change them for the next attempt: they are copies."""
    found = dict(context.node.with_)
    if any(type(value) not in _PLAIN for value in found.values()):
        import copy

        found = copy.deepcopy(found)
    if takes_context and "context" not in found:
        found["context"] = own_context(context)
    return found


def parameters_of(function: Any) -> Mapping[str, Parameter]:
    """Return the parameters of a function or of a class's `__init__`; none if they are not known."""
    try:
        return signature_of(function).parameters
    except (TypeError, ValueError):
        return {}


def as_frames(arguments: Mapping[str, Any], frames: Mapping[str, str]) -> Mapping[str, Any]:
    """Return the arguments, with data frames in place of the tables of these parameters."""
    if not frames:
        return arguments
    from nfrun.nodes import data_frames

    return data_frames.as_frames(arguments, frames)


def _frames_of(function: Any, parameters: Mapping[str, Parameter]) -> Mapping[str, str]:
    """Return the parameters of a function that are annotated as data frames, with the library."""
    if not any("DataFrame" in str(parameter.annotation) for parameter in parameters.values()):
        return {}
    from nfrun.nodes.data_frames import frames_of

    return frames_of(function, parameters)


def _split(context: NodeContext, loaded: Loaded, tables: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arguments of `__init__`, which are those that it names, and the arguments of the call."""
    arguments = {**tables, **values(context, loaded.takes_context)}
    of_class = {name: value for name, value in arguments.items() if name in loaded.init and name != "context"}
    return of_class, {name: value for name, value in arguments.items() if name not in of_class}


def _instance_key(context: NodeContext, of_class: Mapping[str, Any]) -> Key:
    """Return what an instance depends on: also how the inputs of `__init__` are put together.

    An output of another node is the same for all nodes of a run, and all calls of a node have the same key.
    """
    node = context.node
    known = "instance", node.id
    if known not in context.memo:
        read = sorted(repr((i.name, i.output, i.alternative, i.gather)) for i in node.inputs if i.name in of_class)
        given = {name: value for name, value in node.with_.items() if name in of_class}
        values = json.dumps(given, sort_keys=True, default=repr), *read
        context.memo[known] = (node.folder, node.body), values
    found: Key = context.memo[known]
    return found

"""Who may do what to streams of the process, pipes and file names: one module each, and no other. To events: nobody."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import get_args

import pytest
from test_layers import nodes

from nfrun.core.events import Event, Failure, Frame, Outcome, OutputRef

Rule = Callable[[ast.AST], bool]


def calls(*names: str) -> Rule:
    """Calls of functions by their dotted names."""
    return lambda node: isinstance(node, ast.Call) and ast.unparse(node.func) in names


def says(*texts: str) -> Rule:
    """Texts, docstrings aside, that contain one of these."""
    return lambda node: isinstance(node, ast.Constant) and isinstance(node.value, str) and has(node.value, texts)


def has(text: str, parts: tuple[str, ...]) -> bool:
    return "\n" not in text and any(part in text for part in parts)


def names_a_stream(node: ast.AST) -> bool:
    streams = {f"sys.{name}" for name in ("stdout", "stderr", "__stdout__", "__stderr__")}
    return isinstance(node, ast.Attribute) and ast.unparse(node) in streams


def prints_to(*, given: bool) -> Rule:
    """Calls of `print`, on a stream that is given, or on stdout."""
    return lambda node: calls("print")(node) and any(k.arg == "file" for k in getattr(node, "keywords", ())) is given


def writes_to_a_standard_stream(node: ast.AST) -> bool:
    return calls("os.write", "write_fd")(node) and isinstance(node.args[0], ast.Constant)  # type: ignore[attr-defined]


def renames(node: ast.AST) -> bool:
    """`Path.replace` has one argument, `str.replace` has two."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    one = len(node.args) == 1 and not node.keywords
    return ast.unparse(node.func) in ("os.replace", "os.rename") or (node.func.attr in ("replace", "rename") and one)


OWNERS: dict[str, tuple[Rule, dict[str, str]]] = {
    "names a standard stream": (
        names_a_stream,
        {
            "system.std_streams": "owns them",
            "system.processes.process_exit": "flushes them before the process ends",
            "system.logs.print_capture": "puts the router of prints in their place",
            "cli.run_command": "gives stderr to the reporters",
            "session.api.node_tests": "prints what a node under test has printed",
            "session.api.progress": "gives stderr to the lines of a run, if the program asks for them",
            "cli.exit_codes": "flushes stdout where a full disk can still be reported",
            "cli.lookback_commands": "asks whether stdout is a terminal, and flushes it before it reads a long journal",
            "cli.commands": "flushes them before it leaves a detached node behind",
            "cli.bench": "gives stdout to its table; asks whether stderr is a terminal",
        },
    ),
    "prints a result": (
        prints_to(given=False),
        dict.fromkeys(
            (
                "cli.commands",
                "cli.exit_codes",
                "cli.init_command",
                "cli.lookback_commands",
            ),
            "a command",
        )
        | {"cli.completion": "the answer to a shell"}
        | {"session.api.node_tests": "what a node under test has printed"},
    ),
    "prints to a stream": (
        prints_to(given=True),
        {
            "session.api.node_tests": "what a node has printed",
            "system.std_streams": "messages",
            "reports.summary": "the stream that it is given",
        },
    ),
    "redirects a descriptor": (
        calls("os.dup", "os.dup2"),
        {
            "system.std_streams": "owns them",
            "engine.executors.fork_server": "keeps a pipe by which a worker sees its end",
        },
    ),
    "writes to a descriptor": (
        writes_to_a_standard_stream,
        {"system.std_streams": "owns them", "system.processes.supervisor": "says that the run was killed"},
    ),
    "reads a descriptor": (
        calls("os.read"),
        {
            "system.pipes": "owns pipes",
            "system.checksums": "reads files; a file object takes longer",
            "system.processes.supervisor": "messages of the runner",
            "system.processes.reaper": "numbers of signals",
        },
    ),
    "renames a file": (
        renames,
        {
            "system.atomic_files": "owns it",
            "system.atomic_folders": "puts a folder in the place of another",
            "system.kept_files": "moves outputs into the folder of a run",
            "tables.places.folder": "gives files and folders their final names in a place",
            "tables.places.host_cache": "gives copies their final names",
            "history.run_history": "sets a damaged file aside",
            "history.database_file": "sets aside what is damaged",
        },
    ),
    "names a temporary file": (says(".partial", ".tmp"), {"system.atomic_files": "owns them"}),
    "says how a process ended": (says("exited with status", "killed by"), {"system.processes.process_tree": "owns it"}),
}


@pytest.mark.parametrize("what", OWNERS)
def test_only_its_owners_do_it(what: str) -> None:
    rule, owners = OWNERS[what]
    found = {module for module, of_module in nodes().items() if any(map(rule, of_module))}
    assert found == set(owners), f"{what}: either use the owner, or add the module here with a reason"


def test_no_code_of_nfrun_assigns_to_a_field_of_an_event() -> None:
    """Events are frozen only for the type checker: freezing them at run time costs as much as the scheduler."""
    events = {cls.__name__ for cls in (OutputRef, Frame, Failure, Outcome, *get_args(Event))}
    names = {"event", "outcome", "ref", "start", "attempt", "failure", "frame", *events}
    for module, parts in nodes().items():
        for node in parts:
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store | ast.Del):
                assert not (isinstance(node.value, ast.Name) and node.value.id in names), f"{module}:{node.lineno}"

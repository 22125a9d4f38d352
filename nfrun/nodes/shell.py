"""The kind `run`: runs a shell script in a process group of its own; inputs and outputs are files."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nfrun.code.function_lookup import FunctionLookup
from nfrun.core.errors import HandoffError, Problem
from nfrun.core.map_spec import MapForm, MapSpec
from nfrun.core.pipeline import FOLDER, TABLE, NodeSpec, ending_of, form_of
from nfrun.core.text import ellipsize
from nfrun.nodes.arguments import check_names
from nfrun.nodes.base import NamedFiles, NodeContext, NodeError, output_name
from nfrun.nodes.kind import Code, Kind, Maps, Outside, Runs, Says
from nfrun.nodes.text_facts import script_facts
from nfrun.nodes.texts.script_words import reads_of_variables, without_comments
from nfrun.system.os_errors import is_out_of_resources, reason
from nfrun.system.processes.process_tree import describe_exit, wait_group_exit
from nfrun.system.threads import start_timer
from nfrun.tables.formats import ARROW, FormatError

if TYPE_CHECKING:
    import subprocess

    from nfrun.code.facts.code_facts import CodeFacts
    from nfrun.code.fingerprint import Fingerprints
    from nfrun.nodes.texts.script_words import Command
    from nfrun.system.logs.node_logs import StreamLog

_TAIL = 4096  # bytes of stderr shown in an error
_SHOWN = 20  # lines of it that are always shown
_HINTS = {126: " (not executable)", 127: " (command not found)"}  # by exit status of the shell
_GIVEN = ("NFRUN_INPUT_", "NFRUN_OUTPUT", "NFRUN_WITH_")


def check(node: NodeSpec, lookup: FunctionLookup) -> Iterator[Problem]:
    """Check that the script reads no variables of nfrun that the node does not have, and gets groups or parts."""
    if node.map is not None:
        yield from _check_map(node.map)
    if "NFRUN_" in node.body:
        yield from check_variables(node)


def _check_map(map: MapSpec) -> Iterator[Problem]:
    if map.batch:
        what = "a run node is started for groups or parts, not for a few rows"
        yield Problem(("map",), what, f"map: {{over: {map.over}, parts: 8}}, or by: COLUMN")
    for key in [key for key, value in (("explode", map.explode), ("keep", map.keep is not None)) if value]:
        yield Problem(("map", key), f"'{key}' is for functions of columns", "remove it", at_key=True)


def run(context: NodeContext) -> Mapping[str, Any]:
    """Run the script in the pipeline's folder and read the tables that it wrote. Returns files and folders as paths.

    Raises NodeError, with the end of stderr, if the script fails or a signal ends it, and HandoffError if its input
    or output files cannot be written or read.
    """
    return _run_script(context, context.node.outputs or ("",), {})


def call_piece(context: NodeContext, piece: Any, inputs: Mapping[str, Any]) -> Any:
    """Run the script for a piece of its mapped input, which is a file for it, and return the table that it wrote.

    It reads its other inputs as files, whatever `inputs` has. Raises what `run` raises.
    """
    assert context.node.map is not None
    name = output_name(context.node)
    context.begin()
    made = _run_script(context, (name,), {context.node.map.over: piece})
    if name not in made:
        raise NodeError(f"the script wrote nothing to ${_variable(name)}")
    return made[name]


def _as_texts(table: Any) -> dict[str, Any]:
    """Return the type of texts for the columns of a csv file, but for those that are not UTF-8."""
    import pyarrow as pa

    return {field.name: pa.string() for field in table.schema if not pa.types.is_binary(field.type)}


def join_pieces(node: NodeSpec, rows: Any) -> Any:
    """Return the rows of all pieces; their csv columns are texts until the types of all of them are told together."""
    if node.format != "csv":
        return rows
    from nfrun.tables.csv_files import with_guessed_types

    return with_guessed_types(rows.read_all()).to_reader()


def _run_script(context: NodeContext, names: Sequence[str], pieces: Mapping[str, Any]) -> dict[str, Any]:
    """Run the script with the outputs of these names, and with `pieces` in the place of whole inputs."""
    from nfrun.tables.file_io import read_table

    node, scratch = context.node, context.scratch()
    outputs = {name: scratch / _file_name(node, name) for name in names}
    for name, path in outputs.items():
        if node.type_of(name) == FOLDER:
            path.mkdir()
    outer = {
        name: value for name, value in context.environ.items() if not name.startswith(_GIVEN)
    }  # nfrun inside nfrun
    own = {"NFRUN_RUN": context.run, "NFRUN_NODE": node.id, "NFRUN_ATTEMPT": str(context.attempt)}
    environ = {**outer, **own, **_values(node), **_input_files(context, scratch, pieces)}
    environ |= {_variable(name): str(path) for name, path in outputs.items()}
    if len(names) == 1:
        environ["NFRUN_OUTPUT"] = str(outputs[names[0]])
    _execute(context, environ)
    made: dict[str, Any] = {}
    for name, path in outputs.items():
        variable, form = _variable(name), form_of(node.type_of(name))
        if not path.exists() and not path.is_symlink():
            continue
        if form != TABLE:
            made[name] = _made_file(path, variable, form)
            continue
        if not path.is_file():  # reading a pipe would block
            raise NodeError(f"${variable} is not an ordinary file")
        try:
            made[name] = table = read_table(path.name, base=scratch, format=node.format)
            if pieces:
                check_names(f"what the script wrote to ${variable}", table.schema.names)
            if pieces and node.format == "csv":
                made[name] = read_table(path.name, base=scratch, format=node.format, types=_as_texts(table))
        except FormatError as error:
            hint = "; if it is text, 'format: csv' reads a table from it" if node.format == ARROW else ""
            raise NodeError(f"what the script wrote to ${variable} is not {node.format}", f"{error}{hint}") from None
        except OSError as error:
            what = f"cannot read what the script of the node '{node.id}' wrote to ${variable}"
            raise HandoffError(f"{what} ({path.name}): {reason(error)}", error) from error
    return made


def _file_name(node: NodeSpec, output: str) -> str:
    type = node.type_of(output)
    return f"output{output and '_' + output}{f'.{node.format}' if type == TABLE else ending_of(type)}"


def _made_file(path: Path, variable: str, form: str) -> Path:
    """Return the path of a file or folder that the script made. Raises NodeError if it is something else."""
    if path.is_symlink():
        raise NodeError(f"the script made ${variable} a link, and a {form} is kept as it is", "copy it there: cp -RL")
    if not (path.is_dir() if form == FOLDER else path.is_file()):
        is_now = (
            "a folder" if path.is_dir() else "a file" if path.is_file() else "something else than a file or a folder"
        )
        raise NodeError(f"${variable} is {is_now}, and its output is a {form}")
    return path


def _variable(output: str) -> str:
    """Return the environment variable that has the path of an output."""
    return f"NFRUN_OUTPUT_{output}" if output else "NFRUN_OUTPUT"


def _execute(context: NodeContext, environ: Mapping[str, str]) -> None:
    import subprocess

    from nfrun.system.logs.node_logs import STREAMS
    from nfrun.system.pipes import pumping

    if context.cancel_token.cancelled:
        raise NodeError("stopped")
    try:
        process = subprocess.Popen(
            [*_shell(), context.node.body],
            cwd=context.folder,
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise _refused(error) from error
    # First SIGTERM, then SIGKILL. The timer is cancelled once the script has ended: its process id may be reused.
    kill = threading.Timer(context.grace, _signal, (process, signal.SIGKILL))
    kill.daemon = True

    def stop() -> None:
        _signal(process, signal.SIGTERM)
        start_timer(kill)

    assert process.stdout is not None and process.stderr is not None
    with process.stdout, process.stderr:
        out, err = (context.stream_log(stream) for stream in STREAMS)
        pipes = {process.stdout.fileno(): out.feed, process.stderr.fileno(): err.feed}
        try:
            with context.cancel_token.on_cancel(stop, lambda: _signal(process, signal.SIGKILL)), pumping(pipes):
                _await_end(process, context)
        except (OSError, HandoffError) as error:  # no pipe or thread available
            _signal(process, signal.SIGKILL)
            process.wait()
            raise _refused(error) from error
        kill.cancel()
        status = process.wait()
    out.end()
    err.end()
    if status:
        raise NodeError(f"the script {describe_exit(status)}{_HINTS.get(status, '')}", _end_of(err))


def _refused(error: Exception) -> Exception:
    message = f"the script cannot be started: {reason(error)}"
    return HandoffError(message, error) if is_out_of_resources(error) else NodeError(message)


def _await_end(process: subprocess.Popen[bytes], context: NodeContext) -> None:
    """Wait for the script, then kill what it left in its group: at once, or after the grace if it was cancelled.

    Signals the group only while the script is not reaped (where the system can do that), or while the group has a
    member: so its id cannot have been reused.
    """
    if hasattr(os, "waitid"):  # not on macOS before Python 3.13
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    else:
        process.wait()
    if context.cancel_token.cancelled:  # the shell ends at once, but its children may have to save something
        process.wait()
        if wait_group_exit(process.pid, context.grace):
            return
    _signal(process, signal.SIGKILL)


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _shell() -> list[str]:
    """Return the command of a shell that stops at the first failing command: bash with pipefail, or else sh."""
    import shutil

    bash = shutil.which("bash")
    return [bash, "--noprofile", "--norc", "-eo", "pipefail", "-c"] if bash else ["/bin/sh", "-ec"]


def _input_files(context: NodeContext, scratch: Path, pieces: Mapping[str, Any]) -> dict[str, str]:
    from nfrun.tables.file_io import write_table
    from nfrun.tables.gathered import flattened

    node, files = context.node, {}
    for item in node.inputs:
        if item.optional and not context.has_input(item.name):
            continue
        path = scratch / f"input_{item.name}.{node.format}"
        table: Any = None
        try:
            if item.name in pieces:
                write_table(table := pieces[item.name], path)
            elif node.format == "arrow" or item.type != TABLE:
                path = context.file(item.name)
            elif isinstance(table := context.table(item.name), Mapping) and item.gather:
                path = path.with_suffix("")
                path.mkdir()
                for output, cell in flattened(item.gather, table):
                    write_table(cell, path / f"{output.cell(node.id)}.{node.format}")
            else:
                write_table(table, path)
        except OSError as error:
            size = f" ({table.nbytes:,} bytes)" if hasattr(table, "nbytes") else ""
            what = f"cannot write the input '{item.name}' of the node '{node.id}'{size}"
            raise HandoffError(f"{what} to {path.name}: {reason(error)}", error) from error
        files[f"NFRUN_INPUT_{item.name}"] = str(path)
    return files


def _values(node: NodeSpec) -> dict[str, str]:
    """Return the environment variables with the `with` values of a node."""
    texts = {
        name: value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)
        for name, value in node.with_.items()
    }
    return {f"NFRUN_WITH_{name}": text for name, text in texts.items()}


def _external_inputs(node: NodeSpec, folder: Path) -> NamedFiles:
    from nfrun.nodes.texts.script_files import script_files

    public = {name: value for name, value in node.env.items() if name not in node.redacted_env}
    return script_files(node.body, {**public, **_values(node)}, folder)


def _key_inputs(node: NodeSpec, code: Fingerprints) -> Mapping[str, str]:
    """Return the format, and digests of the variables of this environment that the script and its scripts read."""
    from nfrun.system.checksums import text_checksum

    read = _named_by(node, code).variables
    return {
        "format": node.format,
        **{f"variable {name}": text_checksum(os.environ[name]) for name in sorted(read) if name in os.environ},
    }


def _code_facts(node: NodeSpec, code: Fingerprints) -> CodeFacts:
    return script_facts(node, _named_by(node, code))


def _named_by(node: NodeSpec, code: Fingerprints) -> NamedFiles:
    """Return the files and variables that the script of a node names when the run begins."""
    known = "script", node.body, *_values(node).items(), *node.env.items()
    if known not in code.memo:
        code.memo[known] = _external_inputs(node, Path(code.folder))
    found: NamedFiles = code.memo[known]
    return found


def script_commands(node: NodeSpec) -> Iterator[Command]:
    """Yield the commands of the script of a node, with its quoted texts as one word each."""
    from nfrun.nodes.texts.script_words import commands

    return commands(node.body, _values(node), nested=False)


def _named_files(node: NodeSpec) -> Iterator[str]:
    """Yield the words of the script that may be paths, as they stand in the pipeline's folder: none after a `cd`."""
    from nfrun.nodes.texts.script_words import OWN

    found = list(script_commands(node))
    if not any(word in ("cd", "pushd") for command in found for word in command.words):
        for command in found:
            if command.words[:1] not in (["echo"], ["printf"]) or command.written:
                yield from (word for word in command.words if not {"*", OWN} & {*word})


def _end_of(errors: StreamLog) -> str:
    """Return the end of stderr, and the file that has the rest."""
    text = errors.tail(_TAIL)
    if errors.path and (text.startswith("…") or text.count("\n") >= _SHOWN):
        text = f"{text.rstrip()}\nthe rest of stderr: {errors.path}"
    return text


RUN = Kind(
    name="run",
    says=Says(
        check=check,
        settings=("format", "env"),
        synonyms=("command", "cmd", "shell", "script", "scripts", "bash", "bash_command", "sh", "commands"),
        expression_hint="put it under 'with' and write \"$NFRUN_WITH_name\": values are never pasted into a script",
    ),
    runs=Runs(run, is_process=True, has_side_effects=True),
    outside=Outside(inputs=_external_inputs, named=_named_files),
    code=Code(key=_key_inputs, facts=_code_facts),
    maps=Maps(lambda node, lookup: MapForm(), call_piece, join=join_pieces),
)


# Variables of inputs, values and outputs that a script reads although its node has none of the name: the shell takes
# them as empty. A name counts wherever a shell, awk, Python or the like would read it, also in single quotes
# (`bash -c '$NFRUN_INPUT_x'`). Comments, names with a default and names that the script sets do not.
_PASSED = ("NFRUN_INPUT", "NFRUN_WITH", "NFRUN_OUTPUT")
_SET = re.compile(
    r"(?<![\w${#!])(?<!printenv )(NFRUN_\w+)(?=\+?=|\s+in\b|\s*(?:[;\n]|$))", re.ASCII
)  # by `=`, `for` or `read`


def check_variables(node: NodeSpec) -> Iterator[Problem]:
    """Yield an error for each place where the script of a node reads such a variable."""
    outputs = [f"NFRUN_OUTPUT_{name}" for name in node.own_outputs]
    known = [*(f"NFRUN_INPUT_{item.name}" for item in node.inputs), *(f"NFRUN_WITH_{name}" for name in node.with_)]
    known += [*outputs, *(["NFRUN_OUTPUT"] if len(outputs) < 2 else [])]
    code = without_comments(node.body)
    has = {*known, *_SET.findall(code)}
    hint = (
        f"there is {ellipsize(', '.join(f'${name}' for name in known), 200)}; 'inputs', 'with' and 'outputs' give more"
    )
    for name, start, has_default in reads_of_variables(code):
        # If it ends so, more of the name follows, as in `eval`.
        if name.startswith(_PASSED) and name not in has and not has_default and not name.endswith("_"):
            message = f"the script reads ${ellipsize(name)}, which is not set for this node"
            yield Problem(("run",), message, hint, counts=True, start=start, length=len(name))

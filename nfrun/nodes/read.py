"""The kind `read`: reads a file, a glob or a URI as a table, or hands on a file or a folder as it is.

`tables/file_io.py` reads tables.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from glob import has_magic
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nfrun.code.function_lookup import FunctionLookup
from nfrun.core.errors import HandoffError, Problem
from nfrun.core.pipeline import FOLDER, TABLE, NodeSpec, ending_of, form_of, has_expression
from nfrun.core.text import did_you_mean, ellipsize
from nfrun.nodes.base import NodeContext, NodeError, output_name
from nfrun.nodes.folders import describe_missing
from nfrun.nodes.kind import Code, Kind, Outside, Runs, Says
from nfrun.system.checksums import layout_checksum
from nfrun.system.os_errors import reason
from nfrun.system.std_streams import named_descriptor
from nfrun.tables import formats
from nfrun.tables.contracts.type_names import OTHERS, is_read, parse_type
from nfrun.tables.csv_options import ASIDE, BAD_ROWS, CSV_OPTIONS, REJECTED, CsvOptions, wrong_option
from nfrun.tables.formats import folder_hint, local_source, resolve_files

if TYPE_CHECKING:
    from nfrun.code.fingerprint import Fingerprints

_SCHEMES = ("s3", "gs", "gcs", "abfs", "abfss", "hdfs", "viewfs")  # that `pyarrow.fs` reads
_MOST_FOOTERS = 100  # files whose ends are read before a run


def check(node: NodeSpec, lookup: FunctionLookup) -> Iterator[Problem]:
    """Check that a read node has no inputs and one output, and that its `with` values are options of the reader."""
    if node.inputs:
        yield Problem(("inputs",), "a read node has no inputs", "'needs:' makes it wait for another node", at_key=True)
    own = node.outputs[:-1] if added_outputs(node.with_) else node.outputs
    if len(own) > 1:
        yield Problem(("outputs",), "a read node has one output", "leave 'outputs' out", at_key=True)
    elif own != node.outputs and REJECTED in own:
        what = f"'{REJECTED}' is the output with the rows that are put aside"
        yield Problem(("outputs",), what, "rename yours", at_key=True)
    if node.types:
        yield from check_file(node)
        return
    given = node.with_.get("format")
    kind = None if has_expression(node.body) else formats.format_of(node.body)
    kind = given if given in formats.READ_OPTIONS["format"] else kind
    if kind is None and given is None and not _is_by_file(node) and not has_expression(node.body):
        hint = f"known are {' '.join(formats.ENDINGS)}; or say with: {{format: csv}}"
        yield Problem(("read",), "the ending of this file does not tell its format", hint)
    for name, value in node.with_.items():
        if name not in formats.READ_OPTIONS:
            hint = did_you_mean(name, formats.READ_OPTIONS, f"there is {', '.join(formats.READ_OPTIONS)}")
            yield Problem(("with", name), f"a read node has no option '{name}'", hint, at_key=True)
        elif isinstance(value, str) and has_expression(value):
            if name == "bad_rows":
                what = "an expression is not evaluated here: which outputs a node has is the same in every run"
                yield Problem(("with", name), what, f"one of {', '.join(BAD_ROWS)}")
        elif kind is not None and kind not in formats.READ_OPTIONS[name]:
            what = f"'{name}' is for {', '.join(formats.READ_OPTIONS[name])}, and this file is {kind}"
            yield Problem(("with", name), what, "remove it", at_key=True)
        elif name == "format" and value not in formats.READ_OPTIONS[name]:
            yield Problem(("with", name), f"'format' must be one of {', '.join(formats.READ_OPTIONS[name])}")
        elif name == "filename" and not isinstance(value, bool):
            yield Problem(("with", name), f"'{name}' must be true or false", "true adds a column of this name")
        elif name == "columns" and (not isinstance(value, list) or not all(isinstance(item, str) for item in value)):
            yield Problem(("with", name), f"'{name}' must be a list of strings", f"for example {name}: [a, b]")
        elif name in CSV_OPTIONS and (wrong := wrong_option(name, value, node.with_, formats.endings(node.body)[0])):
            yield Problem(("with", name), *wrong)
    yield from _check_types(node, kind or "")


def added_outputs(with_: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the name of the output with the rows that are put aside, if there is one."""
    return (REJECTED,) if with_.get("bad_rows") == ASIDE else ()


def _check_types(node: NodeSpec, format: str) -> Iterator[Problem]:
    """Check that text of this format is read as the types of the schema."""
    for name, text in _typed(node).items():
        if not is_read(parse_type(text)[0], format):
            what = f"{format} cannot be read as {ellipsize(text)}"
            yield Problem(("schema", name), what, "read it as another type, such as string, and cast it in a query")


def _is_by_file(node: NodeSpec) -> bool:
    """Return whether each file has the format of its own ending: those in a folder, or of a pattern without one."""
    ending = formats.endings(node.body)[0]
    return _has_local_source(node) and (not ending or has_magic(ending))


def _missing(node: NodeSpec, folder: Path, may_appear: Callable[[str], bool]) -> Iterator[Problem]:
    if has_expression(node.body) or node.continue_on_error:
        return
    source = local_source(node.body)
    if source is None:
        if what_and_hint := _unreadable(node.body):
            yield Problem(("read",), *what_and_hint)
        return
    if named_descriptor(folder / source) == 0:
        what = f"'{ellipsize(source)}' is the stdin of nfrun, which no node gets"
        yield Problem(("read",), what, "save what it gives to a file, and read that")
        return
    try:
        if node.types:
            wrong = wrong_file(node, folder)
            if wrong is not None and ((folder / source).exists() or has_magic(source) or not may_appear(source)):
                yield Problem(("read",), *wrong)
            return
        resolve_files(node.body, folder)
    except formats.FormatError:
        if not source.endswith("/") and (folder / source).is_dir():
            yield Problem(("read",), f"'{ellipsize(source)}' is a folder", folder_hint(source))
        elif not may_appear(source):
            what, hint = describe_missing(source, folder)
            yield Problem(("read",), ellipsize(what, 200), hint)
    except (OSError, ValueError):
        return  # the run tells what is wrong


def _unreadable(uri: str) -> tuple[str, str] | None:
    """Return why a URI cannot be read, and what to do; None if it may be readable."""
    scheme = uri.partition(":")[0].lower()
    if scheme in ("http", "https"):
        shown = re.sub("://[^/@]*@", "://", uri)
        fetch = f"fetch it in a 'run' node: curl -fsSL {shown} -o \"$NFRUN_OUTPUT\""
        return f"a read node cannot read {scheme}://", ellipsize(fetch, 300)
    if scheme in _SCHEMES:
        return None
    hint = f"it reads {', '.join(f'{name}://' for name in _SCHEMES)}"
    return f"a read node cannot read {ellipsize(scheme)}://", hint


def run(context: NodeContext) -> Mapping[str, Any]:
    """Read the whole source. Files that queries can read stay files if nothing but queries reads the output.

    Raises FormatError; HandoffError for an error of this system; OSError for an error of a remote service.
    """
    if context.node.types:
        return {output_name(context.node): found_file(context.node, context.folder)}
    from nfrun.tables.csv_files import rejected_rows, warnings
    from nfrun.tables.file_io import read_table
    from nfrun.tables.file_table import open_files

    source, base, options = context.node.body, context.folder, dict(context.node.with_)
    if types := _types(context.node):
        options["types"] = types
    try:
        files = open_files(source, base=base, look=context.look, **options)
        if files is not None and not context.stays_in_files:
            files.load()
        if files is None:
            bad: list[Any] = []
            table = read_table(source, base=base, rejected=bad, **options)
            kind = options.get("format") or formats.format_of(source)
            for told in warnings(table, options) if kind == "csv" else ():
                context.log("warning", told)
            made = {output_name(context.node): table}
            return {**made, REJECTED: rejected_rows(bad)} if added_outputs(options) else made
        return {output_name(context.node): files}
    except OSError as error:
        if not error.errno:  # an error of a remote service: a retry may succeed
            raise
        raise HandoffError(f"cannot read {error.filename or context.node.body}: {reason(error)}", error) from error


def _footers(node: NodeSpec, folder: Path) -> Mapping[str, Path]:
    """Return the files that say which columns the table has; none if these may be written, or are many."""
    if node.types or node.upstream or has_expression(node.body) or not _has_local_source(node):
        return {}
    given = node.with_.get("format")
    kind = given or formats.format_of(node.body)
    if kind is not None and kind not in formats.FORMATS_WITH_COLUMNS:
        return {}
    try:
        files = resolve_files(node.body, folder) or {}
    except (formats.FormatError, OSError, ValueError):
        return {}  # the run tells what is wrong
    is_known = all((given or formats.format_of(name)) in formats.FORMATS_WITH_COLUMNS for name in files)
    return files if is_known and len(files) <= _MOST_FOOTERS else {}


def _columns(node: NodeSpec, inputs: Mapping[str, Any], files: Mapping[str, Path]) -> tuple[Any, Problem | None]:
    """Return the columns of the table in the files, as far as these say them before they are read."""
    if not files:
        return None, None
    from nfrun.tables.footers import joined_schema, named_schema

    csv = CsvOptions(**{name: value for name, value in node.with_.items() if name in CSV_OPTIONS})
    schema = joined_schema(files, local_source(node.body) or "", node.with_.get("format"), _types(node), csv)
    if schema is None:
        return None, None
    wanted = node.with_.get("columns", schema.names)
    contract = node.contracts.get(output_name(node))
    expected = {*wanted, *(contract.columns if contract is not None else ())} - {OTHERS}
    if node.continue_on_error and not expected.issubset(schema.names):
        return None, None  # the node fails, and the run goes on
    for i, name in enumerate(wanted):
        if name not in schema.names:
            what = f"'{ellipsize(node.body)}' has no column '{ellipsize(name)}'"
            return None, Problem(("with", "columns", i), what, did_you_mean(name, schema.names))
    return named_schema(schema, wanted, with_file=node.with_.get("filename") is True), None


def _typed(node: NodeSpec) -> Mapping[str, str]:
    """Return the columns of the node's schema with their types, if it reads text or the paths in a folder as these."""
    contract = node.contracts.get(output_name(node))
    kind = node.with_.get("format") or formats.format_of(node.body)
    is_text = kind in formats.TEXT_FORMATS or (kind is None and _is_by_file(node))
    return contract.columns if contract is not None and is_text else {}


def _types(node: NodeSpec) -> dict[str, Any]:
    """Return the Arrow types of the columns that the schema of the node gives one."""
    columns = _typed(node)
    if not columns:
        return {}
    from nfrun.tables.contracts.column_types import arrow_type

    found = {name: arrow_type(parse_type(text)[0]) for name, text in columns.items() if name != OTHERS}
    return {name: type_ for name, type_ in found.items() if type_ is not None}


def _key_inputs(node: NodeSpec, code: Fingerprints) -> Mapping[str, str]:
    """Return the types as which the node reads text, and how a folder is laid out that it hands on."""
    types = {f"type of {name}": text for name, text in _typed(node).items() if name != OTHERS}
    if FOLDER in node.types.values():
        types["layout"] = layout_checksum(code.folder / (local_source(node.body) or ""))
    return types


def _files(node: NodeSpec, folder: Path) -> Mapping[str, Path] | None:
    """Return the files of the source, None for a URI. Where there are none, the source itself is a missing file."""
    if node.types:
        return files_in(node, folder)
    try:
        return resolve_files(node.body, folder)
    except (formats.FormatError, OSError):
        return {node.body: folder / node.body}


def _named(node: NodeSpec) -> Iterator[str]:
    source = local_source(node.body)
    if source is not None:
        yield source


def _has_local_source(node: NodeSpec) -> bool:
    return local_source(node.body) is not None


def check_file(node: NodeSpec) -> Iterator[Problem]:
    """Check a node that hands on a file or a folder: no options, one path, and the ending of its type."""
    for name in node.with_:
        what = f"a {_form(node)} is handed on as it is: there is nothing to set"
        yield Problem(("with", name), what, "remove it", at_key=True)
    ending = ending_of(node.type_of(output_name(node)))
    if has_expression(node.body):
        return
    if local_source(node.body) is None:
        what = f"a {_form(node)} is handed on from this machine only"
        yield Problem(("read",), what, "fetch it in a 'run' node, which has it as its output")
    elif ending and not node.body.endswith(ending):
        what = f"'{ellipsize(node.body)}' does not end in {ending}, and its output does"
        yield Problem(("read",), what, f"outputs: {{{output_name(node)}: {_ending_in(node.body) or 'file'}}}")


def _ending_in(path: str) -> str:
    suffix = Path(path).suffix
    return suffix if suffix[1:].isalnum() else ""


def wrong_file(node: NodeSpec, folder: Path) -> tuple[str, str] | None:
    """Return why the path of a node that hands on a file or a folder is wrong, and a hint. Raises OSError."""
    source, form = local_source(node.body) or "", _form(node)
    try:
        is_folder = stat.S_ISDIR((folder / source).stat().st_mode)
    except FileNotFoundError:
        if has_magic(source):
            hint = "name it; several files are a folder, or an axis: {files: PATTERN}"
            return f"'{ellipsize(source)}' is a pattern, and one {form} is handed on", hint
        what, hint = describe_missing(source, folder)
        return ellipsize(what, 200), hint
    if is_folder == (form == FOLDER):
        return None
    is_now, other = ("folder", FOLDER) if is_folder else ("file", "file")
    what = f"'{ellipsize(source)}' is a {is_now}, and the output '{output_name(node)}' is a {form}"
    return what, f"outputs: {{{output_name(node)}: {other}}}"


def found_file(node: NodeSpec, folder: Path) -> Path:
    """Return the path of the file or folder that a node hands on. Raises NodeError, HandoffError."""
    source = local_source(node.body) or ""
    try:
        wrong = wrong_file(node, folder)
    except OSError as error:
        raise HandoffError(f"cannot read {source}: {reason(error)}", error) from error
    if wrong is not None:
        raise NodeError(*wrong)
    return folder.absolute() / source


def source_path(node: NodeSpec, folder: Path) -> Path | None:
    """Return the path of the file or folder that a node hands on, None if it reads a table."""
    return (folder / (local_source(node.body) or "")).absolute() if node.types else None


def files_in(node: NodeSpec, folder: Path) -> Mapping[str, Path]:
    """Return the file that a node hands on, or all files in its folder, by the names to show."""
    source = local_source(node.body) or node.body
    path = folder / source
    if not path.is_dir():
        return {source: path}
    found = {}
    for above, _, names in os.walk(path):
        for name in names:
            inner = os.path.join(above, name)  # noqa: PTH118
            shown = os.path.join(source, os.path.relpath(inner, path))  # noqa: PTH118
            found[shown] = Path(inner)
    return dict(sorted(found.items()))


def _form(node: NodeSpec) -> str:
    return form_of(next(iter(node.types.values()), TABLE))


READ = Kind(
    name="read",
    says=Says(
        check=check,
        missing=_missing,
        columns=_columns,
        footers=_footers,
        added_outputs=added_outputs,
        synonyms=("source", "seed", "load", "path", "file"),
        is_template=True,
    ),
    runs=Runs(run),
    outside=Outside(
        inputs=_files,
        named=_named,
        remote=lambda node: node.body,
        is_source=_has_local_source,
        source_path=source_path,
        stays_here=_has_local_source,
    ),
    code=Code(key=_key_inputs, packages=("pyarrow",), uses_environment=False),
)

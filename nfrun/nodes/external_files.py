"""Finds the files outside of a run that nodes read and write, and takes their checksums."""

from __future__ import annotations

import json
import os
import queue
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from fnmatch import fnmatch
from glob import has_magic
from itertools import islice
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from nfrun.code.facts.code_facts import NO_FACTS, CodeFacts
from nfrun.core.errors import Cause
from nfrun.core.events import Failure
from nfrun.core.pipeline import NOTHING, NodeSpec, ancestors, has_expression
from nfrun.core.values import replace
from nfrun.nodes.base import NamedFiles
from nfrun.nodes.folders import describe_missing, folder_of, from_base, is_above
from nfrun.nodes.registry import kind_of
from nfrun.system.checksums import MISSING, FileChecksums, FileLook, text_checksum
from nfrun.system.file_search import files_below, find_files, is_match, name_below
from nfrun.system.threads import ABANDONED, start_thread

# Words of a script that ask for the times of files.
_ASKS_TIMES = re.compile(
    r"\bls\s+(?:-\S+\s+)*-[a-zA-Z1]*[tcu]|--sort[= ]time|\s-[no]t\s|-[acm]?newer|\bstat\b|\bdate\s+-r"
)
_MOST_BELOW = 20_000  # files below a folder of which code names some by a pattern
_PLACE = re.compile(r"(?:\{[^{}\n]*\}+|\$\{?\w+\}?)/?")  # of a folder that code puts into the text of a query
_MANY = 1_000  # files of one entry: of more, the journal has one checksum for all


class WrittenFiles(Protocol):
    """Lists the files that nodes have written, by their names relative to the folder of the pipeline."""

    def by_node(self, node: str) -> Collection[str]:
        """Return the files that a node has written in earlier runs."""

    def by_others(self, spec: NodeSpec) -> set[str]:
        """Return the files that are written by other nodes for which this one does not wait."""


class ExternalInputs:
    """Checksums of the files that nodes read, taken before the node runs: `Outside.inputs` and `NodeSpec.files`.

    A file that several nodes read is read once for its checksum. File names are relative to `base`, the folder of the
    pipeline. Files in the folder `work` are left out of folders and patterns, and so is what other nodes write, as
    `written_files` knows.
    `code_facts` returns the paths, folders and patterns that the code of a node reads and writes unseen, and the
    commands that it starts: the files that their scripts name count too. Of the files that it writes, those count for
    whose absolute path `counts` is true.
    """

    def __init__(
        self,
        base: Path,
        work: Path | None = None,
        env: Mapping[str, str] = NOTHING,
        checksums: FileChecksums | None = None,
    ) -> None:
        self._base = base
        self._env = env
        self._skipped = () if work is None else (os.path.realpath(work),)
        self._checksums = checksums or FileChecksums()
        self._snapshots: dict[str, Mapping[str, FileLook] | None] = {}
        self._silent: set[str] = set()  # services that did not answer
        self._named: dict[str, NamedFiles] = {}  # by node, what its text named when it was looked at last
        self.written_files: WrittenFiles | None = None
        self.code_facts: Callable[[NodeSpec], CodeFacts] = lambda spec: NO_FACTS
        self.counts: Callable[[str], bool] = lambda path: True

    def snapshot(self, spec: NodeSpec, *, anew: bool = False) -> Mapping[str, str] | None:
        """Return checksums by file name, "" for a missing file; None if they cannot be taken, see `obstacle`.

        They are taken once, and again with `anew`: when a node starts, nodes before it may have written files.
        """
        if anew or spec.id not in self._snapshots:
            self._snapshots[spec.id] = self._look(spec)
        return _checksums(self._without_others(spec, self._snapshots[spec.id]))

    def recheck(self, spec: NodeSpec, wrote: Collection[str] = ()) -> Mapping[str, str] | None:
        """Return the snapshot without what the node `wrote`, or None if another file has been changed since.

        Reads files again that may have changed. A file whose times have changed may have been edited and edited back,
        unless the node itself seems to write it, or to call `chmod` or the like.
        """
        after = self._without_others(spec, self._look(spec, recheck=True))
        self.snapshot(spec)
        before = self._without_others(spec, self._snapshots[spec.id])  # what others write may have become known since
        if before is None or after is None:
            return None
        named = self._named.get(spec.id)
        kept, now = ({name: files[name] for name in files if name not in wrote} for files in (before, after))
        for name in [name for name in kept if now.get(name, kept[name]) != kept[name]]:
            if now[name].checksum != kept[name].checksum:
                return None
            states = now[name].state, kept[name].state
            if named is not None and named.has_chmod:
                states = states[0][:-1], states[1][:-1]  # without the time that it changes
            if states[0] != states[1] and not self._writes(spec, name):
                return None
        return _checksums(kept) if now.keys() == kept.keys() else None

    def _writes(self, spec: NodeSpec, name: str) -> bool:
        """Return whether a node seems to write a file, or has written it in earlier runs."""
        named, name = self._named.get(spec.id), os.path.normpath(name)
        known = () if self.written_files is None else self.written_files.by_node(spec.id)
        return name in known or (named is not None and name in named.written)

    def written(self, spec: NodeSpec) -> Mapping[str, str]:
        """Return the checksums of the files that a node has just written, and that its text or its code names.

        These are the files that have appeared, and those that have changed and that the text seems to write, or that
        the node has written before. Any other that has changed may have been edited meanwhile.
        """
        before = self.snapshot(spec)
        named = self._named.get(spec.id)
        if before is None or named is None:
            return NOTHING
        after = _checksums(self._without_others(spec, self._look(spec, recheck=True))) or {}
        named = self._named[spec.id]  # now with the files that have appeared
        return {
            name: checksum
            for name, checksum in after.items()
            if before.get(name) != checksum and name in named and (name not in before or self._writes(spec, name))
        }

    def missing(self, spec: NodeSpec) -> str:
        """Return the first entry of `files` that had no file when the snapshot was taken, "" if all had."""
        before, renamed = (self.snapshot(spec) or {}) if spec.files else {}, from_base(spec)
        return next((entry for entry in spec.files if before.get(renamed(entry)) == ""), "")

    def obstacle(self, spec: NodeSpec) -> str:
        """Return why a node cannot be reused: some of its files cannot be checked. "" if all can."""
        if self._snapshots.get(spec.id, NOTHING) is not None:
            return ""
        named = self._named.get(spec.id)
        return (named.obstacle if named is not None else "") or "it reads files that nfrun cannot check for changes"

    def _without_others(self, spec: NodeSpec, files: Mapping[str, FileLook] | None) -> Mapping[str, FileLook] | None:
        named = self._named.get(spec.id)
        if not files or named is None or not named.by_pattern or self.written_files is None:
            return files
        others = self.written_files.by_others(spec) & named.by_pattern
        return {name: look for name, look in files.items() if name not in others}

    def _look(self, spec: NodeSpec, *, recheck: bool = False) -> Mapping[str, FileLook] | None:
        kind, look = kind_of(spec), self._checksums.look
        if self._env and kind.runs.is_process:
            spec = replace(spec, env={**self._env, **spec.env})
        folder = folder_of(spec, self._base)
        files = kind.outside.inputs(spec, folder)
        facts = self.code_facts(spec)
        if files is not None and (facts.files or facts.named or facts.commands):
            files = self._named_by_code(files, facts, folder)
        if files is not None and spec.folder:
            files = _renamed(files, from_base(spec))
        if isinstance(files, NamedFiles):
            self._named[spec.id] = files
        unknown = files is None or (isinstance(files, NamedFiles) and files.obstacle and not spec.files)
        if files is None and (version := remote_version(uri := kind.outside.remote(spec), self._silent)):
            return {_public(uri): FileLook(text_checksum(version), ()), **dict(self._declared(spec, recheck))}
        if files is None or unknown:
            return {} if spec.cache else None
        found = {name: look(path, recheck=recheck) for name, path in files.items()}
        texts = [spec.body] if kind.runs.is_process else [command.text for command in facts.commands]
        if facts.asks_times or any(map(_ASKS_TIMES.search, texts)):
            found = {name: replace(look, checksum=f"{look.checksum} {look.state[3:4]}") for name, look in found.items()}
        if isinstance(files, NamedFiles):
            found |= {name: FileLook(digest, ()) for name, digest in files.digests.items()}
        return {**found, **dict(self._declared(spec, recheck))} if spec.files else found

    def _named_by_code(self, files: Mapping[str, Path], facts: CodeFacts, folder: Path) -> NamedFiles:
        """Return the files with those that the code of a node in `folder` names: paths, folders and patterns."""
        named, below = NamedFiles(files), dict[str, list[str]]()
        elsewhere = "" if os.path.realpath(".") == os.path.realpath(folder) else f"{Path.cwd()}{os.sep}"
        for name in dict.fromkeys((*facts.files, *facts.named)):
            is_read = name in facts.files
            for path in dict.fromkeys((name, f"{elsewhere}{name}".removeprefix(f"{folder}/"))):
                with suppress(OSError, ValueError):
                    found = self._found(path, folder, is_read, below)
                    if found is None:
                        named.obstacle = named.obstacle or f"its code names {path}, and there are too many files below"
                    elif len(found) > _MANY:
                        states = [
                            (inner, file.stat().st_size, file.stat().st_mtime_ns) for inner, file in found.items()
                        ]
                        named.digests[path] = text_checksum(json.dumps(states))
                    else:
                        named.update(found)
                        named.by_pattern.update(inner for inner in found if inner != path or not is_read)
        named.written.update(os.path.normpath(name) for name in facts.written)
        for query in [path for path in named.values() if ".sql" in path.name]:
            from nfrun.nodes.texts.sql_files import sql_files

            with suppress(OSError):  # it is told when the node runs
                text = query.read_text("utf-8", "replace")
                of_query = sql_files(f"{text}\n;{_PLACE.sub('', text)}", {}, folder)
                named.by_pattern.update(of_query.keys() - named.keys())
                named.written.update(of_query.written)
                named.update(of_query)
        if facts.commands:
            from nfrun.nodes.texts.script_files import script_files

            for command in facts.commands:
                places = [*command.folders, *(str(Path(elsewhere, inner)) for inner in command.folders)]
                of_scripts = script_files(command.text, {}, folder, places, "a script it starts")
                named.by_pattern.update(of_scripts.by_pattern - named.keys())
                named.written.update(of_scripts.written)
                named.has_chmod |= of_scripts.has_chmod
                named.update(of_scripts)
                named.obstacle = named.obstacle or of_scripts.obstacle
        return named

    def _found(self, name: str, folder: Path, is_read: bool, below: dict[str, list[str]]) -> Mapping[str, Path] | None:
        """Return the files that a path, a folder or a pattern in the code of a node stands for.

        None for a pattern below a folder with too many files. `below` keeps the files below each folder.
        """
        path = folder / name.rstrip("/")
        found: Mapping[str, Path] = {}
        if path.is_file():
            logs = (f"{path}.wal", f"{path}-wal")  # of a database
            found = {name.rstrip("/"): path} | {
                name_below(str(folder), log): Path(log) for log in logs if Path(log).is_file()
            }
        elif has_magic(name) and not path.is_dir():
            parts = os.path.expanduser(name.rstrip("/")).split("/")  # noqa: PTH111 (a Path drops a leading `./`)
            fixed = next((i for i, part in enumerate(parts) if has_magic(part)), 0)
            start = "".join(f"{part}/" for part in parts[:fixed])
            if not (folder / start).is_dir():
                return {}
            if "**" not in parts:
                found = find_files("/".join(parts), folder, self._skipped)
            else:
                if start not in below:
                    every = files_below(str(folder / start), self._skipped)
                    below[start] = list(islice(every, _MOST_BELOW + 1))
                if len(below[start]) > _MOST_BELOW:
                    return None
                matches = (inner for inner in below[start] if is_match(parts[fixed:], inner.split("/")))
                found = {start + inner: folder / start / inner for inner in sorted(matches)}
        elif is_read or name.endswith("/"):
            found = find_files(name.rstrip("/"), folder, self._skipped)
        return found if is_read else {inner: file for inner, file in found.items() if self._is_data(file)}

    def _is_data(self, path: Path) -> bool:
        return path.suffix not in (".py", ".pyc") and self.counts(os.path.normpath(path))

    def _declared(self, spec: NodeSpec, recheck: bool) -> Iterator[tuple[str, FileLook]]:
        for entry, files in declared_files(spec, self._base, self._skipped).items():
            found = {name: self._checksums.look(path, recheck=recheck) for name, path in files.items()}
            shown = from_base(spec)(entry)
            if not found:
                found = {shown: MISSING}
            elif len(found) > _MANY:
                state = tuple(value for look in found.values() for value in look.state)
                found = {shown: FileLook(text_checksum(json.dumps(_checksums(found))), state)}
            for name in found.keys() & self._named.get(spec.id, NOTHING).keys():
                del self._named[spec.id][name]  # a declared file is an input, whatever the text does with it
            yield from found.items()


def _renamed(files: Mapping[str, Path], rename: Callable[[str], str]) -> Mapping[str, Path]:
    """Return files under other names. `NamedFiles` stay such."""
    if isinstance(files, NamedFiles):
        return files.renamed(rename)
    return {rename(name): path for name, path in files.items()}


def _checksums(files: Mapping[str, FileLook] | None) -> dict[str, str] | None:
    return None if files is None else {name: look.checksum for name, look in files.items()}


def _public(uri: str) -> str:
    """Return a URI without its user name, password and parameters, which may be secret."""
    return re.sub("://[^/@]*@", "://", uri).partition("?")[0]


def external_outputs(spec: NodeSpec, base: Path) -> Mapping[str, str]:
    """Return the checksums of the files that a node writes, by name; "" for a missing file. Folders are left out."""
    checksum = FileChecksums().of
    return {name: checksum(path) for name, path in written_files(spec, base).items() if not path.is_dir()}


def declared_files(spec: NodeSpec, base: Path, skipped: Collection[str] = ()) -> dict[str, dict[str, Path]]:
    """Return the files of each entry, by the name to show; none for an entry without a file.

    `base` is the folder of the pipeline here and below. Names to show are relative to it, entries to that of the node.
    """
    found, folder, renamed = {}, folder_of(spec, base), from_base(spec)
    for entry in spec.files:
        found[entry] = dict[str, Path]()
        with suppress(OSError, ValueError):
            if not is_above(entry, folder):
                found[entry] = {renamed(name): path for name, path in find_files(entry, folder, skipped).items()}
    return found


def failure_without(entry: str, spec: NodeSpec, base: Path) -> Failure:
    """Return the `Failure` of a node for an entry of its `files` without a file."""
    what, hint = describe_missing(entry, folder_of(spec, base))
    return Failure(Cause.NODE, "", f"{what}, which 'files' of the node names", details=hint)


def written_files(spec: NodeSpec, base: Path) -> dict[str, Path]:
    """Return the files that the pipeline file says a node writes, by the name to show."""
    found = kind_of(spec).outside.outputs(spec, folder_of(spec, base))
    renamed = from_base(spec)
    return {renamed(name): path for name, path in found.items()}


def used_files(spec: NodeSpec, base: Path) -> set[str]:
    """Return the names of files that the pipeline file says a node reads or writes, and those that patterns find.

    Names below `base` are relative to it.
    """
    kind, folder, renamed = kind_of(spec), folder_of(spec, base), from_base(spec)
    named = {*kind.outside.named(spec), *kind.outside.outputs(spec, folder), *spec.files}
    named.update(kind.outside.inputs(spec, folder) or ())
    found = {*map(renamed, named)}.union(*declared_files(spec, base).values())
    return {os.path.normpath(name).removeprefix(f"{base}{os.sep}") for name in found}


def missing_files(
    spec: NodeSpec, nodes: Mapping[str, NodeSpec], base: Path, skipped: Collection[str] = ()
) -> Iterator[tuple[str, str, str]]:
    """Yield each entry for which there is no file, with a message and a hint.

    Leaves out what a node may write that ends before this one starts.
    """
    for entry, files in declared_files(spec, base, skipped).items():
        if not files and not has_expression(entry) and not is_written_before(entry, spec, nodes, base):
            yield entry, *describe_missing(entry, folder_of(spec, base))


def is_written_before(entry: str, spec: NodeSpec, nodes: Mapping[str, NodeSpec], base: Path) -> bool:
    """Return whether a node that ends before this one starts may write the file, which this one names."""
    entry = from_base(spec)(entry)
    before = ancestors(spec.id, nodes)
    # A node without inputs waits for others because of what they do.
    needed = {need for name in (spec.id, *before) for need in nodes[name].needs} if spec.inputs else before
    return any(_may_write(nodes[name], entry, base, needed) for name in before)


def _holds(folder: str | Path, path: str | Path) -> bool:
    """Return whether a path is a folder or in it. Follows links."""
    return f"{os.path.realpath(path)}{os.sep}".startswith(f"{os.path.realpath(folder)}{os.sep}")


def _may_write(node: NodeSpec, entry: str, base: Path, needed: Collection[str]) -> bool:
    kind = kind_of(node)
    if kind.runs.calls_code or kind.runs.is_expanded or (kind.runs.is_process and node.id in needed):
        return node.id in needed  # what code and scripts write is not known: only `needs` tells that it may matter
    if kind.says.is_template and has_expression(node.body):
        return True
    pattern, real = os.path.normpath(entry), os.path.realpath(base / entry)
    for name, path in written_files(node, base).items():
        if fnmatch(os.path.normpath(name), pattern) or _holds(real, path) or _holds(path, real):
            return True
    last = Path(pattern).name
    return not kind.says.is_template and (has_magic(last) or last in node.body)


# ------------------------------------------------------------------ files for which nobody waits

# In a Makefile the name of a file joins two rules. Here only `inputs` and `needs` do, so a node may read an old file.

_MAKES = (">", "tee", "touch", "truncate", "-o", "-O", "--out", "of=")  # without one of these a script makes no file


def unwaited_files(nodes: Mapping[str, NodeSpec], folder: Path) -> Iterator[tuple[NodeSpec, str, NodeSpec]]:
    """Yield each node that names a file, the file, and the node whose script makes it, if neither waits for the other.

    Each is yielded once for two nodes of the pipeline in `folder`; of a matrix, its first cell counts. A file that the
    reader makes too, as scratch files are, and a word that is no path for sure are left out.
    """
    cells = {spec.declared: spec for spec in reversed([*nodes.values()]) if spec.kind and spec.body}
    made = {name: files for name, spec in cells.items() if (files := _made_by_script(spec, folder))}
    for name, spec in reversed(cells.items()) if made else ():
        named = _named_paths(spec, folder) - made.get(name, set())
        for writer, files in made.items():
            for file in named & files:
                before = {nodes[other].declared for other in ancestors(spec.id, nodes)}
                after = {nodes[other].declared for other in ancestors(cells[writer].id, nodes)}
                if writer not in before and name not in after:
                    yield spec, file, cells[writer]


def _made_by_script(spec: NodeSpec, folder: Path) -> set[str]:
    if not kind_of(spec).runs.is_process or not any(sign in spec.body for sign in _MAKES):
        return set()
    words = set(kind_of(spec).outside.named(spec))  # none after a `cd`
    if not words:
        return set()
    from nfrun.nodes.shell import script_commands
    from nfrun.nodes.texts.script_words import made_words

    found = [word for command in script_commands(spec) for word in made_words(command) if word in words]
    return _paths(spec, folder, found)


def _named_paths(spec: NodeSpec, folder: Path) -> set[str]:
    return _paths(spec, folder, [*kind_of(spec).outside.named(spec), *spec.files])


def _paths(spec: NodeSpec, folder: Path, words: list[str]) -> set[str]:
    """Return the words that are paths of files, relative to the folder of the pipeline where they are below it."""
    renamed = from_base(spec)
    paths = (word for word in words if ("/" in word or "." in word) and word[0] not in "-$" and not has_magic(word))
    found = {os.path.normpath(renamed(path)).removeprefix(f"{folder}{os.sep}") for path in paths if path[-1] != "/"}
    return {path for path in found if path not in (".", "..") and not path.startswith("/dev/")}


PATIENCE_SECONDS = 10.0
_VERSION_KEYS = ("etag", "versionid", "generation")  # in lower case; S3, Google and Azure have the first


def remote_version(uri: str, silent: set[str]) -> str | None:
    """Return the version of a file of a service, such as S3: the ETag, and the version id where there are several.

    None if the service gives none, or no answer within 10 seconds: then it is `silent`, and not asked again.
    """
    host = f"{urlsplit(uri).scheme}://{urlsplit(uri).netloc}"
    if not uri or host in silent:
        return None
    # The service is asked on a thread that may be left behind: no library ends all waiting in time.
    answer: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    start_thread(lambda: answer.put(_version_of(uri)), ABANDONED)
    try:
        return answer.get(timeout=PATIENCE_SECONDS)
    except queue.Empty:
        silent.add(host)
        return None


def _version_of(uri: str) -> str | None:
    try:
        from pyarrow.fs import FileSystem

        filesystem, path = FileSystem.from_uri(uri)
        with filesystem.open_input_file(path) as file:
            found = {str(key).lower(): value for key, value in (file.metadata() or {}).items()}
    except Exception:  # if the error persists, the node fails with it when it reads the file
        return None
    values = [str(found[key]) for key in _VERSION_KEYS if found.get(key)]
    return " ".join(values) or None

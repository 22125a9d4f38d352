"""Opens the inputs of an attempt as tables or files, and puts the cells of gathered inputs together."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from nfrun.core.errors import HandoffError, NodeError, NotStored
from nfrun.core.events import OutputRef
from nfrun.core.file_source import FileSource
from nfrun.core.output_types import TABLE, ending_of, form_of
from nfrun.core.pipeline import Gather, Input, NodeSpec, OutputId

if TYPE_CHECKING:
    from nfrun.tables.output_files import WorkerStore
    from nfrun.tables.store import TableStore

    OutputStore: TypeAlias = TableStore | WorkerStore  # passes outputs between nodes, in the run's process or a worker


class AttemptInputs:
    """The inputs of an attempt at a node. `given` has the outputs that were made, of all that the node may read.

    `waits` has the seconds for which the attempt waited for each, and `lost` has those that are not in their place any
    more. `is_broken`: an error came from nfrun's own code.
    """

    __slots__ = ("_given", "_node", "_store", "is_broken", "lost", "waits")

    def __init__(self, node: NodeSpec, given: Mapping[str, OutputRef], store: OutputStore) -> None:
        self._node = node
        self._given = given
        self._store = store
        self.is_broken = False
        self.lost: list[OutputRef] = []
        self.waits: dict[OutputId, float] = {}

    def has(self, name: str) -> bool:
        """Return whether there is something to read under this name. Raises NodeError for an unknown name."""
        return bool(self._input(name).read(self._given.__contains__))

    def table(self, name: str) -> Any:
        """Return the table or the path of the file, or with `gather: dict` those of the cells.

        Raises NodeError, FormatError, HandoffError.
        """
        gather, outputs = self._gathered(name)
        if gather is None:
            return self._read(outputs[0], self._store.open)
        from nfrun.tables.gathered import put_together

        return put_together(gather, {output: self._read(output, self._store.open) for output in outputs})

    def files(self, name: str) -> FileSource | None:
        """Return the files that hold the table of an input, None if there are none. Raises NodeError, HandoffError."""
        gather, outputs = self._gathered(name)
        found = self._given[outputs[0]].files
        return self._store.files(self._given[outputs[0]]) if found is not None and gather is None else None

    def file(self, name: str, scratch: Callable[[], Path]) -> Path:
        """Return the path of the file, made in the folder `scratch()` if the input is gathered.

        With `gather: dict` it is a folder of links to the files of the cells. Raises NodeError, FormatError,
        HandoffError, OSError.
        """
        gather, outputs = self._gathered(name)
        if gather is None:
            path: Path = self._read(outputs[0], self._store.file)
            return path
        if gather.form == "dict":
            folder = scratch() / f"input_{name}"
            folder.mkdir()
            for output in outputs:
                file: Path = self._read(output, self._store.file)
                ending = ".arrow" if self._given[output].type == TABLE else ending_of(self._given[output].type)
                (folder / f"{output.cell(self._node.id)}{ending}").symlink_to(file.absolute())
            return folder
        from nfrun.tables.ipc import write_file

        path = scratch() / f"input_{name}.arrow"
        write_file(self.table(name), path)
        return path

    def described(self) -> Iterator[str]:
        """Yield a line for each input: its rows and its schema, and the number of its cells."""
        for item in self._node.inputs:
            outputs = item.read(self._given.__contains__)
            if outputs:
                yield f"{item.name}: {_described([self._given[o] for o in outputs], item.gathered(outputs))}"

    def _input(self, name: str) -> Input:
        for item in self._node.inputs:
            if item.name == name:
                return item
        raise NodeError(f"the node has no input '{name}'")

    def _gathered(self, name: str) -> tuple[Gather | None, tuple[OutputId, ...]]:
        """Return the outputs that the input reads, and how they are put together, None for a single output."""
        item = self._input(name)
        outputs = item.read(self._given.__contains__)
        if not outputs:
            raise NodeError(f"the input '{name}' has no data: '{item.output}' handed nothing on")
        return item.gathered(outputs), outputs

    def _read(self, output: OutputId, read: Callable[[OutputRef], Any]) -> Any:
        ref, began = self._given[output], time.perf_counter()
        try:
            return read(ref)
        except NotStored:
            self.lost.append(ref)
            raise
        except HandoffError:  # its cause is known by its type, and the kind may handle it
            raise
        except BaseException:
            self.is_broken = True
            raise
        finally:
            self.waits[ref.id] = self.waits.get(ref.id, 0.0) + time.perf_counter() - began


def _described(refs: Sequence[OutputRef], gather: Gather | None) -> str:
    if refs[0].type != TABLE:
        cells = f"{len(refs):,} cell{'' if len(refs) == 1 else 's'}, " if gather else ""
        return f"{cells}{form_of(refs[0].type)}, {sum(ref.bytes for ref in refs):,} bytes"
    rows, schemas = sum(ref.rows for ref in refs), list(dict.fromkeys(ref.schema for ref in refs))
    cells = f"{len(refs):,} cell{'' if len(refs) == 1 else 's'}, " if gather else ""
    more = len(schemas) - 1
    others = f" (and {more:,} other schema{'' if more == 1 else 's'})" if more else ""
    return f"{cells}{rows:,} row{'' if rows == 1 else 's'}, {schemas[0] or 'no columns'}{others}"

"""Fetches outputs of runs from the places that machines share."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from nfrun.core.errors import HandoffError, NotStored
from nfrun.history.journal import FinishedOutput
from nfrun.history.run_history import is_intact

if TYPE_CHECKING:
    from nfrun.tables.places.stored_outputs import StoredOutputs


def fetched(output: FinishedOutput) -> Path | None:
    """Return a path with what is at the address of an output, None if nothing intact is there.

    It stays until the process ends. Raises HandoffError if the place cannot be reached.
    """
    try:
        path = _stored().get(output.stored)
        return path if is_intact(path, output) else None
    except NotStored:
        return None
    except OSError as error:
        raise HandoffError(f"cannot read {output.stored}: {error.strerror}", error) from error


@cache
def _stored() -> StoredOutputs:
    from nfrun.tables.places.stored_outputs import StoredOutputs  # most runs have none

    return StoredOutputs()

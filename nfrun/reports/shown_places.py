"""Says where an output is, for people and programs."""

from __future__ import annotations

from nfrun.core.events import OutputRef


def path_here(ref: OutputRef) -> str | None:
    """Return the path of an output on this machine, also in a folder that machines share; None if it is in no file."""
    if ref.path is not None or ref.stored is None:
        return ref.path
    from nfrun.tables.places.base import path_of  # few runs have a place that machines share

    return path_of(ref.stored)


def shown_place(ref: OutputRef) -> str | None:
    """Return the path of an output, or its address in object storage; None if it is in no file."""
    return path_here(ref) or ref.stored

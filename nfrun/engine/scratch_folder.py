"""Makes the folder that an attempt has for itself."""

from __future__ import annotations

import tempfile
from pathlib import Path

from nfrun.core.errors import HandoffError
from nfrun.core.text import file_stem


def make_scratch(scratch: Path, node: str, attempt: int) -> Path:
    """Make a folder for an attempt in the folder `scratch`, which the run may lack. Raises HandoffError."""
    try:
        scratch.mkdir(exist_ok=True)  # the folder of the run may have been removed
        return Path(tempfile.mkdtemp(prefix=f"{file_stem(node)}.{attempt}.", dir=scratch))
    except OSError as error:
        what = f"cannot make a folder for the node '{node}' in {scratch}"
        raise HandoffError(f"{what}: {error.strerror}", error) from error

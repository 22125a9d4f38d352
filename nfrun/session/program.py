"""What a Python program can give to a run or a plan, and a command line cannot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nfrun.core.pipeline import NOTHING
from nfrun.core.values import field, frozen
from nfrun.pipeline_file.built_document import BuiltPipeline


@frozen
class Program:
    """Parameters by name with their types, and the pipeline if the program has built it: then there may be no file."""

    params: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    built: BuiltPipeline | None = None

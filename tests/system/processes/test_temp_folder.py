"""Tests of the folder in which `multiprocessing` keeps its sockets, whose paths must be short."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("is_reserved", [True, False])
@pytest.mark.parametrize("is_long", [True, False])
def test_sockets_have_a_short_path_also_where_that_of_temporary_files_is_long(
    tmp_path: Path, is_reserved: bool, is_long: bool
) -> None:
    folder = tmp_path / ("x" * 100) if is_long else Path(f"/tmp/short-{os.getpid()}")
    folder.mkdir()
    reserve = "reserve_temp_folder(); " if is_reserved else ""
    code = (
        f"from nfrun.system.processes.process_exit import *; {reserve}use_temp_folder()\n"
        "from multiprocessing.connection import Listener; import os\n"
        "with Listener(family='AF_UNIX') as it: print(os.path.dirname(os.path.dirname(it.address)))"
    )
    environ = {**os.environ, "TMPDIR": str(folder)}
    done = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout == f"{'/tmp' if is_long else folder}\n"
    folder.rmdir()  # nothing is left in it

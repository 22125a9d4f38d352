"""Imports installed packages in the fork server. That process imports this module, which imports them at once.

Only packages are imported that start no threads and read no files of the user, such as a configuration: forked workers
may hang if the fork server has threads, and only in a worker it is seen which files a node depends on. Workers import
all others themselves. `environ` are the variables that the packages have changed.
"""

from __future__ import annotations

import os
from contextlib import suppress

VARIABLE = "NFRUN_PRELOAD"  # the names of the packages
_SAFE = ("numpy", "pandas", "pyarrow")
_SAFE_WITH_ONE_THREAD = ("scipy", "sklearn")  # their own BLAS starts a thread for each core that it may use


def _imported(packages: list[str]) -> dict[str, str]:
    before = dict(os.environ)
    safe = (*_SAFE, *(_SAFE_WITH_ONE_THREAD if before.get("OMP_NUM_THREADS") == "1" else ()))
    for package in packages:
        if package.partition(".")[0] in safe:
            with suppress(BaseException):  # a package may raise anything; the worker that imports it reports the error
                __import__(package)
    return {name: value for name, value in os.environ.items() if before.get(name) != value}


environ = _imported(os.environ.pop(VARIABLE, "").split())

"""Decides how many threads native libraries start.

Each BLAS or OpenMP library starts a thread for each core, in every node at once, and their number changes the last bits
of results. Libraries read it from the environment when they are loaded, so the variables must be set before anything
imports numpy. pyarrow imports numpy where it is installed.
"""

from __future__ import annotations

from collections.abc import Mapping

from nfrun.core.pipeline import Pipeline
from nfrun.system.runtime import cores

_TOKENIZERS = "TOKENIZERS_PARALLELISM"
_OPENMP = "OMP_NUM_THREADS"
_VARIABLES = (
    _OPENMP,
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


def thread_variables(count: int, given: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that give each native library `count` threads, without those that are `given`.

    If `OMP_NUM_THREADS` is given, its number counts for all: without the other variables, most libraries take it.
    """
    number = given.get(_OPENMP, "").partition(",")[0].strip() or str(count)
    wanted = dict.fromkeys(_VARIABLES, number) | {_TOKENIZERS: "true" if count > 1 else "false"}
    return {name: value for name, value in wanted.items() if name not in given}


def default_thread_variables(pipeline: Pipeline, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables for the nodes of a pipeline that ask for no number of threads.

    Each node gets one thread, whatever runs beside it. The only node of a file gets as many as it wants.
    """
    return thread_variables(1, {**environ, **pipeline.env}) if len(pipeline.nodes) > 1 else {}


def given_thread_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Return those of the variables that an environment has."""
    return {name: environ[name] for name in (*_VARIABLES, _TOKENIZERS) if name in environ}


def arrow_threads(variables: Mapping[str, str]) -> int:
    """Return the threads of Arrow's pool, which these variables shall not make smaller. 0 if they would not."""
    return cores() if _OPENMP in variables else 0

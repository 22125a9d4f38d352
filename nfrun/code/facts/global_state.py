"""Names the uses of process-global state: generators of random numbers, directory, environment, locale, figures."""

from __future__ import annotations

import ast
import re
from functools import lru_cache

from nfrun.code.facts.names import pattern_of

_NUMPY_OWN = """default_rng Generator BitGenerator SeedSequence RandomState PCG64 PCG64DXSM MT19937 Philox SFC64
    bit_generator"""  # what draws from a generator of its own
_TORCH_DRAWS = "rand randn randint randperm normal bernoulli multinomial poisson rand_like randn_like randint_like"
_SEEDS = {"random_state", "seed", "generator", "rng"}
_GENERATORS = {
    *(f"random.{name}()" for name in ("Random", "SystemRandom")),
    *(f"numpy.random.{name}()" for name in ("default_rng", "Generator", "RandomState")),
}
# Of scikit-learn, what draws no random numbers. More does not: it runs in a process without need.
_SKLEARN_CALM = re.compile(r"sklearn\.(?:(?:base|compose|metrics(?!.*\.silhouette)|pipeline)\.|\w+\.load_).*")

# Uses of global state, as `Names.of` names them. A module that is used as a value is one as well.
_MODULES = {"random", "numpy.random", "matplotlib.pyplot", "pylab", "torch.random"}
_NAMES = re.compile(
    pattern_of(
        {
            "random": r"(?!Random\b|SystemRandom\b)\w+",
            "numpy.random": rf"(?!(?:{'|'.join(_NUMPY_OWN.split())})\b)\w+",
            "torch": "manual_seed manual_seed_all seed set_rng_state",
            "torch.cuda": "manual_seed manual_seed_all seed set_rng_state",
            "torch.random": ".+",
            "torch.nn.init": ".+",
            "os": "chdir fchdir putenv unsetenv",
            "os.environ": "update setdefault pop popitem clear __setitem__ __delitem__",
            "contextlib": "chdir",
            "unittest.mock": r"patch\.dict",  # of os.environ, perhaps
            "sys": "setrecursionlimit setswitchinterval settrace setprofile",
            "threading": "settrace setprofile settrace_all_threads setprofile_all_threads stack_size",
            "locale": "setlocale",
            "matplotlib.pyplot": ".+",
            "pylab": ".+",
            "duckdb": r"(?!connect\b|tokenize\b|typing\b|[A-Z_])\w+",  # its default connection
        }
    )
)


@lru_cache(maxsize=10_000)
def _is_state(name: str) -> bool:
    return name in _MODULES or _NAMES.fullmatch(name) is not None


def used_state(name: str, call: ast.Call | None) -> str:
    """Return the process-global state that a use of a name touches, "" if none.

    `name` is what `Names.of` returns, and `call` the call if the name is called.
    """
    if _is_state(name):
        return name
    if call is None:
        return ""
    base, _, last = name.rpartition(".")
    if name == "duckdb.connect" and call.args and getattr(call.args[0], "value", "") == ":default:":
        return name
    if base == "torch" and last in _TORCH_DRAWS.split():
        return "" if _has_seed(call) else name
    if name.startswith("sklearn.") and "()" not in name:
        return "" if _SKLEARN_CALM.fullmatch(name) or _has_seed(call) else name
    return ""


def unseeded_sample(call: ast.Call, receiver: str) -> bool:
    """Return whether a call of a method `sample` draws from a global generator, as that of a DataFrame does."""
    is_sample = isinstance(call.func, ast.Attribute) and call.func.attr == "sample"
    return is_sample and receiver not in _GENERATORS and receiver != "random" and not _has_seed(call)


def is_generator(value: str) -> bool:
    """Return whether the value of a variable, as `Names.of` returns it, is a generator of random numbers."""
    return value in _GENERATORS


def _has_seed(call: ast.Call) -> bool:
    return any(
        keyword.arg in _SEEDS and not (isinstance(keyword.value, ast.Constant) and keyword.value.value is None)
        for keyword in call.keywords
    )

"""Finds the packages that code imports whenever it runs, and says how to install them."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from nfrun.code.distributions import normalized
from nfrun.code.module_finder import find_module, is_installed
from nfrun.core.text import closest_match

if TYPE_CHECKING:
    from nfrun.code.fingerprint import Fingerprints
    from nfrun.code.reached_code import Statement

# What may let Python find other modules than now.
_FINDERS = (
    *("sys.path", "sys.meta_path", "sys.modules", "from sys import", "importlib", "addsitedir", "import_hook"),
    *("pyximport", "cppimport", "jpype", "jnius", "import clr", "gi.repository"),
)
_IMPORT = re.compile(
    r"^(?:import[ \t]+(?P<modules>[\w., \t]+)"
    r"|from[ \t]+(?P<dots>\.*)(?P<module>[\w.]*)[ \t]+import\b[ \t]*(?P<names>\([^)]*\)|[^#;\n]+))",
    re.MULTILINE,
)
_MANY = 100  # modules that are followed
_PROJECT, _ELSEWHERE, _MISSING = "project", "elsewhere", ""
_DISTRIBUTIONS = {
    **{"attr": "attrs", "bs4": "beautifulsoup4", "cv2": "opencv-python", "Crypto": "pycryptodome"},
    **{"docx": "python-docx", "dotenv": "python-dotenv", "faiss": "faiss-cpu", "fitz": "pymupdf", "git": "gitpython"},
    **{"jwt": "pyjwt", "Levenshtein": "levenshtein", "magic": "python-magic", "MySQLdb": "mysqlclient"},
    **{"OpenSSL": "pyopenssl", "PIL": "pillow", "pptx": "python-pptx", "psycopg2": "psycopg2-binary"},
    **{"serial": "pyserial", "skimage": "scikit-image", "sklearn": "scikit-learn", "slugify": "python-slugify"},
    **{"umap": "umap-learn", "yaml": "pyyaml", "zmq": "pyzmq", "dateutil": "python-dateutil"},
}
_SAME_NAME = """
aiohttp anthropic boto3 botocore catboost click dask datasets deltalake django duckdb fastapi flask fsspec
gensim geopandas h5py httpx hypothesis ibis-framework implicit jax jinja2 joblib keras lightgbm litellm lxml
matplotlib networkx nltk numba numpy openai openpyxl optuna orjson pandas pandera plotly polars prophet
psutil psycopg pyarrow pydantic pymongo pyspark pytest rapidfuzz rasterio redis requests rich s3fs scipy
seaborn sentence-transformers shap shapely spacy sqlalchemy sqlglot statsmodels tabulate tenacity tensorflow
tiktoken tokenizers toolz torch torchvision tqdm transformers typer ujson xarray xgboost xlsxwriter zarr
"""


def install_hint(name: str) -> str:
    """Return how to install the package that has a module of this name, or is called so; "" if that is not known."""
    found = _DISTRIBUTIONS.get(name) or normalized(name)
    return f"install it with: pip install {found}" if found in {*_SAME_NAME.split(), *_DISTRIBUTIONS.values()} else ""


def import_hint(name: str, folder: Path) -> str:
    """Return what to do about an import of a missing module; `folder` is the pipeline's."""
    if hint := install_hint(name):
        return hint
    files = (path for path in folder.iterdir() if path.suffix == ".py" or path.is_dir())
    guess = closest_match(name, (path.stem for path in files if path.stem.isidentifier()))
    return f"did you mean '{guess}'?" if guess else "install the package that has it"


def finds_modules_itself(text: str) -> bool:
    """Return whether code may change how modules are found."""
    return any(word in text for word in _FINDERS)


def shown_file(file: Path, folder: Path) -> str:
    """Return the name of a file for messages: relative to `folder`, or else with the folder around it."""
    return str(file.relative_to(folder)) if file.is_relative_to(folder) else "/".join(file.parts[-2:])


def missing_at_import(module: str, folder: Path, base: Path | None = None) -> list[tuple[str, str]]:
    """Return the packages that are not installed and without which a module cannot be loaded, each with `file:line`.

    Files are shown relative to `base`, by default `folder`. Follows imports among the project's modules beside the
    pipeline. Returns nothing if the code may change how modules are found.
    """

    # Parsing takes far longer than looking at the lines, and few projects lack a package.
    maybe = _imported(module, folder, _by_lines, folder, _MISSING)
    return _imported(module, folder, _by_tree, base or folder, _MISSING) if maybe else []


def packages_at_import(module: str, folder: Path) -> list[str]:
    """Return the installed packages without which a module cannot be loaded, see `missing_at_import`."""
    found = _imported(module, folder, _by_tree, folder, _ELSEWHERE)
    return [name for name in dict.fromkeys(top for top, _ in found) if name not in sys.stdlib_module_names]


def _imported(
    module: str, folder: Path, imports: Callable[[bytes, str], Iterator[tuple[str, int]]], base: Path, place: str
) -> list[tuple[str, str]]:
    """Return the packages at a `place` that a module imports when it is loaded, each with `file:line`.

    `imports(text, package)` yields the imports of a module.
    """
    found: dict[tuple[str, Path], str] = {}
    left, seen = [module], set[str]()
    places: dict[str, str] = {}  # by package, as `_place_of` returns it
    while left and len(seen) < _MANY:
        for name in accumulate(left.pop(0).split("."), "{}.{}".format):
            file = _file_of(name, folder) if name not in seen else None
            seen.add(name)
            if file is None:
                continue
            try:
                text = file.read_bytes()
            except OSError:
                continue
            if finds_modules_itself(text.decode("utf-8", "replace")):
                return []
            for imported, line in imports(text, name if file.name == "__init__.py" else name.rpartition(".")[0]):
                top = imported.partition(".")[0]
                if top not in places:
                    places[top] = _place_of(top, folder)
                if places[top] == place:
                    found.setdefault((top, file), f"{shown_file(file, base)}:{line}")
                elif places[top] == _PROJECT and imported not in seen:
                    left.append(imported)
    return [(top, where) for (top, _), where in found.items()]


def _file_of(module: str, folder: Path) -> Path | None:
    """Return the source of a module that lies beside the pipeline, None for any other."""
    spec = find_module(module, folder)
    file = Path(spec.origin) if spec is not None and spec.has_location and spec.origin else None
    is_ours = (
        file is not None and file.suffix == ".py" and file.is_relative_to(folder) and not is_installed(file, folder)
    )
    return file if is_ours else None


def _place_of(package: str, folder: Path) -> str:
    """Return where a package is: beside the pipeline, elsewhere, or nowhere."""
    if find_module(package, folder) is None:
        return _MISSING
    is_near = any(os.access(folder / name, os.F_OK) for name in (package, f"{package}.py"))
    return _PROJECT if is_near else _ELSEWHERE


def _by_tree(text: bytes, package: str) -> Iterator[tuple[str, int]]:
    """Yield the modules that a module imports whenever it is loaded, with the lines."""
    from nfrun.code.bindings import always_imported
    from nfrun.code.names_reader import parse

    with suppress(SyntaxError, ValueError, RecursionError, MemoryError):
        yield from always_imported(parse(text).body, package)


def _by_lines(text: bytes, package: str) -> Iterator[tuple[str, int]]:
    """Yield the modules that the lines of a module seem to import whenever it is loaded, with no numbers of lines."""
    for line in _IMPORT.finditer(text.decode("utf-8", "replace")):
        if line["modules"]:
            yield from ((part.split()[0], 0) for part in line["modules"].split(",") if part.split())
            continue
        above = package.split(".")[: 1 - len(line["dots"]) or None] if line["dots"] else []
        if module := ".".join(filter(None, [*above, line["module"]])):
            yield module, 0
            yield from ((f"{module}.{name}", 0) for name in re.findall(r"\w+", line["names"]))


class MissingImports:
    """Finds the missing imports of code that nodes reach."""

    def __init__(self, code: Fingerprints) -> None:
        self._code = code
        self._found: dict[int, Sequence[tuple[str, str]] | None] = {}  # by the id of a group
        self._finds_itself: dict[str, bool] = {}  # by module of the project
        self._missing: dict[str, bool] = {}  # by package

    def of(self, groups: Iterable[Sequence[Statement]]) -> Sequence[tuple[str, str]]:
        """Return the names of the missing modules, with `file:line`. The groups are those of `Fingerprints.reached`."""
        found: list[tuple[str, str]] = []
        for group in groups:
            if id(group) not in self._found:
                self._found[id(group)] = self._of_group(group)
            inside = self._found[id(group)]
            if inside is None:
                return []
            found += inside
        return found

    def _of_group(self, group: Sequence[Statement]) -> Sequence[tuple[str, str]] | None:
        """Return the missing imports of these statements of a module; None if it may change how modules are found."""
        module = group[0].module
        file, symbols = self._code.file_of(module), self._code.symbols_of(module)
        if file is None or symbols is None:
            return []
        if module not in self._finds_itself:
            try:
                self._finds_itself[module] = finds_modules_itself(file.read_bytes().decode("utf-8", "replace"))
            except OSError:
                self._finds_itself[module] = True
        if self._finds_itself[module]:
            return None
        from nfrun.code.bindings import FUNCTIONS, always_imported

        at_top = (line for bound in symbols.imports.values() for _, line in bound)
        parts = [*at_top, *(statement.definition for statement in group)]
        always = [part.body for part in parts if not part.where.partition("#")[0]]  # not in a branch
        always = [inner for body in always for inner in (body.body if isinstance(body, FUNCTIONS) else [body])]
        shown = shown_file(file, self._code.base)
        tops = dict.fromkeys((name.partition(".")[0], line) for name, line in always_imported(always, symbols.package))
        return [(top, f"{shown}:{line}") for top, line in tops if self._is_missing(top)]

    def _is_missing(self, name: str) -> bool:
        if name not in self._missing:
            self._missing[name] = bool(name) and find_module(name, self._code.folder) is None
        return self._missing[name]

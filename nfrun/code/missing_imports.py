"""Finds the packages that code imports whenever it runs, and says how to install them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nfrun.code.distributions import normalized
from nfrun.code.module_finder import find_module
from nfrun.core.text import closest_match

if TYPE_CHECKING:
    from nfrun.code.fingerprint import Fingerprints
    from nfrun.code.reached_code import Statement

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


def shown_file(file: Path, folder: Path) -> str:
    """Return the name of a file for messages: relative to `folder`, or else with the folder around it."""
    return str(file.relative_to(folder)) if file.is_relative_to(folder) else "/".join(file.parts[-2:])


class MissingImports:
    """Finds the missing imports of code that nodes reach."""

    def __init__(self, code: Fingerprints) -> None:
        self._code = code
        self._found: dict[int, Sequence[tuple[str, str]] | None] = {}  # by the id of a group
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
        from nfrun.code.bindings import FUNCTIONS, always_imported
        from nfrun.code.names_reader import finds_modules_itself

        try:
            if finds_modules_itself(file.read_bytes()):
                return None
        except OSError:
            return None
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

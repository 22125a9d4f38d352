"""Finds the packages that code imports whenever it runs, and says how to install them. Reads syntax trees only.

Imports under `if`, `try`, `match` and `with suppress(…)` do not count.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

from nfrun.code.bindings import FUNCTIONS
from nfrun.code.distributions import normalized
from nfrun.core.text import closest_match

# What may let Python find other modules than now.
_FINDERS = (
    *("sys.path", "sys.meta_path", "sys.modules", "from sys import", "importlib", "addsitedir", "import_hook"),
    *("pyximport", "cppimport", "jpype", "jnius", "import clr", "gi.repository"),
)
_MAY_NOT_RUN = (*FUNCTIONS, ast.If, ast.Try, ast.TryStar, ast.Match)
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


def top_imports(tree: ast.Module) -> dict[str, int]:
    """Return the packages that a module imports whenever it is loaded, each with its first line."""
    found: dict[str, int] = {}
    for name, line in always_imported(tree.body):
        found.setdefault(name, line)
    return found


def always_imported(body: Iterable[ast.AST]) -> Iterator[tuple[str, int]]:
    """Yield the packages that statements import whenever they run, with their lines; none of functions."""
    left = list(body)[::-1]
    while left:
        node = left.pop()
        if isinstance(node, ast.Import):
            yield from ((alias.name.partition(".")[0], node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if not node.level and node.module:
                yield node.module.partition(".")[0], node.lineno
        elif not isinstance(node, _MAY_NOT_RUN) and not _suppresses(node):
            for part in ("finalbody", "orelse", "body"):
                left += getattr(node, part, ())[::-1]


def _suppresses(node: ast.AST) -> bool:
    """Return whether a statement may catch the error of an import, as `with suppress(ImportError)` does."""
    return isinstance(node, ast.With) and any("suppress" in ast.dump(item) for item in node.items)

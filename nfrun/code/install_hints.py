"""Says how to install the packages that code imports and that are not installed."""

from __future__ import annotations

from pathlib import Path

from nfrun.code.distributions import normalized
from nfrun.core.text import closest_match

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

"""Functions of the pipelines that `test_builder.py` builds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def clean(orders: Any, most: int) -> Any:
    return orders.slice(0, most)


def parts(orders: Any) -> dict[str, Any]:
    return {"small": orders.slice(0, 1), "large": orders.slice(1)}


def score(orders: Any, of: str) -> dict[str, Any]:
    return {"rows": orders.num_rows, "of": of}


def twice(id: int, factor: int) -> Mapping[str, int]:
    return {"double": id * factor}


def has_rows(table: Any) -> bool:
    return bool(table.num_rows)


def tell(context: Any) -> None:
    print("it ended", context.report["status"])

"""The Python step of hello.yaml."""

import pyarrow as pa


def greet(names: pa.Table) -> list[dict[str, str]]:
    """A greeting for each name."""
    return [{"greeting": f"Hello, {name}!"} for name in names["name"].to_pylist()]

"""The Python functions of hello.yaml."""


def greet(names: list[str], greeting: str) -> list[dict[str, str]]:
    """Return a row for each name. A list of rows becomes a table."""
    return [{"name": name, "text": f"{greeting}, {name}!"} for name in names]

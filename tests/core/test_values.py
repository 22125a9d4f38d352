"""What `frozen` makes is used like a frozen dataclass."""

import pickle
from dataclasses import field, fields, replace

import pytest

from nfrun.core.values import frozen


@frozen
class Point:
    x: int
    y: int = 0
    name: str = field(default="", compare=False, repr=False)


@frozen
class Other:
    x: int
    y: int = 0


def test_values_are_compared_by_their_fields() -> None:
    assert Point(1) == Point(1, 0, "a") != Point(2)
    assert len({Point(1), Point(1, name="a"), Point(1, 1)}) == 2
    assert Point(1) != Other(1)
    assert Point(1) != (1, 0)


def test_a_value_of_one_field() -> None:
    @frozen
    class One:
        x: object

    assert One((1, 2)) == One((1, 2)) != One((1, 3))
    assert hash(One("a")) == hash(One("a"))


def test_a_value_that_holds_a_list_has_no_hash() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(Other([]))  # type: ignore[arg-type]


def test_what_else_dataclasses_have() -> None:
    assert repr(Point(1, 2, "a")) == "Point(x=1, y=2)"
    assert replace(Point(1), y=3) == Point(1, 3)
    assert [f.name for f in fields(Point)] == ["x", "y", "name"]
    assert pickle.loads(pickle.dumps(Point(1, 2, "a"))).name == "a"
    with pytest.raises(AttributeError):
        Point(1).z = 1  # type: ignore[attr-defined]

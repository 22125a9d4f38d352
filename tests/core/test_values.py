"""What `frozen` and `mutable` make is used like a dataclass."""

import dataclasses
import pickle
from functools import cached_property

import pytest

from nfrun.core.values import KW_ONLY, asdict, field, fields, frozen, mutable, replace, values_of


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
    assert asdict(Other([Point(1)], {"a": (Other(2),)})) == {  # type: ignore[arg-type]
        "x": [{"x": 1, "y": 0, "name": ""}],
        "y": {"a": ({"x": 2, "y": 0},)},
    }
    assert pickle.loads(pickle.dumps(Point(1, 2, "a"))).name == "a"
    with pytest.raises(AttributeError):
        Point(1).z = 1  # type: ignore[attr-defined]


def test_fields_that_are_made_given_by_name_or_set_later() -> None:
    @mutable
    class Counts:
        by_name: dict[str, int] = field(default_factory=dict)
        total: int = field(init=False)
        _: KW_ONLY
        start: int = 0

        def __post_init__(self) -> None:
            self.total = self.start

    first, second = Counts(), Counts({"a": 1}, start=3)
    first.by_name["b"] = 2
    assert (first.by_name, second.by_name, Counts().by_name) == ({"b": 2}, {"a": 1}, {})
    assert (first.total, second.total) == (0, 3)
    assert first != Counts({"b": 2})
    with pytest.raises(TypeError, match="positional"):
        Counts({}, 3)  # type: ignore[misc]
    with pytest.raises(TypeError, match="unexpected keyword argument 'end'"):
        Counts(end=3)  # type: ignore[call-arg]


def test_a_class_that_extends_another_takes_its_fields_first() -> None:
    @frozen
    class Named(Point):
        label: str = ""

    assert Named(1, 2, "a", "b").label == "b"
    assert Point(1, 2, "a").name == "a"


def test_the_functions_of_dataclasses_take_values() -> None:
    assert dataclasses.is_dataclass(Point)
    assert dataclasses.replace(Point(1), y=3) == Point(1, 3)  # type: ignore[type-var]
    assert [f.name for f in dataclasses.fields(Other)] == ["x", "y"]  # type: ignore[arg-type]
    assert dataclasses.asdict(Other(1)) == {"x": 1, "y": 0}  # type: ignore[call-overload]


def test_a_missing_argument_is_named_with_its_class() -> None:
    Point(1)
    with pytest.raises(TypeError, match=r"Point\.__init__\(\) missing 1 required positional argument: 'x'"):
        Point()  # type: ignore[call-arg]


def test_a_cached_property_keeps_its_value() -> None:
    @frozen
    class Doubled:
        x: int

        @cached_property
        def doubled(self) -> list[int]:
            return [self.x, self.x]

    value = Doubled(2)
    assert value.doubled is value.doubled == [2, 2]


def test_values_of_any_number_of_fields() -> None:
    assert [values_of(*names)(Point(1, 2)) for names in ((), ("x",), ("x", "y"))] == [(), (1,), (1, 2)]


def test_all_values_of_a_class_are_made_alike() -> None:
    """The first ones are made without a compiled `__init__`."""
    counts: list[int] = []

    @mutable
    class Mixed:
        x: int
        names: list[str] = field(default_factory=list)
        y: int = 2
        later: int = field(init=False)
        fixed: int = field(default=5, init=False)
        _: KW_ONLY
        label: str = ""
        needed: str

        def __post_init__(self) -> None:
            counts.append(self.x)

    made = [asdict_of(Mixed(1, y=3, needed="a")) for _ in range(200)]
    expected = {"x": 1, "names": [], "y": 3, "fixed": 5, "label": "", "needed": "a"}
    assert made == [expected] * 200
    assert len(counts) == 200
    assert Mixed(1, needed="").names is not Mixed(1, needed="").names


def asdict_of(value: object) -> dict[str, object]:
    return {name: getattr(value, name) for name in type(value).__slots__ if hasattr(value, name)}  # type: ignore[attr-defined]


@pytest.mark.parametrize("before", [0, 200])
@pytest.mark.parametrize(
    ("args", "values", "message"),
    [
        ((), {}, "missing 1 required positional argument: 'x'"),
        ((1, 2, 3), {}, "takes from 2 to 3 positional arguments but 4 were given"),
        ((1,), {"x": 2}, "got multiple values for argument 'x'"),
        ((1,), {"z": 2}, "got an unexpected keyword argument 'z'"),
    ],
)
def test_wrong_arguments_are_named(before: int, args: tuple[int, ...], values: dict[str, int], message: str) -> None:
    @frozen
    class Pair:
        x: int
        y: int = 0

    for _ in range(before):
        Pair(1)
    with pytest.raises(TypeError, match=f"{message}$"):
        Pair(*args, **values)
    assert Pair(1, 2) == Pair(1, y=2)

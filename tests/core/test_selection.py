"""Tests of selectors: which nodes they match, what wrong ones tell, and the four options against a plain definition."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nfrun.core.selection import NodeGraph, parse_selector, select

GRAPH = NodeGraph(
    {
        "data": [],
        "fit@lr@0": ["data"],
        "fit@lr@1": ["data"],
        "fit@rf@0": ["data"],
        "score@lr@0": ["fit@lr@0"],
        "score@lr@1": ["fit@lr@1"],
        "score@rf@0": ["fit@rf@0"],
        "clean@DE/orders": ["data"],
        "clean@DE/fit@0": ["clean@DE/orders"],
        "clean@FR/orders": ["data"],
        "clean@FR/fit@0": ["clean@FR/orders"],
        "best": ["score@lr@0", "score@lr@1", "score@rf@0"],
        "fit.all": ["best"],
    },
    {
        "kind": lambda: {"data": ["read"], "best": ["sql"], "fit.all": ["write"]},
        "tag": lambda: {"data": ["nightly", "in"], "best": ["nightly"]},
        "file": lambda: {"data": {"in/a+b.csv"}, "fit.all": {"out/all.csv"}},
        "status": lambda: {"data": ["ok"], "best": ["failed", "ok"], "fit.all": ["skipped"]},
    },
)
FITS = ["fit@lr@0", "fit@lr@1", "fit@rf@0"]


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("data", ["data"]),
        ("fit", FITS),
        ("fit@lr", FITS[:2]),
        ("fit@lr@1", ["fit@lr@1"]),
        ("fit@*@0", ["fit@lr@0", "fit@rf@0"]),
        ("fit@??@0", ["fit@lr@0", "fit@rf@0"]),
        ("fit*", [*FITS, "fit.all"]),
        ("*/fit", ["clean@DE/fit@0", "clean@FR/fit@0"]),
        ("clean", ["clean@DE/orders", "clean@DE/fit@0", "clean@FR/orders", "clean@FR/fit@0"]),
        ("clean@DE", ["clean@DE/orders", "clean@DE/fit@0"]),
        ("clean/fit", ["clean@DE/fit@0", "clean@FR/fit@0"]),
        ("clean/fit@0", ["clean@DE/fit@0", "clean@FR/fit@0"]),
        ("clean@FR/orders", ["clean@FR/orders"]),
        ("*", list(GRAPH.upstream)),
        ("+fit@lr", ["data", *FITS[:2]]),
        ("1+score@lr@0", ["score@lr@0", "fit@lr@0"]),
        ("0+score@lr@0", ["score@lr@0"]),
        ("score@rf+", ["score@rf@0", "best", "fit.all"]),
        ("score@rf+1", ["score@rf@0", "best"]),
        ("1+score@rf+1", ["fit@rf@0", "score@rf@0", "best"]),
        ("tag:nightly", ["data", "best"]),
        ("tag:n*,kind:sql", ["best"]),
        ("tag:nightly , fit+", ["best"]),
        ("kind:read", ["data"]),
        ("file:./in/a+b.csv", ["data"]),
        ("file:out/*+", ["fit.all"]),
        ("1+file:out/all.csv", ["best", "fit.all"]),
        ("status:failed", ["best"]),
        ("status:ok", ["data", "best"]),
        ("status:s*", ["fit.all"]),
    ],
)
def test_what_a_selector_matches(selector: str, names: list[str]) -> None:
    assert sorted(GRAPH.find([selector])) == sorted(names)


@pytest.mark.parametrize(
    ("selector", "what"),
    [
        ("fitt", "no node matches 'fitt'; did you mean 'fit'?"),
        ("fit@lx@0", "no node matches 'fit@lx@0'; there is data, fit, score, clean, best, fit.all"),
        ("clean@DX", "no node matches 'clean@DX'; did you mean 'clean'?"),
        ("zzz", "no node matches 'zzz'; there is data, fit, score, clean, best, fit.all"),
        ("Data", "no node matches 'Data'; did you mean 'data'?"),
        ("", "an empty name is no node"),
        (" , ", "an empty name is no node"),
        ("fit,,data", "'fit,,data' has nothing before or after a comma"),
        ("+", "'+' names no node"),
        ("fit+x", "'fit+x' has a '+' where none may be; write N+NODE or NODE+N, N is a number"),
        ("-1+fit", "'-1+fit' has a '+' where none may be; write N+NODE or NODE+N, N is a number"),
        ("9999999999+fit", "'9999999999+fit' has a '+' where none may be; write N+NODE or NODE+N, N is a number"),
        ("tagg:x", "'tagg:x' begins with no kind of selector; there is tag:, kind:, file: and status:"),
        ("model:x", "'model:x' begins with no kind of selector; there is tag:, kind:, file: and status:"),
        ("tag:", "'tag:' names no tag"),
        ("tag:night", "no node has the tag 'night'; did you mean 'nightly'?"),
        ("kind:python", "no node has the kind 'python'; there is read, sql, write"),
        ("file:out/al.csv", "no node has the file 'out/al.csv'; did you mean 'out/all.csv'?"),
        ("out/no.csv", "no node matches 'out/no.csv'; there is data, fit, score, clean, best, fit.all"),
        ("status:fail", "no node has the status 'fail'; did you mean 'failed'?"),
        ("status:red", "no node has the status 'red'; there is ok, failed, skipped"),
        ("data,best", "no node matches all of 'data,best'; to select what matches any part, repeat the option"),
        ("fit\x1b[31m", "no node matches 'fit\\x1b[31m'; there is data, fit, score, clean, best, fit.all"),
    ],
)
def test_what_is_told_of_a_selector_that_is_wrong_or_matches_nothing(selector: str, what: str) -> None:
    with pytest.raises(ValueError) as error:
        GRAPH.find(["data", selector])
    assert str(error.value) == what


def test_values_that_no_node_has() -> None:
    graph = NodeGraph({"a": []}, {"status": lambda: {"gone": ["failed"]}, "tag": dict})
    for selector in ("status:failed", "tag:x"):
        with pytest.raises(ValueError, match=r"^no node has the (status 'failed'|tag 'x'); there is none$"):
            graph.find([selector])


def test_a_pattern_with_many_stars_takes_no_time() -> None:
    graph = NodeGraph({"a" * 200: []})
    with pytest.raises(ValueError, match="no node matches"):
        graph.find(["*a" * 60 + "b"])


# -- against a plain definition ----------------------------------------------------------------------------------------


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, list[str]]:
    names = [f"{'ab'[i % 2]}{i}" for i in range(draw(st.integers(1, 9)))]
    return {name: draw(st.lists(st.sampled_from(names[:i]), unique=True)) if i else [] for i, name in enumerate(names)}


def selectors(names: list[str]) -> st.SearchStrategy[str]:
    steps = st.sampled_from(["", "", "+", "0+", "1+", "2+"])
    what = st.sampled_from([*names, "a*", "b*", "?1", "*"])
    term = st.builds(lambda up, name, down: f"{up}{name}{down[::-1]}", steps, what, steps)
    return st.lists(term, min_size=1, max_size=2).map(",".join)


def is_within(graph: dict[str, list[str]], upper: str, lower: str, steps: int) -> bool:
    """Whether `upper` is needed by `lower`, at most so many steps away. Tries all ways."""
    return upper == lower or (steps > 0 and any(is_within(graph, upper, need, steps - 1) for need in graph[lower]))


def plainly_matched(graph: dict[str, list[str]], selector: str, name: str) -> bool:
    """Whether a node matches a selector: for each of its parts there is a node by which it does."""
    for text in selector.split(","):
        term = parse_selector(text)[0]
        up, down = (len(graph) if steps < 0 else steps for steps in (term.up, term.down))
        matched = [other for other in graph if fnmatchcase(other, term.pattern)]
        if not any(is_within(graph, name, m, up) or is_within(graph, m, name, down) for m in matched):
            return False
    return True


@given(st.data())
def test_the_options_select_what_the_plain_definition_says(data: st.DataObject) -> None:
    upstream = data.draw(graphs())
    graph = NodeGraph(upstream)
    some = st.lists(selectors(list(upstream)), max_size=2)
    options = {name: data.draw(some, name) for name in ("only", "from_", "until", "exclude")}

    def matches(name: str, option: str) -> bool:
        return any(plainly_matched(upstream, selector, name) for selector in options[option])

    def matching(option: str) -> list[str]:
        return [name for name in upstream if matches(name, option)]

    matched = [
        any(plainly_matched(upstream, s, name) for name in upstream) for option in options.values() for s in option
    ]
    if not all(matched):
        with pytest.raises(ValueError, match="no node matches"):
            [graph.find(given) for given in options.values()]
        return
    every = len(upstream)
    expected = {
        name
        for name in upstream
        if (not options["only"] or matches(name, "only"))
        and (not options["from_"] or any(is_within(upstream, start, name, every) for start in matching("from_")))
        and (not options["until"] or any(is_within(upstream, name, end, every) for end in matching("until")))
        and not matches(name, "exclude")
    }
    found = {option: graph.find(given) for option, given in options.items()}
    assert select(graph, found["only"], found["from_"], found["until"], found["exclude"]) == expected
    both = graph.find([f"{s}+" for s in upstream][:1]) & graph.find([f"+{list(upstream)[-1]}"])
    assert select(graph, from_=list(upstream)[:1], until=list(upstream)[-1:]) == both

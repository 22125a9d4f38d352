"""What is recorded of a node that uses results of calls of earlier runs."""

from __future__ import annotations

from nfrun.core.map_spec import MapSpec
from nfrun.core.observation import Observation
from nfrun.core.pipeline import NodeSpec
from nfrun.history.cache.kept_rows import definition_of_calls, with_kept_reads


def test_files_that_kept_results_have_read_are_those_of_the_node() -> None:
    assert with_kept_reads(None, {"x": "1"}) == Observation(reads={"x": "1"})
    seen = Observation(reads={"x": "1", "y": "2"}, hosts=("h",), obstacle="why")
    assert with_kept_reads(seen, {"x": "1", "z": "3"}) == Observation({"x": "1", "z": "3", "y": "2"}, {}, ("h",), "why")


def test_a_file_that_has_changed_since_kept_results_were_looked_up_is_an_obstacle() -> None:
    found = with_kept_reads(Observation(reads={"x": "2"}), {"x": "1"})
    assert (found.reads, found.obstacle) == ({"x": "2"}, "x changed while it ran")


def test_of_a_definition_counts_for_calls_what_they_depend_on() -> None:
    spec = NodeSpec("n", "python", "m:f", (), {}, (), (), {}, map=MapSpec("t", explode=True))
    whole = {
        **{"scheme": "5", "node": "n", "kind": "python", "text": "a", "outputs": "", "order": "b", "cpus": "1"},
        **{"code m:f": "c", "package polars": "1.3", "interpreter": "3.11", "value k": "d", "variable E": "e"},
        **{"map": "f", "map batch": "g", "cells t": "2 h", "cells other": "3 i", "folder": "sub"},
    }
    assert definition_of_calls(whole, spec) == {
        **{"scheme": "5", "kind": "python", "text": "a", "code m:f": "c", "package polars": "1.3"},
        **{"interpreter": "3.11", "value k": "d", "variable E": "e", "cells other": "3 i", "folder": "sub"},
        "explode": "True",
    }

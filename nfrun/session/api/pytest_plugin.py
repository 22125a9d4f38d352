"""The plug-in of pytest: the fixture `pipeline`. What it needs of nfrun is imported when a test uses it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from nfrun.session.api.results import Result
    from nfrun.session.planning import Plan


class PipelineUnderTest:
    """A pipeline file in a test. Its runs are kept in a temporary folder of the test."""

    def __init__(self, file: Path, work: Path) -> None:
        self.file, self._work = file, work

    def node(
        self, id: str, *, params: Mapping[str, Any] | None = None, with_: Mapping[str, Any] | None = None, **inputs: Any
    ) -> Any:
        """Run one node with these inputs, and return its output, as `nfrun.testing.run_node` does."""
        __tracebackhide__ = True
        from nfrun.session.api.node_tests import run_node

        return run_node(self.file, id, inputs, params=params or {}, with_=with_ or {}, work=self._work / "nodes")

    def run(self, **arguments: Any) -> Result:
        """Run the pipeline, and return the result. The arguments are those of `nfrun.load(...).run`."""
        __tracebackhide__ = True
        from nfrun.session.api.pipelines import load

        return load(self.file).run(**{"work": self._work / "runs", **arguments})

    def plan(self, **arguments: Any) -> Plan:
        """Return the plan of the pipeline. The arguments are those of `nfrun.load(...).plan`."""
        __tracebackhide__ = True
        from nfrun.session.api.pipelines import load

        return load(self.file).plan(**{"work": self._work / "runs", **arguments})


@pytest.fixture
def pipeline(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str | Path], PipelineUnderTest]:
    """Return what opens a pipeline file: `pipeline("etl.yaml")`.

    A path is relative to the file of the test or, if it is not there, to the root folder of the tests.
    """

    def under_test(file: str | Path) -> PipelineUnderTest:
        beside = request.path.parent / file
        return PipelineUnderTest(beside if beside.exists() else request.config.rootpath / file, tmp_path / ".nfrun")

    return under_test

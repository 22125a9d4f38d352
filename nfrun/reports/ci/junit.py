"""Writes the nodes and checks of a run as the test cases of a JUnit file: `nfrun run --junit FILE`.

The form is that of Jenkins and of Maven's Surefire, which other CI systems read, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from xml.etree.ElementTree import Element, ElementTree, SubElement, indent

from nfrun.core.contracts import CheckResult
from nfrun.core.errors import Cause
from nfrun.core.events import NOT_SELECTED, Event, Failure, NodeCancelled, NodeRetrying
from nfrun.core.pipeline import NodeSpec
from nfrun.core.text import ellipsize, escape_controls
from nfrun.core.values import field, mutable
from nfrun.reports.run_record import NodeRecord, RunRecord
from nfrun.reports.summary import check_text, failure_text

_MOST_LOGS = 200  # nodes that failed whose logs are in the file
_MOST_MESSAGE = 1_000  # characters
# What went wrong outside of the node is an error, all else a failure: as JUnit tells exceptions from assertions.
_ERRORS = (Cause.IO, Cause.PERMISSION, Cause.LOST, Cause.CLUSTER, Cause.INTERNAL)
_TOLERATED = "failed, and 'continue_on_error' lets the run go on"
_ORDER = (
    "failure",
    "rerunFailure",
    "flakyFailure",
    "skipped",
    "error",
    "rerunError",
    "flakyError",
)  # as Surefire has it


@mutable
class JUnitFile:
    """A reporter that writes the file when the run has ended, however it ended.

    `started` is in ISO 8601. `properties` are those of the run, by name. `write(tree)` writes the XML, and
    `log_tail(node, attempt)` returns the last lines of what an attempt printed and logged. Each sub-pipeline is a
    suite, and a cell has the name of its matrix in its class. Nodes that are not selected are not in the file.
    """

    record: RunRecord
    started: str
    host: str
    properties: Mapping[str, str]
    write: Callable[[ElementTree[Element]], object]
    log_tail: Callable[[str, int], Sequence[str]]
    name: str = "of test cases"
    _earlier: dict[str, list[Failure]] = field(default_factory=dict)  # of attempts that were retried
    _cancelled: dict[str, str] = field(default_factory=dict)
    _logs_left: int = _MOST_LOGS

    event_types = (NodeRetrying, NodeCancelled)

    def event(self, event: Event) -> None:
        """Keep what the record does not: the failures of earlier attempts, and why nodes were cancelled."""
        if isinstance(event, NodeRetrying):
            self._earlier.setdefault(event.node, []).append(event.failure)
        elif isinstance(event, NodeCancelled):
            self._cancelled[event.node] = event.why

    def close(self) -> None:
        """Write the file."""
        root = self.as_xml()
        indent(root)
        self.write(ElementTree(root))

    def as_xml(self) -> Element:
        """Return the `testsuites`."""
        record, suites = self.record, dict[str, Element]()
        cases = {name: self._node_cases(name, record.nodes[name]) for name in record.names}
        specs, disabled = record.pipeline.disabled_nodes, record.pipeline.disabled
        cases |= {name: self._disabled_case(specs[name], why) for name, why in disabled.items()}
        suites[self._top] = Element("testsuite", name=self._top)
        for name, found in cases.items():
            title = self._suite_of(name)
            suites.setdefault(title, Element("testsuite", name=title)).extend(found)
        suites[self._top].extend(self._run_case())
        root = Element("testsuites", name=self._top)
        for suite in suites.values():
            _count(suite, suite)
            suite.attrib |= {"timestamp": self.started, "hostname": _text(self.host) or "localhost"}
            if suite.get("name") == self._top:
                suite.insert(0, self._properties())
            root.append(suite)
        _count(root, [case for suite in suites.values() for case in suite.iter("testcase")])
        del root.attrib["skipped"]  # which a suite has, but not all suites together
        root.set("time", _seconds(record.end.at if record.end else record.at))
        return root

    @property
    def _top(self) -> str:
        return _text(self.record.pipeline.name)

    def _suite_of(self, name: str) -> str:
        """Return the suite of a node: the names of the pipeline and of the sub-pipelines, without their cells."""
        groups = [step.partition("@")[0] for step in name.split("/")[:-1]]
        return "/".join([self._top, *groups])

    def _properties(self) -> Element:
        counts = self.record.counts()
        of_run = {**self.properties, **{f"nodes.{status}": str(number) for status, number in counts.items()}}
        properties = Element("properties")
        for name, value in of_run.items():
            SubElement(properties, "property", name=name, value=_text(value))
        return properties

    def _disabled_case(self, spec: NodeSpec, why: str) -> list[Element]:
        case = self._case(self._class_of(spec), spec.id)
        SubElement(case, "skipped", message=_message(f"disabled: {why}"))
        return [case]

    def _run_case(self) -> Iterator[Element]:
        """Yield a case for a run that went wrong beside its nodes, or was cancelled: else its file would be green."""
        end = self.record.end
        if end is not None and end.status != "cancelled" and not end.error:
            return
        what = "the run did not end" if end is None else escape_controls(end.error or "the run was cancelled")
        case = self._case(self._top, "the run")
        SubElement(case, "error", type=end.status if end else "lost", message=_message(what)).text = _text(what)
        yield case

    def _class_of(self, spec: NodeSpec) -> str:
        """Return the class of a node. Readers of the file take dots for packages, so sub-pipelines and cells fold."""
        suite = self._suite_of(spec.id).replace("/", ".")
        return f"{suite}.{spec.local_name}" if spec.of else suite

    def _case(self, group: str, name: str, seconds: float = 0.0) -> Element:
        return Element("testcase", classname=_text(group), name=_text(name), time=_seconds(seconds))

    # -- nodes -----------------------------------------------------------------------------------------------------

    def _node_cases(self, name: str, node: NodeRecord) -> list[Element]:
        spec = self.record.pipeline.spec_of(name)
        if node.status == NOT_SELECTED:
            return []
        case = self._case(self._class_of(spec), name, node.duration if node.ran else 0.0)
        said: list[str] = ["reused: an earlier run has finished it"] if node.status == "reused" else []
        if node.status == "failed" and node.failure is not None:
            self._add_failure(case, name, node, node.failure)
        elif node.status not in ("ok", "reused"):
            SubElement(case, "skipped", message=_message(self._why_not(name, node)))
        tag = "flaky" if node.status == "ok" else "rerun"
        for failure in self._earlier.get(name, ()) if node.status in ("ok", "failed") else ():
            kind = "Error" if failure.cause in _ERRORS else "Failure"
            earlier = SubElement(case, tag + kind, type=_type(failure), message=_message(failure.error))
            SubElement(earlier, "stackTrace").text = _text(_trace(failure))
        case[:] = sorted(case, key=lambda child: _ORDER.index(child.tag))
        checks = [self._check_case(spec, check, said, tolerated=node.tolerated) for check in node.checks]
        if node.status == "failed" and self._logs_left:
            self._logs_left -= 1
            said += self.log_tail(name, node.attempts)
        if said:
            SubElement(case, "system-out").text = _text("\n".join(said))
        return [case, *checks]

    def _add_failure(self, case: Element, name: str, node: NodeRecord, failure: Failure) -> None:
        text = failure_text(name, node, self.record.place(name), ()).strip("\n")
        if node.tolerated:
            message = _message(f"{_TOLERATED}: {failure.error}")
            SubElement(case, "skipped", message=message).text = _text(text)
            return
        kind = "error" if failure.cause in _ERRORS else "failure"
        SubElement(case, kind, type=_type(failure), message=_message(failure.error)).text = _text(text)

    def _why_not(self, name: str, node: NodeRecord) -> str:
        if node.status == "skipped":
            return f"it lacks an input because of {node.because}" if node.tolerated else f"it needs {node.because}"
        return f"cancelled: {self._cancelled[name]}" if name in self._cancelled else "not finished when the run ended"

    def _check_case(self, spec: NodeSpec, check: CheckResult, said: list[str], *, tolerated: bool) -> Element:
        """Return the case of a check. One with `severity: warn` is no failure: what it found is added to `said`."""
        output = f" of {check.output}" if check.output != spec.id else ""
        case = self._case(f"{self._class_of(spec)}.{spec.id.rpartition('/')[2]}", f"{check.name}{output}")
        if check.ok:
            return case
        text = check_text(str(spec.source), spec.id, check)
        if check.severity == "error" and tolerated:
            SubElement(case, "skipped", message=_message(f"{_TOLERATED}: {check.text}")).text = _text(text)
        elif check.severity == "error":
            SubElement(case, "failure", type="check", message=_message(check.text)).text = _text(text)
        elif check.severity == "skip":
            message = f"its output is absent, and what reads it is skipped: {check.text}"
            SubElement(case, "skipped", message=_message(message)).text = _text(text)
        else:
            said.append(f"warning: {text}")
            SubElement(case, "system-out").text = _text(said[-1])
        return case


def _count(element: Element, cases: Iterable[Element]) -> None:
    found = [case for case in cases if case.tag == "testcase"]
    element.set("tests", str(len(found)))
    for name, tag in {"failures": "failure", "errors": "error", "skipped": "skipped"}.items():
        element.set(name, str(sum(case.find(tag) is not None for case in found)))
    element.set("time", _seconds(sum(float(case.get("time", "0")) for case in found)))


def _type(failure: Failure) -> str:
    return _text(failure.type or failure.cause.value)


def _trace(failure: Failure) -> str:
    frames = [f"{frame.file}:{frame.line} in {frame.function}\n  {frame.source}" for frame in failure.frames]
    return "\n".join([*frames, failure.error, *([failure.details] if failure.details else [])])


def _seconds(value: float) -> str:
    return f"{max(0.0, value):.3f}"


def _message(text: str) -> str:
    return ellipsize(_text(text), _MOST_MESSAGE)


def _text(text: str) -> str:
    """Replace what XML cannot hold by escapes."""
    return escape_controls(text).replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")

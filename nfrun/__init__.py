"""nfrun: run data and AI pipelines written in YAML, on your own machine."""

__version__ = "0.1.0"

TYPE_CHECKING = False  # that of `typing`, which every process would import here
if TYPE_CHECKING:
    from nfrun.core.errors import ClusterError as ClusterError
    from nfrun.core.errors import Diagnostic as Diagnostic
    from nfrun.core.errors import Error as Error
    from nfrun.core.errors import HandoffError as HandoffError
    from nfrun.core.errors import NotRecorded as NotRecorded
    from nfrun.core.errors import SelectionError as SelectionError
    from nfrun.core.errors import SpecError as SpecError
    from nfrun.core.errors import UsageError as UsageError
    from nfrun.core.errors import WorkDirLocked as WorkDirLocked
    from nfrun.nodes.job import Job as Job
    from nfrun.nodes.job import NodeView as NodeView
    from nfrun.nodes.job import filled_in as filled_in
    from nfrun.session.api.builder import Node as Node
    from nfrun.session.api.builder import Output as Output
    from nfrun.session.api.builder import Pipeline as Pipeline
    from nfrun.session.api.errors import RunFailed as RunFailed
    from nfrun.session.api.pipelines import LoadedPipeline as LoadedPipeline
    from nfrun.session.api.pipelines import load as load
    from nfrun.session.api.plans import Plan as Plan
    from nfrun.session.api.results import NodeFailure as NodeFailure
    from nfrun.session.api.results import NodeResult as NodeResult
    from nfrun.session.api.results import Result as Result

# The modules of the names that Python programs and plug-ins use. They are imported when the name is asked for.
_MODULES = {
    **dict.fromkeys(("Job", "NodeView", "filled_in"), "nfrun.nodes.job"),
    **dict.fromkeys(("Node", "Output", "Pipeline"), "nfrun.session.api.builder"),
    "RunFailed": "nfrun.session.api.errors",
    **dict.fromkeys(("LoadedPipeline", "load"), "nfrun.session.api.pipelines"),
    "Plan": "nfrun.session.api.plans",
    **dict.fromkeys(("NodeFailure", "NodeResult", "Result"), "nfrun.session.api.results"),
    **dict.fromkeys(
        (
            *("ClusterError", "Diagnostic", "Error", "HandoffError", "NotRecorded", "SelectionError", "SpecError"),
            *("UsageError", "WorkDirLocked"),
        ),
        "nfrun.core.errors",
    ),
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'nfrun' has no attribute {name!r}")
    from importlib import import_module

    found = globals()[name] = getattr(import_module(_MODULES[name]), name)
    return found


def __dir__() -> list[str]:
    return [*globals(), *_MODULES]


class Retry(Exception):
    """Raised by a function to be called again, `after` seconds at the earliest, if the node has retries left.

    A longer wait than `max_delay` of the retries fails the call. The wait may also come from an exception with HTTP
    headers: `.response.headers["Retry-After"]`.
    """

    def __init__(self, message: str = "", *, after: float = 0.0) -> None:
        super().__init__(message or f"it asks to be called again after {after:g} s")
        self.after = after


class NoRetry(Exception):
    """Raised by a function that is not to be called again, whatever retries are left: it would fail in the same way.

    With `every_row`, a node with a `map` fails at once: each other row would fail, too, as with a wrong password.
    """

    every_row = False

    def __init__(self, message: str = "", *, every_row: bool = False) -> None:
        super().__init__(message)
        self.every_row = self.every_row or every_row  # a class that inherits from this one may have it


class NodeError(Exception):
    """Raised by a plug-in, if a node failed for a reason that the message explains: it is shown without a traceback.

    `details` is shown below the message, and the name of a class that inherits from this one before it.
    """

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details

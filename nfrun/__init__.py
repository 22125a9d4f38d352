"""nfrun: run data and AI pipelines written in YAML, on your own machine."""

__version__ = "0.1.0"

TYPE_CHECKING = False  # that of `typing`, which every process would import here
if TYPE_CHECKING:
    from nfrun.core.errors import ClusterError as ClusterError
    from nfrun.core.errors import Diagnostic as Diagnostic
    from nfrun.core.errors import Error as Error
    from nfrun.core.errors import HandoffError as HandoffError
    from nfrun.core.errors import NodeError as NodeError
    from nfrun.core.errors import NoRetry as NoRetry
    from nfrun.core.errors import NotRecorded as NotRecorded
    from nfrun.core.errors import Retry as Retry
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
    from nfrun.session.api.results import NodeFailure as NodeFailure
    from nfrun.session.api.results import NodeResult as NodeResult
    from nfrun.session.api.results import Result as Result
    from nfrun.session.planning import Plan as Plan

# The modules of the names that Python programs and plug-ins use. They are imported when the name is asked for.
_MODULES = {
    **dict.fromkeys(("Job", "NodeView", "filled_in"), "nfrun.nodes.job"),
    **dict.fromkeys(("Node", "Output", "Pipeline"), "nfrun.session.api.builder"),
    "RunFailed": "nfrun.session.api.errors",
    **dict.fromkeys(("LoadedPipeline", "load"), "nfrun.session.api.pipelines"),
    "Plan": "nfrun.session.planning",
    **dict.fromkeys(("NodeFailure", "NodeResult", "Result"), "nfrun.session.api.results"),
    **dict.fromkeys(
        (
            *("ClusterError", "Diagnostic", "Error", "HandoffError", "NoRetry", "NodeError", "NotRecorded", "Retry"),
            *("SelectionError", "SpecError", "UsageError", "WorkDirLocked"),
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

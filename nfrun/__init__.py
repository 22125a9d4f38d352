"""nfrun: run data and AI pipelines written in YAML, on your own machine."""

__version__ = "0.1.0"


class Retry(Exception):
    """Raised by a function to be called again, `after` seconds at the earliest, if the node has retries left.

    A longer wait than `max_delay` of the retries fails the call. The wait may also come from an exception with HTTP
    headers: `.response.headers["Retry-After"]`.
    """

    def __init__(self, message: str = "", *, after: float = 0.0) -> None:
        super().__init__(message or f"it asks to be called again after {after:g} s")
        self.after = after


class NodeError(Exception):
    """Raised by a plug-in, if a node failed for a reason that the message explains: it is shown without a traceback.

    `details` is shown below the message.
    """

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details

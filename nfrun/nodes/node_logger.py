"""Makes the logger that `context.log` is: what it gets becomes lines in the log of the node."""

from __future__ import annotations

import logging

from nfrun.nodes.base import NodeContext


def node_logger(context: NodeContext) -> logging.Logger:
    class Forward(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            try:
                lines = self.format(record).split("\n")
            except Exception:  # the arguments do not fit the text: logging never ends a program
                self.handleError(record)
                return
            for line in lines:
                context.log(record.levelname.lower(), line)

    # Not from getLogger: that keeps every logger for ever, and parent loggers would print the line a second time.
    logger = logging.Logger(f"nfrun.{context.node.id}")
    logger.addHandler(Forward())
    return logger

"""Tests of pipelines: `run_node` runs one node with inputs of the test.

The plug-in of pytest that comes with nfrun has the fixture `pipeline`, which runs nodes and whole pipelines in a
temporary work folder.
"""

from nfrun.session.api.node_tests import run_node

__all__ = ["run_node"]

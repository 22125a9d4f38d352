"""Imports pandas in the fork server, which imports this module: Arrow imports it to make most tables, if it is there.

It starts no threads, with which forked workers may hang, and reads no files of the user. Workers import all other
packages themselves. `environ` are the variables that it has changed.
"""

from __future__ import annotations

import os
from contextlib import suppress

_before = dict(os.environ)
with suppress(BaseException):  # a package may raise anything; the worker that imports it reports the error
    __import__("pandas")
environ = {name: value for name, value in os.environ.items() if _before.get(name) != value}

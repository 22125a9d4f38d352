"""Imports `rich.style`, which draws a number when it is imported, without a change of the global random generator.

That is imported while nodes run. A node that runs on a thread then would seem to depend on the generator, and would not
be reused.
"""

import random
import sys

if "rich.style" not in sys.modules:
    _draw = random.getrandbits
    random.getrandbits = random.SystemRandom().getrandbits
    try:
        import rich.style  # noqa: F401
    finally:
        random.getrandbits = _draw

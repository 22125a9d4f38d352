"""`python -m nfrun` is `nfrun`."""

import os
import sys

# Python puts the working directory first, where a file of the user's may have the name of a module that we need. The
# console script has no such place either. Not by way of pathlib, which is itself such a module.
sys.path = [place for i, place in enumerate(sys.path) if i or place not in ("", os.getcwd())]  # noqa: PTH109

from nfrun.cli import main  # noqa: E402

main()

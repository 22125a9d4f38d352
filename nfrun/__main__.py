"""`python -m nfrun` is `nfrun`."""

from nfrun.cli import main

main()

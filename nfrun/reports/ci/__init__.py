"""Writes a run for CI systems and other tools.

`junit` writes its nodes and checks as test cases. `github_report` has the commands that GitHub's runner understands,
the lines of a run and the annotations, and `github_summary` the page of a step.
"""

"""What CI systems and other tools read of a run.

`junit` writes its nodes and checks as test cases, and `trace` when what ran. `github_commands` has the commands that
GitHub's runner understands, `github_report` the annotations, `github_lines` the lines of a run, and `github_summary`
the page of a step.
"""

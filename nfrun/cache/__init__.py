"""The work folder: journal, history, cache keys and the decision what need not run again."""

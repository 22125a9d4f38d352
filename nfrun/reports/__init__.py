"""Reporters and views: what a run shows to people and programs.

`run_record` folds the events of a run into its state. The other reporters show that state or the events: those of the
package `progress` during the run, the summary and JSON after it. `plan_view` shows a plan before a run; `bench_stats`
and `bench_table` compare finished runs. `table_preview` prints the first rows of a table, and remembers them.
`printing` prints tables and lines, on terminals with the `console` of rich. The package `ci` has what CI
systems and other tools read.
"""

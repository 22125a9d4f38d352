"""Reporters and views: what a run shows to people and programs.

`run_record` folds the events of a run into its state. The other reporters show that state or the events: those of the
package `progress` during the run, the summary and JSON after it. `plan_view` shows a plan before a run; `bench_stats`
and `bench_table` compare finished runs. `table_preview` prints the first rows of a table, and `known_previews`
remembers them; `shown_places` says where outputs are. Tables and lines go to a `console` of rich or, in a pipe, to a
`plain_console`; `printing` prints on both. The package `ci` has what CI systems and other tools read.

Other packages use:

- `bench_stats`: `as_json`, `compare`, `Comparison`, `Document`, `interleave`, `Variant`, `VARIANTS`
- `bench_table`: `blog_rows`, `print_comparison`, `rows`
- `ci.github_commands`: `Annotation`, `annotation_lines`, `HarmlessStream`
- `ci.github_lines`: `GitHubLines`
- `ci.github_report`: `diagnostic_annotations`, `GitHubReport`, `Workspace`
- `ci.github_summary`: `summary_of`
- `ci.junit`: `JUnitFile`, `RunFacts`, `error_xml`, `problems_xml`
- `ci.trace`: `TraceFile`
- `console`: `console`
- `end_report`: `EndReport`
- `events_file`: `EventsFile`
- `format_units`: `format_calls`, `format_count`, `format_outputs`, `format_seconds`, `format_size`
- `json_document`: `run_document`
- `known_previews`: `KnownPreviews`
- `last_line`: `counts_of_nodes`, `GO_ON`, `last_line`
- `plain_console`: `PlainConsole`
- `plan_view`: `as_json`, `plan_view`, `REUSE_FORMATS`
- `progress.live_view`: `LiveView`
- `progress.plain_lines`: `PlainLines`
- `run_record`: `NodeRecord`, `RunRecord`
- `summary`: `failure_text`, `KEEP_GOING`, `Summary`
- `table_preview`: `cell_text`, `Preview`, `print_table`
"""

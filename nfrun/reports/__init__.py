"""Folds over events: what people and programs are shown of a run.

Other packages use:

- `bench_stats`: `as_json`, `compare`, `Comparison`, `Document`, `turns`, `Variant`, `VARIANTS`
- `bench_table`: `blog_rows`, `print_comparison`, `rows`
- `console`: `console`
- `events_file`: `EventsFile`
- `format_units`: `count`, `seconds`, `size`
- `json_document`: `RunDocument`
- `live_view`: `LiveView`
- `plain_lines`: `PlainLines`
- `plan_view`: `outline`
- `run_record`: `Record`
- `summary`: `KEEP_GOING`, `RESUME`, `Summary`
"""

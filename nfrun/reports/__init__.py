"""Folds over events: what people and programs are shown of a run.

Other packages use:

- `bench_stats`: `as_json`, `compare`, `Comparison`, `Document`, `interleave`, `Variant`, `VARIANTS`
- `bench_table`: `blog_rows`, `print_comparison`, `rows`
- `console`: `console`
- `events_file`: `EventsFile`
- `format_units`: `format_count`, `format_seconds`, `format_size`
- `json_document`: `RunDocument`
- `live_view`: `LiveView`
- `plain_lines`: `PlainLines`
- `plan_view`: `plan_view`
- `run_record`: `RunRecord`
- `summary`: `KEEP_GOING`, `RESUME`, `Summary`
"""

"""The folder of the pipelines that the benchmarks run without a file: nodes find `steps` beside them."""

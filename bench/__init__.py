"""Benchmarks of nfrun: every claim a ratio of things measured in the same run, interleaved."""

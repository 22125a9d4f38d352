"""Benchmarks of nfrun. Every result is a ratio of two things measured in the same run, interleaved."""

"""Benchmarks: what things cost at a size that no test goes to."""

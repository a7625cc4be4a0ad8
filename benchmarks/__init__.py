"""Benchmarks: the product's costs, next to those of named peers in the same run."""

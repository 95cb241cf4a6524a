"""Benchmarks: problems with known answers, runners, and rows of results."""

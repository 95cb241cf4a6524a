"""Fails: an empty file; neither model nor log_density."""

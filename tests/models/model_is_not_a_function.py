"""Fails: `model` is a value."""

model = 3

"""Fails: the log density ends the interpreter with the code of success."""

import sys


def init():
    return {"mu": 0.3}


def log_density(params):
    sys.exit(0)  # this line

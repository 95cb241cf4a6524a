"""Fails: the file ends the interpreter with the code of success."""

import sys

sys.exit(0)  # this line

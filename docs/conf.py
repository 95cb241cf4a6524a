"""Sphinx settings: pages are MyST notebooks that run when they are built; a failing cell or a broken link ends the build."""

import os
import sys
from pathlib import Path

import monochord

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
# Cells import `tables` from here and the scoring code of `benchmarks`.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(HERE), str(HERE.parent), os.environ.get("PYTHONPATH")]))

project = "Monochord"
author = "the Monochord authors"
copyright = "the Monochord authors, Apache-2.0"  # noqa: A001 - the name that Sphinx reads
release = version = monochord.__version__

extensions = ["myst_nb", "_reference"]
exclude_patterns = ["_build"]
smartquotes = False  # "auto" is to be copied as it stands
html_theme = "furo"
html_title = f"Monochord {release}"

nitpicky = True  # a reference that leads nowhere is a warning, and `make docs` makes warnings errors
# Types in signatures are shown, not linked: most are other packages', whose inventories lie on the web.
nitpick_ignore_regex = [("py:class", r"[^.]*")]
suppress_warnings: list[str] = []

myst_enable_extensions = ["amsmath", "attrs_inline", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
myst_dmath_double_inline = True

nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 240
nb_execution_show_tb = True
nb_merge_streams = True
nb_render_markdown_format = "myst"  # of tables that cells make
nb_output_stderr = "remove"  # progress

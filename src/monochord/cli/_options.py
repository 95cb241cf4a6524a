"""Options that several commands share, and what their help says."""

from pathlib import Path
from typing import Annotated, Optional

import typer

EXIT_CODES = (
    "Exit codes: 0 done; 1 a bug in Monochord; 2 bad input; 3 done and written, but not to be trusted yet "
    "(R̂ above 1.01 or target ESS not reached); 130 interrupted, draws so far kept."
)
DOCTOR_EXIT_CODES = (
    "Exit codes: 0 every check passed (✓) or warned (!); 1 a bug in Monochord; 2 bad input; 3 a check failed (✗)."
)


NEXT = """monochord fits a metric, shows what it is worth, and samples. What to do next:

  monochord demo                                    the whole way on real data, in a minute
  monochord sample model.py --data data.json        your own model: NumPyro or JAX in a Python file
                   --output run.nc --report run.html
  monochord fit model.py --data data.json           only the fit and its verdict
  monochord spectrum model.py --data data.json      what the metric is worth, before you draw
  monochord report run.nc model.py                  one HTML page about a run
  monochord sample --help                           options, examples, exit codes
  monochord --install-completion                    completion in your shell
"""


def epilog(*examples: str) -> str:
    """Examples, then the exit codes; a blank line apart, as the help joins single lines."""
    return "\n\n".join(["Examples:", *examples, EXIT_CODES])


Model = Annotated[Path, typer.Argument(help="Python file with `model` (a NumPyro function, or a PyMC or Bambi model) or log_density(params, **data) and init(**data) (JAX; NumPy with gradient); or a .stan file.", show_default=False)]  # fmt: skip
Data = Annotated[Optional[Path], typer.Option("--data", help="JSON object with the model's arguments. Without it the model file's data() is used, if any.", show_default=False)]  # fmt: skip
Seed = Annotated[Optional[int], typer.Option(help="Seed; drawn from the system and printed where left out.", show_default=False)]  # fmt: skip
Json = Annotated[bool, typer.Option("--json", help="One JSON object on standard output, nothing else there.")]
Progress = Annotated[bool, typer.Option("--progress/--no-progress", help="Progress on standard error.")]
Cache = Annotated[bool, typer.Option("--compile-cache/--no-compile-cache", help="Keep compiled programs in the user's cache folder.")]  # fmt: skip
Report = Annotated[Optional[Path], typer.Option("--report", help="Write one HTML page about it here; an earlier report is replaced.", show_default=False)]  # fmt: skip
Metric = Annotated[str, typer.Option(help="auto, identity, diagonal, dense or low_rank.")]
Store = Annotated[Optional[Path], typer.Option(help="New folder to which draws stream; see `monochord resume`.", show_default=False)]  # fmt: skip
Keep = Annotated[Optional[list[str]], typer.Option(help="Quantity to store, a name or pattern; may be repeated.", show_default=False)]  # fmt: skip
Block = Annotated[Optional[int], typer.Option(help="Draws a chain that are committed to the store together.", show_default=False)]  # fmt: skip
Output = Annotated[Optional[Path], typer.Option("--output", "-o", help="netCDF file for the ArviZ DataTree.", show_default=False)]  # fmt: skip
Force = Annotated[bool, typer.Option("--force", help="Replace the output file if it exists.")]

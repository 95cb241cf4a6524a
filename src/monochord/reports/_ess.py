"""How the effective sample size grew: a straight line up for chains that mix."""

import numpy as np

from monochord._arviz import SummaryRow
from monochord.convergence import ESS_LIMIT
from monochord.mixing import bulk_and_tail_ess
from monochord.reports._ranks import values_of
from monochord.reports._svg import Canvas, figure, shortened, span_of

NUM_POINTS = 10
FEWEST = 20  # draws a chain for the first point


def ess_figure(data, row: SummaryRow) -> str:
    """Bulk and tail ESS of the slowest quantity over the draws made so far."""
    (values,) = values_of(data, [row])
    num_chains, num_draws = values.shape
    if num_draws < 2 * FEWEST:
        return f"<p>{num_draws} draws a chain are too few to show how the ESS grew.</p>"
    counts = np.unique(np.linspace(FEWEST, num_draws, NUM_POINTS).astype(int))
    sizes = [bulk_and_tail_ess(values[:, :count, None]) for count in counts]
    bulk, tail = (np.array([float(np.ravel(pair[k])[0]) for pair in sizes]) for k in (0, 1))
    enough = ESS_LIMIT * min(num_chains, 4)
    canvas = Canvas(span_of(np.array([0.0, num_draws])), span_of(np.concatenate([bulk, tail, [0.0, enough]])))
    canvas.axes("draws a chain", "ESS")
    canvas.level(float(enough))
    canvas.line(counts, bulk, "c0")
    canvas.dots(counts, bulk, "c0")
    canvas.line(counts, tail, "c1 dashed")
    canvas.dots(counts, tail, "c1")
    words = (
        f"ESS of {row.name}, the slowest quantity, over the draws so far: bulk ends at {bulk[-1]:.0f}, tail at {tail[-1]:.0f}; the "
        f"level line is {enough}"
    )
    return figure(
        f"Growth of the ESS of {shortened(row.name, 30)}", canvas.render(words), f"{words}.",
        [("c0", "bulk"), ("c1 dashed", "tail")],
    )  # fmt: skip

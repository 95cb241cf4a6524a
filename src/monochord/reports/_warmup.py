"""Step size and acceptance, through warm-up and in the chains."""

from collections.abc import Sequence

import numpy as np

from monochord.reports._svg import Canvas, figure, span_of
from monochord.sampling import Piece

NUM_BINS = 25


def warmup_figures(trace: Sequence[Piece], acceptance: np.ndarray, step_size: float | None) -> str:
    """The way of the step size and of the acceptance, and the acceptance of the kept draws (chains, draws)."""
    if not trace:
        ways = "<p>This result kept no way of its warm-up.</p>"
    else:
        ways = _step_size(trace) + _acceptance(trace)
    return ways + _kept(acceptance, step_size)


def _step_size(trace) -> str:
    x, y = np.array([p.iterations for p in trace], np.float64), np.array([p.step_size for p in trace])
    is_log = bool(y.max() > 10.0 * y.min())
    canvas = Canvas(span_of(x), span_of(y, is_log=is_log, pad=0.2), log_y=is_log)
    canvas.axes("iterations of warm-up", "step size")
    canvas.line(x, y, "c0")
    canvas.dots(x, y, "c0")
    refined = trace[-1].num_refinements
    words = f"The step size over {int(x[-1])} iterations of warm-up ended at {y[-1]:.3g}; the metric was refined {refined} times."
    return figure("Step size in warm-up", canvas.render(words), f"{words} First chain, whitened time.")


def _acceptance(trace) -> str:
    x, y = np.array([p.iterations for p in trace], np.float64), np.array([p.acceptance for p in trace])
    canvas = Canvas(span_of(x), (0.0, 1.0))
    canvas.axes("iterations of warm-up", "mean acceptance")
    canvas.line(x, y, "c0")
    canvas.dots(x, y, "c0")
    words = f"Mean acceptance of all chains in each piece of warm-up: {y.min():.2f} to {y.max():.2f}, at the end {y[-1]:.2f}"
    return figure("Acceptance in warm-up", canvas.render(words), f"{words}.")


def _kept(acceptance: np.ndarray, step_size: float | None) -> str:
    counts, edges = np.histogram(acceptance, bins=NUM_BINS, range=(0.0, 1.0))
    shares = counts / max(1, acceptance.size)
    canvas = Canvas((0.0, 1.0), (0.0, max(0.05, 1.05 * float(shares.max()))))
    canvas.axes("acceptance of a transition", "share of draws")
    canvas.steps(edges, shares, "c0")
    by_chain = ", ".join(f"{value:.2f}" for value in acceptance.mean(1)[:8])
    more = "" if len(acceptance) <= 8 else ", …"
    step = "" if step_size is None else f" at step size {step_size:.3g}"
    words = f"Acceptance of the kept draws{step}: mean {acceptance.mean():.2f}; by chain {by_chain}{more}."
    return figure("Acceptance of the draws", canvas.render(words), words)

"""Energy: whether a transition's energy change is as wide as the energies; and where transitions diverged."""

import numpy as np

from monochord.reports._svg import Canvas, figure, shortened, span_of

NUM_BINS = 40
LOW_BFMI = 0.3  # Betancourt (2016), arXiv 1604.00695, and Stan's warning
MAX_DOTS = 500


def bfmi(energy: np.ndarray) -> np.ndarray:
    """Energy's Bayesian fraction of missing information of each chain of energies (chains, draws)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.mean(np.diff(energy, axis=1) ** 2, axis=1) / np.var(energy, axis=1)


def energy_figure(energy: np.ndarray) -> str:
    """Energies about their mean, and changes from draw to draw."""
    if energy.shape[1] < 3 or not np.all(np.isfinite(energy)):
        return "<p>There are too few draws, or energies that are not finite: no picture of them.</p>"
    marginal, change = (energy - energy.mean()).ravel(), np.diff(energy, axis=1).ravel()
    limits = span_of(np.quantile(np.concatenate([marginal, change]), [0.01, 0.99]), pad=0.3)
    outside = int(np.sum((marginal < limits[0]) | (marginal > limits[1])))
    edges = np.linspace(*limits, NUM_BINS + 1)
    heights = [np.histogram(part, bins=edges, density=True)[0] for part in (marginal, change)]
    canvas = Canvas(limits, (0.0, 1.05 * float(max(h.max() for h in heights))))
    canvas.axes("energy about its mean, nats", "density")
    canvas.steps(edges, heights[0], "c0")
    canvas.steps(edges, heights[1], "c1 dashed")
    found = bfmi(energy)
    least = float(np.nanmin(found)) if np.any(np.isfinite(found)) else float("nan")
    judged = "below" if least < LOW_BFMI else "above"
    words = f"Energies and their changes from draw to draw. The smallest E-BFMI of a chain is {least:.2f}, {judged} the limit of {LOW_BFMI}"
    far = f" Energies beyond the frame: {outside}." if outside else ""
    return figure("Energy", canvas.render(words), f"{words}.{far}", [("c0", "energies"), ("c1 dashed", "changes")])


def divergence_figure(x: np.ndarray, diverging: np.ndarray, names: list[str]) -> str:
    """Where transitions diverged, in the two coordinates whose values there differ most from the rest."""
    count = int(diverging.sum())
    if count == 0:
        return f"<p>None of {diverging.size:,} transitions diverged.</p>"
    flat, mask = x.reshape(-1, x.shape[-1]), diverging.ravel()
    if not (~mask).any():
        return "<p>Every transition diverged: there is nothing to compare them with.</p>"
    sd = flat.std(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        apart = np.where(sd > 0, np.abs(flat[mask].mean(0) - flat[~mask].mean(0)) / sd, 0.0)
    order = np.argsort(-apart, kind="stable")
    first, second = int(order[0]), int(order[min(1, len(order) - 1)])
    canvas = Canvas(span_of(flat[:, first]), span_of(flat[:, second]), height=280)
    canvas.axes(shortened(names[first], 44), shortened(names[second], 30))
    for chosen, kind in ((~mask, "cloud"), (mask, "c1")):
        part = flat[chosen][:, [first, second]]
        part = part[np.unique(np.linspace(0, len(part) - 1, MAX_DOTS).astype(int))]
        canvas.dots(part[:, 0], part[:, 1], kind)
    words = (
        f"{count:,} of {diverging.size:,} transitions diverged. Where they did, {names[first]} differs most from the other draws, "
        f"by {apart[first]:.2g} sds on average"
    )
    return figure(
        "Where transitions diverged",
        canvas.render(words),
        f"{words}. Unconstrained coordinates; light dots are the other draws.",
    )

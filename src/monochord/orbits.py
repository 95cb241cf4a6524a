"""The same leapfrog trajectory twice, under the identity and under a metric, in the plane where they differ most."""

import dataclasses

import numpy as np
from jaxtyping import Float

from monochord.errors import OptionError
from monochord.gaussian import Gaussian
from monochord.metrics import AbstractMetric, identity_metric
from monochord.targets import AbstractTarget, evaluate

DENSE_DIM = 500  # above it the two directions come from power iteration
POWER_STEPS = 60
START = (1.2, -0.6)  # from the mean, in sds along the plane's two directions
MOMENTUM = (-0.4, 1.0)  # whitened, the same under both metrics
STEP = 0.3  # times 1/ω_max of the Gaussian, whose largest stable step is 2/ω_max
NUM_LEAPFROGS = 24  # a little more than a turn of the fitted metric's


@dataclasses.dataclass(frozen=True)
class Orbits:
    """Two leapfrog trajectories of the same number of gradients from one point, projected on one plane.

    `paths` maps "identity" and "fitted" to positions of shape (leapfrogs + 1, 2) in sds of the metric along the
    directions of its largest and smallest variance; they end early where the density is not finite. `draws` are
    points of the posterior there, or of the fit where there were none. `widths` are the two sds, in unconstrained
    space, and `names` the largest coordinate of each direction.
    """

    paths: dict[str, Float[np.ndarray, "_ 2"]]
    draws: Float[np.ndarray, "draws 2"]
    widths: tuple[float, float]
    names: tuple[str, str]
    step_sizes: dict[str, float]
    gradients: int


def orbits(
    target: AbstractTarget, gaussian: Gaussian, points: Float[np.ndarray, "n dim"], num_leapfrogs: int = NUM_LEAPFROGS
) -> Orbits:
    """Trajectories of `num_leapfrogs` under the identity and under `gaussian.metric`; 2·(leapfrogs + 1) gradients.

    Both start at the same point of the plane with the same whitened momentum, at .15 of the largest step that is
    stable for the Gaussian under their own metric. `points` (unconstrained) are shown behind them.

    **Raises** `OptionError` in one dimension, which has no plane.
    """
    directions, widths = worst_plane(gaussian.metric)
    mean = np.asarray(gaussian.mean, np.float64)
    metrics: dict[str, AbstractMetric] = {"identity": identity_metric(gaussian.dim), "fitted": gaussian.metric}
    steps = {"identity": STEP * widths[1], "fitted": STEP}
    start = mean + (np.array(START) * widths) @ directions
    velocities = {
        "identity": np.array(MOMENTUM) @ directions,
        "fitted": (np.array(MOMENTUM) * widths) @ directions,
    }
    x = _leapfrogs(
        target, list(metrics.values()), start, list(velocities.values()), list(steps.values()), num_leapfrogs
    )
    project = lambda points: (points - mean) @ directions.T / widths  # noqa: E731
    paths = {}
    for name, positions in zip(metrics, np.moveaxis(x, 1, 0), strict=True):
        finite = np.all(np.isfinite(positions), axis=1)
        paths[name] = project(positions[: len(finite) if finite.all() else int(np.argmin(finite))])
    places = np.abs(directions * np.sqrt(1.0 / np.asarray(gaussian.metric.diagonal()))).argmax(1)
    return Orbits(
        paths, project(np.asarray(points, np.float64)), (float(widths[0]), float(widths[1])),
        (target.names[places[0]], target.names[places[1]]), steps, 2 * (num_leapfrogs + 1),
    )  # fmt: skip


def worst_plane(metric: AbstractMetric) -> tuple[Float[np.ndarray, "2 dim"], Float[np.ndarray, " 2"]]:
    """Orthonormal directions of the metric's largest and smallest variance, and the sds along them.

    Up to 500 dimensions by an eigen-solve; above it by power iteration, which may stop a little short of the extremes.
    """
    if metric.dim < 2:
        raise OptionError("the target has one coordinate. A plane needs two. Look at its trace instead.")
    if metric.dim <= DENSE_DIM:
        values, vectors = np.linalg.eigh(np.asarray(metric.dense(), np.float64))
        directions, variances = vectors[:, [-1, 0]].T, values[[-1, 0]]
    else:
        first = _power(lambda v: np.asarray(metric.matvec(v)), metric.dim)
        second = _power(lambda v: np.asarray(metric.solve(v)), metric.dim)
        second -= (second @ first) * first
        directions = np.stack([first, second / np.linalg.norm(second)])
        variances = np.array([float(v @ np.asarray(metric.matvec(v))) for v in directions])
    signs = np.sign(directions[np.arange(2), np.abs(directions).argmax(1)])
    return directions * signs[:, None], np.sqrt(variances)


def _power(product, dim: int) -> np.ndarray:
    vector = np.cos(np.arange(dim) ** 2.0) + 1.5  # no random numbers: a report is the same every time
    for _ in range(POWER_STEPS):
        vector = product(vector)
        vector = vector / np.linalg.norm(vector)
    return vector


def _leapfrogs(target, metrics, start, velocities, steps, count: int) -> np.ndarray:
    """Positions, shape (count + 1, metrics, dim), by velocity Verlet; all metrics in one batch of gradients."""
    x, velocity = np.stack([start] * len(metrics)), np.stack(velocities)
    step = np.array(steps)[:, None]
    pull = _pull(target, metrics, x)
    positions = [x]
    with np.errstate(all="ignore"):  # an unstable trajectory runs to infinity; its path is cut there
        for _ in range(count):
            half = velocity + 0.5 * step * pull
            x = x + step * half
            pull = _pull(target, metrics, x)
            velocity = half + 0.5 * step * pull
            positions.append(x)
    return np.stack(positions)


def _pull(target, metrics, x) -> np.ndarray:
    """Σ∇ log p of each metric at its own point; NaN where the density is not finite, which ends the path."""
    found = evaluate(target, x)
    scores = np.where(found.finite()[:, None], found.score, np.nan)
    return np.stack([np.asarray(metric.matvec(score)) for metric, score in zip(metrics, scores, strict=True)])

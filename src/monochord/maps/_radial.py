"""`RadialMap`: the radius of whitened coordinates is stretched, from a Gaussian's to that of a Student-t.

    x = mean + c L v,   v = e^{φ(|u|²)} u,   Σ = L Lᵀ,

where |v|²/dim has the F(dim, df) distribution if |u|² has the χ²(dim) one. If x is a multivariate Student-t with scale
matrix c²Σ then u is exactly standard Gaussian, and the reverse; no other stretch of the radius does that. φ is analytic.
It is kept as a quintic spline in |u|² through its values at quantiles, from 0 to where 1e-60 of the mass lies beyond,
and linear after that.
"""

import math
from typing import final

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy import special

from monochord.arrays import Array
from monochord.maps._base import AbstractMap
from monochord.metrics import AbstractMetric

NUM_CELLS, DEGREE = 512, 5
LEAST_TAIL, LEAST_HEAD = 1e-60, 1e-280  # mass beyond the last node, and below the first after 0
MAX_NEWTON = 60


@final
class RadialMap(AbstractMap):
    """The map u ↦ x of a Student-t with `degrees` of freedom, scale matrix e^{2 log_scale} Σ and centre `mean`.

    `metric` is Σ in unconstrained space; `table` holds the coefficients of φ by cell of |u|², lowest power first, and
    `step` the width of a cell. u has no unit.
    """

    mean: Float[Array, " dim"]
    metric: AbstractMetric
    log_scale: Float[Array, ""]
    degrees: Float[Array, ""]
    table: Float[Array, "cells power"]
    step: Float[Array, ""]

    @classmethod
    def student(
        cls, mean: Float[np.ndarray, " dim"], metric: AbstractMetric, log_scale: float, degrees: float
    ) -> "RadialMap":
        """The map under which a Student-t is Gaussian. **Raises** `ValueError` unless `degrees` is positive and finite."""
        if not 0.0 < degrees < math.inf:
            raise ValueError(
                f"`RadialMap.student(degrees={degrees})` is no Student-t. Its degrees of freedom are a positive number."
            )
        table, step = stretch(len(mean), float(degrees))
        return cls(mean, metric, np.asarray(log_scale), np.asarray(degrees), table, np.asarray(step))

    @property
    def dim(self) -> int:
        return self.metric.dim

    @property
    def num_moved(self) -> int:
        return self.dim

    def forward(self, u: Float[Array, " dim"]) -> tuple[Float[Array, " dim"], Float[Array, ""]]:
        square = jnp.sum(u**2)
        phi, slope = self._stretch(square)
        x = self.mean + self.metric.unwhiten(jnp.exp(phi) * u)
        return x, u.shape[0] * phi + jnp.log1p(2.0 * square * slope) + 0.5 * self.metric.log_det()

    def place(self, u: Float[np.ndarray, "*batch dim"]) -> Float[np.ndarray, "*batch dim"]:
        u = np.asarray(u)
        phi, _ = self._stretch(np.sum(u**2, axis=-1, keepdims=True))
        return np.asarray(self.mean + self.metric.unwhiten(np.exp(phi) * u))

    def inverse(self, x: Float[np.ndarray, "*batch dim"]) -> Float[np.ndarray, "*batch dim"]:
        v = np.asarray(self.metric.whiten(np.asarray(x) - self.mean))
        largest = np.max(np.abs(v), axis=-1, keepdims=True)
        largest = np.where(largest > 0, largest, 1.0)
        with np.errstate(divide="ignore"):
            log_square = np.log(np.sum((v / largest) ** 2, axis=-1, keepdims=True)) + 2.0 * np.log(largest)
        phi, _ = self._stretch(self._square(log_square))
        return v * np.exp(-phi)

    def named(self, names: tuple[str, ...]) -> str:
        return f"the radius of all {len(names)} coordinates, as of a Student-t with {float(self.degrees):.3g} degrees of freedom"

    def _stretch(self, square):
        """Φ + log c and φ' at |u|²."""
        value, slope = stretched(self.table, square, self.step)
        return value + self.log_scale, slope

    def _square(self, log_square: np.ndarray) -> np.ndarray:
        """|u|² for log |v|²: Newton's method on log |u|² + 2φ, held between bounds."""
        low, high = np.zeros_like(log_square), np.full_like(log_square, float(self.step) * len(self.table))
        for _ in range(MAX_NEWTON):  # doubled until it bounds
            short = self._log_square(high) < log_square
            if not np.any(short):
                break
            high = np.where(short, 2.0 * high, high)
        at = 0.5 * (low + high)
        for _ in range(MAX_NEWTON):
            error = self._log_square(at) - log_square
            low, high = np.where(error <= 0, at, low), np.where(error > 0, at, high)
            _, slope = self._stretch(at)
            with np.errstate(divide="ignore", invalid="ignore"):
                new = at - error * at / (1.0 + 2.0 * at * slope)
            new = np.where((new > low) & (new < high), new, 0.5 * (low + high))
            if np.all(np.abs(new - at) <= 4e-16 * at):
                break
            at = new
        return np.where(np.isneginf(log_square), 0.0, at)

    def _log_square(self, square):
        with np.errstate(divide="ignore"):
            return np.log(square) + 2.0 * self._stretch(square)[0]


def stretched(table, square, step, row=None):
    """Φ and φ' at `square`, off the `table` of `stretch`, or off the table `row` for each entry along the last axis."""
    xp = np if isinstance(square, np.ndarray | np.floating) else jnp
    table, last = xp.asarray(table), table.shape[-2] - 1
    place = xp.clip(square / step, 0.0, None)
    cell = xp.clip(xp.floor(place).astype(int), 0, last)
    powers = table[cell] if row is None else table[row, cell]
    offset = (place - cell) * step
    value, slope = powers[..., DEGREE], xp.zeros_like(offset)
    for power in range(DEGREE - 1, -1, -1):
        slope = slope * offset + value
        value = value * offset + powers[..., power]
    return value, slope


def stretch(dim: int, degrees: float) -> tuple[Float[np.ndarray, "cells power"], float]:
    """Coefficients of φ by cell of |u|², lowest power first, and the width of a cell."""
    from scipy.interpolate import make_interp_spline  # half a second of imports, where such a map is made

    last = 2.0 * special.gammainccinv(0.5 * dim, LEAST_TAIL)
    nodes = np.linspace(0.0, last, NUM_CELLS + 1)
    half = 0.5 * nodes[1:]
    below, above = special.gammainc(0.5 * dim, half), special.gammaincc(0.5 * dim, half)
    with np.errstate(divide="ignore", invalid="ignore"):
        head = special.betaincinv(0.5 * dim, 0.5 * degrees, below)  # |v|²/(df + |v|²)
        tail = special.betaincinv(0.5 * degrees, 0.5 * dim, above)  # df/(df + |v|²)
        square = degrees * np.where(below < above, head / (1.0 - head), (1.0 - tail) / tail)
        phi = 0.5 * np.log(square / nodes[1:])
    usable = np.concatenate([[True], (below > LEAST_HEAD) & np.isfinite(phi)])
    spline = make_interp_spline(nodes[usable], np.concatenate([[_at_centre(dim, degrees)], phi])[usable], k=DEGREE)
    pieces = np.array([spline(nodes[:-1], nu=power) / math.factorial(power) for power in range(DEGREE + 1)]).T
    beyond = np.zeros((1, DEGREE + 1))
    beyond[0, :2] = spline(last), spline(last, nu=1)
    return np.concatenate([pieces, beyond]), float(nodes[1])


def _at_centre(dim: int, degrees: float) -> float:
    """φ(0): log of the dim-th root of the ratio of the two densities at the centre."""
    log_gaussian = -0.5 * dim * math.log(2.0 * math.pi)
    log_student = (
        math.lgamma(0.5 * (degrees + dim)) - math.lgamma(0.5 * degrees) - 0.5 * dim * math.log(degrees * math.pi)
    )
    return (log_gaussian - log_student) / dim

"""`TailMap`: coordinates stretched one by one, from a Gaussian's tails to lighter, heavier or skewed ones.

    x_i = loc_i + scale_i sinh((asinh(reach_i v_i) + skewness_i)/tail_i),   v_i = e^{φ_i(u_i²)} u_i,

the sinh-arcsinh transformation of Jones & Pewsey (2009, Biometrika 96(4), 761–780), their ε and δ called skewness and tail. They have
reach 1; as reach and tail go to 0 together it becomes Johnson's S_U (1949, Biometrika 36, 149–176), whose skewed laws come close to those of
logarithms of gamma variables. Tails are heavier than a Gaussian's for tail < 1, and the right one is the longer for skewness > 0.
v = u, or, where `degrees` are finite, of a Student-t with those if u is Gaussian (`RadialMap` in one dimension).
"""

import math
from typing import final

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from monochord.arrays import Array
from monochord.maps._base import AbstractMap
from monochord.maps._radial import DEGREE, NUM_CELLS, RadialMap, stretch, stretched
from monochord.metrics import identity_metric

FIELDS = ("loc", "scale", "skewness", "tail", "reach", "degrees")
IDENTITY = (0.0, 1.0, 0.0, 1.0, 1.0, np.inf)
SHOWN = 3  # coordinates named in a sentence


@final
class TailMap(AbstractMap):
    """The map u ↦ x. Coordinates with loc 0, scale 1, skewness 0, tail 1, reach 1 and infinite degrees keep their values.

    `loc` and `scale` have the unit of each coordinate; u has none where a coordinate is moved. `tables` holds the
    coefficients of φ by table and cell of u² (`RadialMap`), `step` their cell's width and `row` the table of each coordinate.
    """

    loc: Float[Array, " dim"]
    scale: Float[Array, " dim"]
    skewness: Float[Array, " dim"]
    tail: Float[Array, " dim"]
    reach: Float[Array, " dim"]
    degrees: Float[Array, " dim"]
    tables: Float[Array, "tables cells power"]
    step: Float[Array, ""]
    row: Int[Array, " dim"]

    @classmethod
    def of(
        cls,
        loc: Float[np.ndarray, " dim"],
        scale: Float[np.ndarray, " dim"],
        skewness: Float[np.ndarray, " dim"],
        tail: Float[np.ndarray, " dim"],
        reach: Float[np.ndarray, " dim"],
        degrees: Float[np.ndarray, " dim"],
    ) -> "TailMap":
        """The map with these parameters, infinite `degrees` where v = u.

        **Raises** `ValueError` unless scale, tail, reach and degrees are positive, and all but degrees finite.
        """
        rows = np.array([loc, scale, skewness, tail, reach, degrees], np.float64)
        if not (np.all(np.isfinite(rows[:5])) and np.all(rows[[1, 3, 4, 5]] > 0)):
            raise ValueError(
                "`TailMap.of` needs finite loc and skewness, finite positive scale, tail and reach, and positive degrees. Otherwise it is "
                "no bijection. Leave a coordinate as it is by 0, 1, 0, 1, 1 and infinity."
            )
        different, row = np.unique(rows[5], return_inverse=True)
        cells = NUM_CELLS + 1 if np.any(np.isfinite(different)) else 1
        tables, step = np.zeros((len(different), cells, DEGREE + 1)), 1.0
        for table, own in zip(tables, different, strict=True):
            if np.isfinite(own):
                table[:], step = stretch(1, float(own))
        return cls(rows[0], rows[1], rows[2], rows[3], rows[4], rows[5], tables, np.asarray(step), row)

    @classmethod
    def identity(cls, dim: int) -> "TailMap":
        """The map that leaves every coordinate as it is."""
        return cls.of(*(np.full(dim, value) for value in IDENTITY))

    @property
    def dim(self) -> int:
        return self.loc.shape[0]

    @property
    def num_moved(self) -> int:
        return int(np.sum(self.moved))

    @property
    def moved(self) -> np.ndarray:
        """Whether a coordinate is not left as it is."""
        rows = [np.asarray(getattr(self, name)) != value for name, value in zip(FIELDS, IDENTITY, strict=True)]
        return np.any(rows, axis=0)

    def forward(self, u: Float[Array, " dim"]) -> tuple[Float[Array, " dim"], Float[Array, ""]]:
        x, log_slope = self._placed(jnp.asarray(u))
        return x, jnp.sum(log_slope)

    def place(self, u: Float[np.ndarray, "*batch dim"]) -> Float[np.ndarray, "*batch dim"]:
        return np.asarray(self._placed(np.asarray(u))[0])

    def inverse(self, x: Float[np.ndarray, "*batch dim"]) -> Float[np.ndarray, "*batch dim"]:
        inner = np.arcsinh((np.asarray(x) - self.loc) / self.scale)
        u = np.sinh(np.asarray(self.tail) * inner - self.skewness) / self.reach
        for i in np.flatnonzero(np.isfinite(self.degrees)):
            law = RadialMap.student(np.zeros(1), identity_metric(1), 0.0, float(self.degrees[i]))
            u[..., i : i + 1] = law.inverse(u[..., i : i + 1])
        return u

    def slopes(self, u: Float[np.ndarray, "*batch dim"]) -> Float[np.ndarray, "*batch dim"]:
        """Dx_i/du_i, on the host."""
        return np.exp(self._placed(np.asarray(u))[1])

    def named(self, names: tuple[str, ...]) -> str:
        moved = np.flatnonzero(self.moved)
        shown = ", ".join(f"`{names[i]}` ({self._law(i)})" for i in moved.tolist()[:SHOWN])
        return f"tails of {len(moved)} coordinates, each by itself: {shown}" + (", …" if len(moved) > SHOWN else "")

    def _law(self, i: int) -> str:
        if np.isfinite(self.degrees[i]):
            return f"Student-t with {float(self.degrees[i]):.3g} degrees of freedom"
        return (
            f"skewness {float(self.skewness[i]):.2g}, tail {float(self.tail[i]):.2g}, reach {float(self.reach[i]):.2g}"
        )

    def _placed(self, u):
        """X and log dx/du by coordinate."""
        xp = np if isinstance(u, np.ndarray) else jnp
        phi, slope = stretched(self.tables, u**2, self.step, self.row)
        v = xp.exp(phi) * u
        bent = self.reach * v
        turned = (xp.arcsinh(bent) + self.skewness) / self.tail
        log_slope = phi + xp.log1p(2.0 * u**2 * slope) + xp.log(self.scale * self.reach / self.tail)
        log_slope = log_slope + xp.logaddexp(turned, -turned) - math.log(2.0) - 0.5 * xp.log1p(bent**2)
        return self.loc + self.scale * xp.sinh(turned), log_slope

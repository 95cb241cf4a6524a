"""`CholeskyMap`: a block of coordinates, Gaussian given a few others, whose location and Cholesky factor turn with those.

    x_B = center + unit · (m(w) + A(w) diag(exp l(w)) u_B),   w = LIMIT tanh(z/LIMIT),   A unit lower triangular,

z the standardised drivers; every entry of m, A and l is a polynomial in w. Each member is a regression on those before it with
coefficients and scale that vary with the drivers: the modified Cholesky factorisation (Pourahmadi 1999, Biometrika 86,
677–690), here of the covariance, with a location of its own. What `BlockMap` cannot say it can: principal axes that
turn, as those of a Gaussian process do with its length scale. Beyond what was seen the drivers saturate: polynomials of
w stay bounded, and the map a bijection of all of space.
"""

import itertools
import math
from typing import final

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from monochord.arrays import Array
from monochord.maps._base import AbstractMap

LIMIT = 3.0  # standard deviations of the points learned from, at which a driver saturates


@final
class CholeskyMap(AbstractMap):
    """The map u ↦ x. Coordinates but `members` keep their values.

    `location` is of one degree, `ties` (of A, below its diagonal, row by row) and `log_scale` of another: the numbers of
    their terms, as `monomials` orders them, say which.
    """

    members: Int[Array, " width"]
    drivers: Int[Array, " drivers"]
    center: Float[Array, " dim"]
    unit: Float[Array, " dim"]
    location: Float[Array, "location_terms width"]
    ties: Float[Array, "terms pairs"]
    log_scale: Float[Array, "terms width"]

    @property
    def dim(self) -> int:
        return self.center.shape[0]

    @property
    def num_moved(self) -> int:
        return self.members.shape[0]

    @property
    def left(self) -> Int[np.ndarray, " left"]:
        """Places of the coordinates that stay as they are."""
        return np.setdiff1d(np.arange(self.dim), np.asarray(self.members))

    def forward(self, u: Float[Array, " dim"]) -> tuple[Float[Array, " dim"], Float[Array, ""]]:
        u = jnp.asarray(u)
        location, factor, log_scale = self._moments(u)
        center, unit = jnp.asarray(self.center)[self.members], jnp.asarray(self.unit)[self.members]
        x = center + unit * (location + factor @ (jnp.exp(log_scale) * u[self.members]))
        return u.at[self.members].set(x.astype(u.dtype)), jnp.sum(log_scale) + jnp.sum(jnp.log(unit))

    def place(self, u: Float[np.ndarray, "*batch dim"]) -> Float[np.ndarray, "*batch dim"]:
        u = np.asarray(u)
        location, factor, log_scale = self._moments(u)
        moved = np.einsum("...ij,...j->...i", factor, np.exp(log_scale) * u[..., self.members])
        return self._put(u, self._at(self.center) + self._at(self.unit) * (location + moved))

    def inverse(self, x: Float[np.ndarray, "*batch dim"]) -> Float[np.ndarray, "*batch dim"]:
        x = np.asarray(x)
        location, factor, log_scale = self._moments(x)
        away = (x[..., self.members] - self._at(self.center)) / self._at(self.unit) - location
        return self._put(x, np.exp(-log_scale) * np.linalg.solve(factor, away[..., None])[..., 0])

    def pushed(self, u: Float[np.ndarray, "n dim"], score: Float[np.ndarray, "n dim"]) -> Float[np.ndarray, "n dim"]:
        """Scores in the target's own coordinates for those at u in the coordinates of the map; on the host, no gradient."""
        drivers, members = np.asarray(self.drivers), np.asarray(self.members)
        _, factor, log_scale = self._moments(u)
        spread, unit, found = np.exp(log_scale) * u[:, members], self._at(self.unit), np.array(score)
        turned = np.exp(-log_scale) * score[:, members]
        found[:, members] = np.linalg.solve(np.swapaxes(factor, -1, -2), turned[..., None])[..., 0] / unit
        w = saturated((u[:, drivers] - self.center[drivers]) / self.unit[drivers])
        for place, driver in enumerate(drivers):
            location, factor_slope, scale_slope = self._coefficients(slopes(w, self._degree, place))
            along = location + np.einsum("nij,nj->ni", factor_slope - np.eye(len(members)), spread)
            along = along + np.einsum("nij,nj->ni", factor, spread * scale_slope)
            drag = np.sum(unit * along * found[:, members], axis=1) + np.sum(scale_slope, axis=1)
            found[:, driver] -= drag * (1.0 - (w[:, place] / LIMIT) ** 2) / self.unit[driver]
        return found

    def named(self, names: tuple[str, ...]) -> str:
        shown = ", ".join(f"`{names[j]}`" for j in np.asarray(self.drivers))
        return f"{self.num_moved} coordinates given location and principal axes by {shown}"

    def _at(self, values) -> np.ndarray:
        return np.asarray(values)[self.members]

    def _put(self, whole: np.ndarray, values: np.ndarray) -> np.ndarray:
        whole = np.array(whole, np.result_type(whole, values))
        whole[..., self.members] = values
        return whole

    def _moments(self, x):
        """Location m, unit lower triangle A and log scales l of the members."""
        xp = np if isinstance(x, np.ndarray) else jnp
        drivers = xp.asarray(self.drivers)
        z = (x[..., drivers] - xp.asarray(self.center)[drivers]) / xp.asarray(self.unit)[drivers]
        return self._coefficients(monomials(saturated(z), self._degree))

    @property
    def _degree(self) -> int:
        return degree_of(self.location.shape[0], self.drivers.shape[0])

    def _coefficients(self, terms):
        """Location, triangle and log scales that terms add up to."""
        xp = np if isinstance(terms, np.ndarray) else jnp
        fewer = terms[..., : self.log_scale.shape[0]]
        location, ties, log_scale = (xp.asarray(part) for part in (self.location, self.ties, self.log_scale))
        return terms @ location, unit_lower(fewer @ ties, self.num_moved), fewer @ log_scale


def saturated(z):
    """Bounded drivers: LIMIT tanh(z/LIMIT)."""
    return LIMIT * (np if isinstance(z, np.ndarray) else jnp).tanh(z / LIMIT)


def monomials(w, degree: int):
    """All products of `degree` entries of w at most, lower degrees first: shape (..., terms)."""
    xp = np if isinstance(w, np.ndarray) else jnp
    found: dict[tuple[int, ...], Array] = {(): xp.ones(w.shape[:-1], w.dtype)}
    for power in range(1, degree + 1):
        for factors in itertools.combinations_with_replacement(range(w.shape[-1]), power):
            found[factors] = found[factors[:-1]] * w[..., factors[-1]]
    return xp.stack(list(found.values()), axis=-1)


def powers(num_drivers: int, degree: int) -> Int[np.ndarray, "terms num_drivers"]:
    """Exponents of each entry in each of the `monomials`."""
    terms = [
        factors
        for power in range(degree + 1)
        for factors in itertools.combinations_with_replacement(range(num_drivers), power)
    ]
    found = np.zeros((len(terms), num_drivers), int)
    for row, factors in enumerate(terms):
        for j in factors:
            found[row, j] += 1
    return found


def slopes(w, degree: int, place: int):
    """Derivatives of `monomials` by entry `place` of w."""
    xp = np if isinstance(w, np.ndarray) else jnp
    found = []
    for power in range(degree + 1):
        for factors in itertools.combinations_with_replacement(range(w.shape[-1]), power):
            others = list(factors)
            if place in others:
                others.remove(place)
                found.append(factors.count(place) * xp.prod(w[..., others], axis=-1))
            else:
                found.append(xp.zeros(w.shape[:-1], w.dtype))
    return xp.stack(found, axis=-1)


def num_terms(num_drivers: int, degree: int) -> int:
    """How many `monomials` there are."""
    return math.comb(num_drivers + degree, degree)


def is_complete(location_terms: int, terms: int, num_drivers: int) -> bool:
    """Whether both counts are of all monomials up to some degree, the second at most the first."""
    counts = {num_terms(num_drivers, degree) for degree in range(location_terms + 1)}
    return location_terms in counts and terms in counts and terms <= location_terms


def degree_of(terms: int, num_drivers: int) -> int:
    """The degree of so many monomials, as `num_terms` counts them."""
    return next(degree for degree in itertools.count() if num_terms(num_drivers, degree) >= terms)


def unit_lower(ties, width: int):
    """The unit lower triangle with `ties` below its diagonal, row by row: shape (..., width, width)."""
    rows, columns = np.tril_indices(width, -1)
    if isinstance(ties, np.ndarray):
        full = np.zeros((*ties.shape[:-1], width, width), ties.dtype) + np.eye(width, dtype=ties.dtype)
        full[..., rows, columns] = ties
        return full
    return (jnp.zeros((*ties.shape[:-1], width, width), ties.dtype) + jnp.eye(width, dtype=ties.dtype)).at[..., rows, columns].set(ties)  # fmt: skip

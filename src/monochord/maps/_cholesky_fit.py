"""`cholesky_map`: location and Cholesky factor of a block as polynomials of a few drivers, from points and scores alone.

In coordinates u = E⁻¹A⁻¹(y − m) a block that is Gaussian given its drivers has scores −u: E Aᵀs + u = 0, with s the block's score. The mean square
of what is left is the block's share of the Fisher divergence between the pulled-back target and that (Hyvärinen 2005). It is minimised over
the coefficients of all entries of m, A and log E together by Levenberg–Marquardt; points of any distribution that reaches where
the map will be used will do, and no gradient is spent.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from monochord.maps._cholesky import CholeskyMap, degree_of, monomials, num_terms, powers, saturated, unit_lower

# Of the location; factors are of one degree less. More where points are many, less where they are few
USUAL_DEGREE, TOP_DEGREE = 3, 5
MAX_UNKNOWNS, EQUATIONS_EACH, MANY_EACH = 1_200, 3.0, 10.0  # normal equations of more take seconds
RIDGE = 1e-2  # of every coefficient but the constants, in units of a standard normal's mean square
MAX_STEPS, TOLERANCE = 60, 1e-3
MAX_LOG_SCALE, HOPELESS = 30.0, 1e8


class _Form(NamedTuple):
    """Sizes. Coefficients are one vector: (terms, functions) of the location, then of ties and log scales together."""

    width: int
    num_drivers: int
    location_terms: int
    terms: int

    @property
    def pairs(self) -> int:
        return self.width * (self.width - 1) // 2

    @property
    def powers(self) -> Int[np.ndarray, "location_terms num_drivers"]:
        """Exponents of the drivers in each term."""
        return powers(self.num_drivers, degree_of(self.location_terms, self.num_drivers))

    @property
    def unknowns(self) -> int:
        return self.location_terms * self.width + self.terms * (self.width + self.pairs)

    @property
    def penalty(self) -> Float[np.ndarray, " unknowns"]:
        """`RIDGE` on all but the constants."""
        penalty = np.full(self.unknowns, RIDGE)
        for part in self.parts(penalty):
            part[0] = 0.0
        return penalty

    def parts(self, coefficients):
        """Location, ties and log scale: views, (terms, functions) each."""
        cut = self.location_terms * self.width
        location = coefficients[:cut].reshape(-1, self.width)
        rest = coefficients[cut:].reshape(-1, self.pairs + self.width)
        return location, rest[:, : self.pairs], rest[:, self.pairs :]


def cholesky_map(
    x: Float[np.ndarray, "n dim"],
    score: Float[np.ndarray, "n width"],
    members: Int[np.ndarray, " width"],
    drivers: Int[np.ndarray, " drivers"],
) -> CholeskyMap | None:
    """The map learned from points and the scores of the members there; None where points are too few.

    **Raises** `LinAlgError` where the points say nothing of some direction.
    """
    form = _form(len(x), len(members), len(drivers))
    center, unit = x.mean(0), x.std(0)
    if form is None or not np.all(unit > 0):
        return None
    z, scaled = (x - center) / unit, score * unit[members]
    terms = monomials(saturated(z[:, drivers]), degree_of(form.location_terms, len(drivers)))
    found = _fitted(form, terms, z[:, members], scaled)
    location, ties, log_scale = form.parts(found)
    return CholeskyMap(members, drivers, center, unit, location, ties, log_scale)


def _form(num_points: int, width: int, num_drivers: int) -> _Form | None:
    """The richest form that the points can tell, and that can be solved for."""
    for degree in range(TOP_DEGREE, 1, -1):
        form = _Form(width, num_drivers, num_terms(num_drivers, degree), num_terms(num_drivers, degree - 1))
        each = EQUATIONS_EACH if degree <= USUAL_DEGREE else MANY_EACH
        if form.unknowns <= MAX_UNKNOWNS and num_points * width >= each * form.unknowns:
            return form
    return None


def _fitted(form: _Form, terms, y, score) -> Float[np.ndarray, " unknowns"]:
    """Levenberg–Marquardt from the constant map."""
    penalty, found, damping = form.penalty, _constant(form, y, score), 1e-3

    def size(residual, coefficients) -> float:
        return float(np.sum(residual**2) / len(residual) + np.sum(penalty * coefficients**2))

    residual, jacobian = _residual(form, found, terms, y, score, True)
    least = size(residual, found)
    for _ in range(MAX_STEPS):
        gram, slope = _normal(form, terms, residual, jacobian)
        gram, slope, before = gram + np.diag(penalty), slope + penalty * found, least
        while damping < HOPELESS:
            trial = found - np.linalg.solve(gram + np.diag(damping * np.diag(gram) + 1e-12), slope)
            with np.errstate(all="ignore"):
                new = size(_residual(form, trial, terms, y, score, False)[0], trial)
            if np.isfinite(new) and new < least:
                found, least, damping = trial, new, max(damping / 10.0, 1e-9)
                break
            damping *= 4.0
        if not before - least > TOLERANCE * before:
            break
        residual, jacobian = _residual(form, found, terms, y, score, True)
    return found


def _constant(form: _Form, y, score) -> np.ndarray:
    """The best constant map: the covariance whose square is, in the middle, that of the points by the inverse of their scores'."""
    lower = np.linalg.cholesky(np.cov(y.T).reshape(form.width, -1))
    values, vectors = np.linalg.eigh(lower.T @ np.cov(score.T).reshape(form.width, -1) @ lower)
    between = lower @ (vectors * np.maximum(values, 1e-12) ** -0.5) @ vectors.T @ lower.T
    factor = np.linalg.cholesky(between)
    scale = np.diag(factor)
    found = np.zeros(form.unknowns)
    location, ties, log_scale = form.parts(found)
    location[0] = y.mean(0) + between @ score.mean(0)
    ties[0] = (factor / scale)[np.tril_indices(form.width, -1)]
    log_scale[0] = np.log(scale)
    return found


def _residual(form: _Form, coefficients, terms, y, score, with_jacobian: bool):
    """E Aᵀs + u, shape (n, width), and its derivatives by the functions, (n, width, functions)."""
    location, ties, log_scale = form.parts(coefficients)
    fewer = terms[:, : form.terms]
    factor = unit_lower(fewer @ ties, form.width)
    scale = np.exp(np.clip(fewer @ log_scale, -MAX_LOG_SCALE, MAX_LOG_SCALE))
    gap = y - terms @ location
    if not with_jacobian:
        u = np.linalg.solve(factor, gap[..., None])[..., 0] / scale
        return scale * np.einsum("nji,nj->ni", factor, score) + u, None
    inverse = np.linalg.inv(factor)
    moved = np.einsum("nij,nj->ni", inverse, gap)
    u, pulled = moved / scale, scale * np.einsum("nji,nj->ni", factor, score)
    steep, (rows, columns) = inverse / scale[:, :, None], np.tril_indices(form.width, -1)
    by_tie = -steep[:, :, rows] * moved[:, None, columns]
    by_tie[:, columns, np.arange(form.pairs)] += scale[:, columns] * score[:, rows]
    by_scale = (pulled - u)[:, :, None] * np.eye(form.width)
    return pulled + u, np.concatenate([-steep, by_tie, by_scale], axis=2)


def _normal(form: _Form, terms, residual, jacobian) -> tuple[np.ndarray, np.ndarray]:
    """Normal equations over the coefficients in use: each point's are a product of one matrix of functions and one of terms."""
    num, width, few = len(terms), form.width, form.terms
    powers = form.powers
    kinds = ((jacobian[..., :width], terms, powers), (jacobian[..., width:], terms[:, :few], powers[:few]))
    slopes = [
        (these.T @ np.einsum("nbf,nb->nf", part, residual, optimize=True)).ravel() / num for part, these, _ in kinds
    ]
    blocks = [[_products(*one, *other) / num for other in kinds[: row + 1]] for row, one in enumerate(kinds)]
    gram = np.block([[blocks[0][0], blocks[1][0].T], [blocks[1][0], blocks[1][1]]])
    return gram, np.concatenate(slopes)


def _products(first, of_first, powers_first, second, of_second, powers_second) -> np.ndarray:
    """Inner products of the derivatives by two sorts of coefficients, (terms · functions) of each.

    Products of monomials are monomials, and most of them coincide: the sums over points are made once for each.
    """
    num, rows, columns = len(first), first.shape[2], second.shape[2]
    base = 1 + int(powers_first.max(initial=0) + powers_second.max(initial=0))
    codes = [table @ base ** np.arange(table.shape[1]) for table in (powers_first, powers_second)]
    _, kept, place = np.unique(np.add.outer(*codes).ravel(), return_index=True, return_inverse=True)
    at, of = np.divmod(kept, len(powers_second))
    distinct = of_first[:, at] * of_second[:, of]
    functions = np.matmul(np.swapaxes(first, 1, 2), second).reshape(num, -1)
    full = (distinct.T @ functions)[place].reshape(len(powers_first), len(powers_second), rows, columns)
    return full.transpose(0, 2, 1, 3).reshape(len(powers_first) * rows, -1)

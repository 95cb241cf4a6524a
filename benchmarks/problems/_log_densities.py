"""Log densities, summed over their entries, up to constants that no argument moves.

A `scale` is a standard deviation (or the scale of a Cauchy), never a variance.  The
half densities are those of a positive `x`; their factor 2 is a constant.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike


def normal(x: ArrayLike, mean: ArrayLike, scale: ArrayLike) -> jax.Array:
    """Return sum_i [-log scale - (x_i - mean)^2 / (2 scale^2)]."""
    standardised = (jnp.asarray(x) - mean) / scale
    return jnp.sum(-0.5 * standardised**2 - jnp.log(scale))


def normal_log_scale(residuals: ArrayLike, log_scale: jax.Array) -> jax.Array:
    """Return the normal log density of `residuals`, all with scale exp(log_scale)."""
    squares = jnp.sum(jnp.asarray(residuals) ** 2)
    return -jnp.size(residuals) * log_scale - 0.5 * squares * jnp.exp(-2 * log_scale)


def half_normal(x: jax.Array, scale: float) -> jax.Array:
    """Return the log density of HalfNormal(scale) at x > 0."""
    return jnp.sum(-0.5 * (x / scale) ** 2)


def cauchy(x: jax.Array, scale: float) -> jax.Array:
    """Return the log density of Cauchy(0, scale), or of its half at x > 0."""
    return jnp.sum(-jnp.log1p((x / scale) ** 2))


def student_t(x: jax.Array, degrees: float, mean: float, scale: float) -> jax.Array:
    """Return the log density of StudentT(degrees, mean, scale), or of its half."""
    squares = ((x - mean) / scale) ** 2
    return jnp.sum(-0.5 * (degrees + 1) * jnp.log1p(squares / degrees))


def log_normal(x: jax.Array, mean: ArrayLike, scale: ArrayLike) -> jax.Array:
    """Return the log density of LogNormal(mean, scale) at x > 0, with its -log x."""
    log_x = jnp.log(x)
    return normal(log_x, mean, scale) - jnp.sum(log_x)


def log_poisson(counts: ArrayLike, log_rate: jax.Array) -> jax.Array:
    """Return the log probability of `counts` under Poisson(exp(log_rate))."""
    return jnp.sum(counts * log_rate - jnp.exp(log_rate))


def bernoulli_logit(outcomes: ArrayLike, logits: jax.Array) -> jax.Array:
    """Return the log probability of 0/1 `outcomes` under Bernoulli(sigmoid(logits))."""
    return jnp.sum(outcomes * logits - jax.nn.softplus(logits))


def logit_jacobian(logit: jax.Array) -> jax.Array:
    """Return the summed log derivative of the sigmoid: log s(u) + log(1 - s(u))."""
    return -jnp.sum(jax.nn.softplus(logit) + jax.nn.softplus(-logit))


def ar1_quadratic_form(x: jax.Array, correlation: ArrayLike) -> jax.Array:
    """Return x^T R^-1 x with R_ij = correlation^|i - j|, without forming R."""
    steps = x[1:] - correlation * x[:-1]
    return x[0] ** 2 + jnp.sum(steps**2) / (1 - correlation**2)

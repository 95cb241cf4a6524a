"""NumPyro models of groups, walks and latent fields, each centred and not: `MODELS[name]()`.

The data are few on purpose, so that scales near 0 have mass: that is where centred forms have a neck. Each entry returns the model (whose
argument `centred` chooses the form), its data, and the names of what is compared: logarithms of scales, and some of what they scale.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist


class Naive(NamedTuple):
    """A model of both forms with its data."""

    model: Callable[..., Any]
    data: dict[str, np.ndarray]
    positive: tuple[str, ...]  # compared by their logarithms
    real: tuple[str, ...]


MODELS: dict[str, Callable[[], Naive]] = {}


def _entry(make: Callable[[], Naive]) -> Callable[[], Naive]:
    MODELS[make.__name__] = make
    return make


def effects(centred: bool, name: str, loc, scale, count: int):
    """`count` effects N(loc, scale²), sampled as they are or standardised."""
    if centred:
        return numpyro.sample(name, dist.Normal(loc, scale).expand([count]).to_event(1))
    z = numpyro.sample(f"{name}_z", dist.Normal(0.0, 1.0).expand([count]).to_event(1))
    return numpyro.deterministic(name, loc + scale * z)


def half_cauchy(name: str, scale: float = 1.0):
    return numpyro.sample(name, dist.HalfCauchy(scale))


def normal(name: str, scale: float):
    return numpyro.sample(name, dist.Normal(0.0, scale))


@_entry
def logit_intercepts() -> Naive:
    """20 groups of 3 binary outcomes."""
    rng = np.random.default_rng(1)
    g, x = np.repeat(np.arange(20), 3), rng.normal(size=60)
    y = rng.binomial(1, _inverse_logit(rng.normal(-0.5, 0.8, 20)[g] + 0.7 * x))

    def model(x, g, y, centred=True):
        m, s, b = normal("m", 2.0), half_cauchy("s"), normal("b", 2.0)
        a = effects(centred, "a", m, s, 20)
        numpyro.sample("y", dist.Bernoulli(logits=a[g] + b * x), obs=y)

    return Naive(model, {"x": x, "g": g, "y": y}, ("s",), ("m", "b", "a"))


@_entry
def correlated_slopes() -> Naive:
    """15 groups of 5, intercept and slope of each with a correlation (LKJ prior)."""
    rng = np.random.default_rng(2)
    g, x = np.repeat(np.arange(15), 5), rng.normal(size=75)
    y = rng.normal(1.0, 0.5, 15)[g] + rng.normal(0.5, 0.2, 15)[g] * x + rng.normal(size=75)

    def model(x, g, y, centred=True):
        m = numpyro.sample("m", dist.Normal(0.0, 5.0).expand([2]).to_event(1))
        s = numpyro.sample("s", dist.HalfCauchy(2.0).expand([2]).to_event(1))
        noise = numpyro.sample("noise", dist.HalfNormal(2.0))
        factor = s[:, None] * numpyro.sample("corr", dist.LKJCholesky(2, 2.0))
        if centred:
            with numpyro.plate("groups", 15):
                e = numpyro.sample("e", dist.MultivariateNormal(m, scale_tril=factor))
        else:
            z = numpyro.sample("z", dist.Normal(0.0, 1.0).expand([15, 2]).to_event(2))
            e = numpyro.deterministic("e", m + z @ factor.T)
        numpyro.sample("y", dist.Normal(e[g, 0] + e[g, 1] * x, noise), obs=y)

    return Naive(model, {"x": x, "g": g, "y": y}, ("s", "noise"), ("m", "e"))


@_entry
def binomial_slopes() -> Naive:
    """12 groups, intercepts and slopes with scales of their own."""
    rng = np.random.default_rng(3)
    g, x = np.repeat(np.arange(12), 4), rng.normal(size=48)
    y = rng.binomial(5, _inverse_logit(rng.normal(0, 0.6, 12)[g] + (0.5 + rng.normal(0, 0.1, 12)[g]) * x))

    def model(x, g, y, centred=True):
        m, n = normal("m", 2.0), normal("n", 2.0)
        s, t = (numpyro.sample(name, dist.HalfNormal(1.0)) for name in ("s", "t"))
        a, b = effects(centred, "a", m, s, 12), effects(centred, "b", n, t, 12)
        numpyro.sample("y", dist.Binomial(5, logits=a[g] + b[g] * x), obs=y)

    return Naive(model, {"x": x, "g": g, "y": y}, ("s", "t"), ("m", "n", "a", "b"))


@_entry
def crossed_effects() -> Naive:
    """60 binary outcomes of 10 rows and 12 columns."""
    rng = np.random.default_rng(4)
    i, j = np.divmod(rng.choice(120, 60, replace=False), 12)
    y = rng.binomial(1, _inverse_logit(0.3 + rng.normal(0, 1, 10)[i] + rng.normal(0, 0.4, 12)[j]))

    def model(i, j, y, centred=True):
        m, s, t = normal("m", 2.0), half_cauchy("s"), half_cauchy("t")
        a, b = effects(centred, "a", 0.0, s, 10), effects(centred, "b", 0.0, t, 12)
        numpyro.sample("y", dist.Bernoulli(logits=m + a[i] + b[j]), obs=y)

    return Naive(model, {"i": i, "j": j, "y": y}, ("s", "t"), ("m", "a", "b"))


@_entry
def three_levels() -> Naive:
    """8 schools of 3 classes of 4 pupils."""
    rng = np.random.default_rng(5)
    school, pupil = np.repeat(np.arange(8), 3), np.repeat(np.arange(24), 4)
    y = rng.normal(rng.normal(rng.normal(2, 0.3, 8)[school], 0.8)[pupil], 1.0)

    def model(y, centred=True):
        m, s, t, noise = normal("m", 5.0), half_cauchy("s"), half_cauchy("t"), half_cauchy("noise")
        a = effects(centred, "a", m, s, 8)
        b = effects(centred, "b", a[school], t, 24)
        numpyro.sample("y", dist.Normal(b[pupil], noise), obs=y)

    return Naive(model, {"y": y}, ("s", "t", "noise"), ("m", "a", "b"))


@_entry
def slow_walk() -> Naive:
    """A random walk of 60 steps that are small beside the noise."""
    rng = np.random.default_rng(6)
    y = np.cumsum(rng.normal(0, 0.08, 60)) + rng.normal(0, 1.0, 60)

    def model(y, centred=True):
        s, noise = numpyro.sample("s", dist.HalfNormal(1.0)), numpyro.sample("noise", dist.HalfNormal(2.0))
        first = normal("first", 5.0)
        if centred:
            steps = numpyro.sample("w", dist.GaussianRandomWalk(s, 59))
        else:
            steps = s * jnp.cumsum(numpyro.sample("z", dist.Normal(0.0, 1.0).expand([59]).to_event(1)))
        path = numpyro.deterministic("path", first + jnp.concatenate([jnp.zeros(1), steps]))
        numpyro.sample("y", dist.Normal(path, noise), obs=y)

    return Naive(model, {"y": y}, ("s", "noise"), ("path",))


def _autoregression(centred: bool, loc, phi, s, count: int):
    """Stationary, of order one."""
    spread = s / jnp.sqrt(1.0 - phi**2)
    if centred:
        h = numpyro.sample("h", dist.ImproperUniform(dist.constraints.real, (), (count,)))
        numpyro.factor("first", dist.Normal(loc, spread).log_prob(h[0]))
        numpyro.factor("others", dist.Normal(loc + phi * (h[:-1] - loc), s).log_prob(h[1:]).sum())
        return h
    z = numpyro.sample("z", dist.Normal(0.0, 1.0).expand([count]).to_event(1))

    def following(last, noise):
        new = phi * last + s * noise
        return new, new

    _, rest = jax.lax.scan(following, spread * z[0], z[1:])
    return numpyro.deterministic("h", loc + jnp.concatenate([spread * z[:1], rest]))


@_entry
def counts_in_time() -> Naive:
    """40 counts, log rate an autoregression."""
    rng = np.random.default_rng(7)
    h = np.zeros(40)
    for t in range(1, 40):
        h[t] = 0.8 * h[t - 1] + rng.normal(0, 0.3)
    y = rng.poisson(np.exp(0.5 + h))

    def model(y, centred=True):
        m, s = normal("m", 2.0), numpyro.sample("s", dist.HalfNormal(1.0))
        phi = numpyro.sample("phi", dist.Uniform(-1.0, 1.0))
        numpyro.sample("y", dist.Poisson(jnp.exp(m + _autoregression(centred, 0.0, phi, s, 40))), obs=y)

    return Naive(model, {"y": y}, ("s",), ("m", "h"))


@_entry
def volatility() -> Naive:
    """80 returns, log variance an autoregression."""
    rng = np.random.default_rng(18)
    h = np.zeros(80)
    for t in range(1, 80):
        h[t] = 0.95 * h[t - 1] + rng.normal(0, 0.25)
    y = np.exp(h / 2 - 0.5) * rng.normal(size=80)

    def model(y, centred=True):
        m, s = normal("m", 2.0), numpyro.sample("s", dist.HalfNormal(0.5))
        phi = 2.0 * numpyro.sample("beta", dist.Beta(20.0, 1.5)) - 1.0
        numpyro.sample("y", dist.Normal(0.0, jnp.exp(_autoregression(centred, m, phi, s, 80) / 2.0)), obs=y)

    return Naive(model, {"y": y}, ("s",), ("m", "h"))


@_entry
def item_response() -> Naive:
    """30 people, 8 items with a difficulty and a discrimination each."""
    rng = np.random.default_rng(8)
    theta, alpha, beta = rng.normal(size=30), np.exp(rng.normal(0.2, 0.4, 8)), rng.normal(size=8)
    y = rng.binomial(1, _inverse_logit(alpha * (theta[:, None] - beta)))

    def model(y, centred=True):
        m, n = normal("m", 0.5), normal("n", 1.0)
        s, t = numpyro.sample("s", dist.HalfNormal(0.5)), numpyro.sample("t", dist.HalfNormal(1.0))
        theta = numpyro.sample("theta", dist.Normal(0.0, 1.0).expand([30]).to_event(1))
        if centred:
            alpha = numpyro.sample("alpha", dist.LogNormal(m, s).expand([8]).to_event(1))
        else:
            z = numpyro.sample("alpha_z", dist.Normal(0.0, 1.0).expand([8]).to_event(1))
            alpha = numpyro.deterministic("alpha", jnp.exp(m + s * z))
        beta = effects(centred, "beta", n, t, 8)
        numpyro.sample("y", dist.Bernoulli(logits=alpha * (theta[:, None] - beta)), obs=y)

    return Naive(model, {"y": y}, ("s", "t", "alpha"), ("m", "n", "beta", "theta"))


@_entry
def scattered_counts() -> Naive:
    """50 counts with an effect for each: overdispersion."""
    rng = np.random.default_rng(9)
    x = rng.normal(size=50)
    y = rng.poisson(np.exp(0.3 + 0.5 * x + rng.normal(0, 0.35, 50)))

    def model(x, y, centred=True):
        a, b, s = normal("a", 3.0), normal("b", 3.0), half_cauchy("s")
        numpyro.sample("y", dist.Poisson(jnp.exp(a + b * x + effects(centred, "e", 0.0, s, 50))), obs=y)

    return Naive(model, {"x": x, "y": y}, ("s",), ("a", "b", "e"))


@_entry
def negative_binomial() -> Naive:
    """25 groups of one count."""
    rng = np.random.default_rng(20)
    y = rng.negative_binomial(2, 2 / (2 + np.exp(rng.normal(1, 0.3, 25))))

    def model(y, centred=True):
        m, s, shape = normal("m", 3.0), half_cauchy("s"), numpyro.sample("shape", dist.Gamma(1.0, 0.1))
        numpyro.sample("y", dist.NegativeBinomial2(jnp.exp(effects(centred, "a", m, s, 25)), shape), obs=y)

    return Naive(model, {"y": y}, ("s", "shape"), ("m", "a"))


@_entry
def frailty() -> Naive:
    """15 pairs of censored Weibull times."""
    rng = np.random.default_rng(19)
    g, x, w = np.repeat(np.arange(15), 2), rng.normal(size=30), np.exp(rng.normal(0, 0.6, 15))
    t = rng.weibull(1.5, 30) * np.exp(0.4 * x) / w[g]

    def model(t, is_cut, x, g, centred=True):
        shape = numpyro.sample("shape", dist.LogNormal(0.0, 0.5))
        a, b, s = normal("a", 2.0), normal("b", 1.0), numpyro.sample("s", dist.HalfNormal(1.0))
        line = a + b * x + effects(centred, "u", 0.0, s, 15)[g]
        hazard = jnp.log(shape) - line + (shape - 1.0) * (jnp.log(t) - line)
        survived = -jnp.exp(shape * (jnp.log(t) - line))
        numpyro.factor("likelihood", jnp.sum(jnp.where(is_cut, 0.0, hazard) + survived))

    return Naive(model, {"t": np.minimum(t, 1.5), "is_cut": t > 1.5, "x": x, "g": g}, ("shape", "s"), ("a", "b", "u"))


@_entry
def unequal_groups() -> Naive:
    """10 groups of 1 to 1,000."""
    rng = np.random.default_rng(15)
    counts = np.array([1, 1, 2, 2, 3, 5, 10, 50, 200, 1000])
    g = np.repeat(np.arange(10), counts)
    y = rng.normal(rng.normal(0, 0.5, 10)[g], 1.0)

    def model(y, centred=True):
        m, s, noise = normal("m", 5.0), half_cauchy("s"), half_cauchy("noise")
        numpyro.sample("y", dist.Normal(effects(centred, "a", m, s, 10)[g], noise), obs=y)

    return Naive(model, {"y": y}, ("s", "noise"), ("m", "a"))


@_entry
def half_a_funnel() -> Naive:
    """Neal's funnel, half of whose 10 coordinates are seen."""
    y = 0.3 * np.random.default_rng(16).normal(size=5)

    def model(y, centred=True):
        x = effects(centred, "x", 0.0, jnp.exp(normal("v", 3.0) / 2.0), 10)
        numpyro.sample("y", dist.Normal(x[:5], 0.5), obs=y)

    return Naive(model, {"y": y}, (), ("v", "x"))


@_entry
def two_funnels() -> Naive:
    """Two log scales that share one of their own; one of the groups is seen precisely."""
    y = np.random.default_rng(17).normal(size=6)

    def model(y, centred=True):
        v = effects(centred, "v", 0.0, jnp.exp(normal("w", 1.0)), 2)
        a, b = effects(centred, "a", 0.0, jnp.exp(v[0]), 6), effects(centred, "b", 1.0, jnp.exp(v[1]), 6)
        numpyro.sample("y", dist.Normal(a, 0.1), obs=y)
        numpyro.sample("z", dist.Normal(b[:2], 2.0), obs=jnp.array([1.0, 2.0]))

    return Naive(model, {"y": y}, (), ("w", "v", "a", "b"))


@_entry
def latent_field() -> Naive:
    """A Gaussian process seen through 20 binary outcomes, with unknown length and amplitude."""
    rng = np.random.default_rng(11)
    x = np.linspace(-3, 3, 20)
    y = rng.binomial(1, _inverse_logit(2 * np.sin(1.5 * x)))
    square = (x[:, None] - x) ** 2

    def model(y, centred=True):
        length, amplitude = (
            numpyro.sample("length", dist.InverseGamma(5.0, 5.0)),
            numpyro.sample("amplitude", dist.HalfNormal(2.0)),
        )
        factor = amplitude * jnp.linalg.cholesky(jnp.exp(-square / 2 / length**2) + 1e-4 * jnp.eye(20))
        if centred:
            f = numpyro.sample("f", dist.MultivariateNormal(jnp.zeros(20), scale_tril=factor))
        else:
            f = numpyro.deterministic("f", factor @ numpyro.sample("z", dist.Normal(0.0, 1.0).expand([20]).to_event(1)))
        numpyro.sample("y", dist.Bernoulli(logits=f), obs=y)

    return Naive(model, {"y": y}, ("length", "amplitude"), ("f",))


@_entry
def counts_of_groups() -> Naive:
    """20 groups of 4 counts with two covariates."""
    rng = np.random.default_rng(41)
    g, x = np.repeat(np.arange(20), 4), rng.normal(size=(80, 2))
    y = rng.poisson(np.exp(0.5 + x @ np.full(2, 0.3) + rng.normal(0, 0.25, 20)[g]))

    def model(x, g, y, centred=True):
        m, s = normal("m", 2.0), half_cauchy("s")
        b = numpyro.sample("b", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
        numpyro.sample("y", dist.Poisson(jnp.exp(m + x @ b + effects(centred, "a", 0.0, s, 20)[g])), obs=y)

    return Naive(model, {"x": x, "g": g, "y": y}, ("s",), ("m", "b", "a"))


@_entry
def many_slopes() -> Naive:
    """8 groups with slopes of 10 predictors, each with a scale of its own."""
    rng = np.random.default_rng(32)
    g, x = np.repeat(np.arange(8), 15), rng.normal(size=(120, 10))
    slopes = rng.normal(0, np.where(np.arange(10) % 2, 0.4, 0.05), (8, 10))
    y = (x * slopes[g]).sum(1) + rng.normal(size=120)

    def model(x, g, y, centred=True):
        m = numpyro.sample("m", dist.Normal(0.0, 2.0).expand([10]).to_event(1))
        s = numpyro.sample("s", dist.HalfNormal(1.0).expand([10]).to_event(1))
        noise = numpyro.sample("noise", dist.HalfNormal(2.0))
        if centred:
            e = numpyro.sample("e", dist.Normal(m, s).expand([8, 10]).to_event(2))
        else:
            e = numpyro.deterministic(
                "e", m + s * numpyro.sample("z", dist.Normal(0.0, 1.0).expand([8, 10]).to_event(2))
            )
        numpyro.sample("y", dist.Normal((x * e[g]).sum(1), noise), obs=y)

    return Naive(model, {"x": x, "g": g, "y": y}, ("s", "noise"), ("m", "e"))


@_entry
def uniform_scales() -> Naive:
    """8 groups of 4; standard deviations uniform on (0, 10), as older textbooks have them."""
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(8), 4)
    y = rng.normal(rng.normal(2, 0.4, 8)[g], 1.0)

    def model(g, y, centred=True):
        s, noise = numpyro.sample("s", dist.Uniform(0.0, 10.0)), numpyro.sample("noise", dist.Uniform(0.0, 10.0))
        numpyro.sample("y", dist.Normal(effects(centred, "a", normal("m", 10.0), s, 8)[g], noise), obs=y)

    return Naive(model, {"g": g, "y": y}, ("s", "noise"), ("m", "a"))


@_entry
def spreads_of_groups() -> Naive:
    """8 groups of 5, whose means and whose log standard deviations are both drawn from laws of their own."""
    rng = np.random.default_rng(10)
    g = np.repeat(np.arange(8), 5)
    y = rng.normal(rng.normal(0, 1, 8)[g], np.exp(rng.normal(0, 0.3, 8))[g])

    def model(g, y, centred=True):
        m, n = normal("m", 5.0), normal("n", 1.0)
        s, t = numpyro.sample("s", dist.HalfNormal(2.0)), numpyro.sample("t", dist.HalfNormal(1.0))
        a, b = effects(centred, "a", m, s, 8), effects(centred, "b", n, t, 8)
        numpyro.sample("y", dist.Normal(a[g], jnp.exp(b[g])), obs=y)

    return Naive(model, {"g": g, "y": y}, ("s", "t"), ("m", "n", "a", "b"))


@_entry
def with_interaction() -> Naive:
    """Two binary outcomes in each of 6 × 7 cells: rows, columns and cells have effects."""
    rng = np.random.default_rng(13)
    i, j = np.divmod(np.repeat(np.arange(42), 2), 7)
    k = 7 * i + j
    y = rng.binomial(
        1, _inverse_logit(0.3 + rng.normal(0, 0.8, 6)[i] + rng.normal(0, 0.4, 7)[j] + rng.normal(0, 0.3, 42)[k])
    )

    def model(i, j, k, y, centred=True):
        s, t, u = (numpyro.sample(name, dist.HalfNormal(1.0)) for name in ("s", "t", "u"))
        a, b, c = effects(centred, "a", 0.0, s, 6), effects(centred, "b", 0.0, t, 7), effects(centred, "c", 0.0, u, 42)
        numpyro.sample("y", dist.Bernoulli(logits=normal("m", 2.0) + a[i] + b[j] + c[k]), obs=y)

    return Naive(model, {"i": i, "j": j, "k": k, "y": y}, ("s", "t", "u"), ("m", "a", "b", "c"))


def _inverse_logit(x):
    return 1.0 / (1.0 + np.exp(-x))

"""Walks, autoregressions, fields, item response, survival and funnels."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from benchmarks.naive._parts import Naive, effects, entry, inverse_logit, normal


@entry
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


@entry
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


@entry
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


@entry
def item_response() -> Naive:
    """30 people, 8 items with a difficulty and a discrimination each."""
    rng = np.random.default_rng(8)
    theta, alpha, beta = rng.normal(size=30), np.exp(rng.normal(0.2, 0.4, 8)), rng.normal(size=8)
    y = rng.binomial(1, inverse_logit(alpha * (theta[:, None] - beta)))

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


@entry
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


@entry
def half_a_funnel() -> Naive:
    """Neal's funnel, half of whose 10 coordinates are seen."""
    y = 0.3 * np.random.default_rng(16).normal(size=5)

    def model(y, centred=True):
        x = effects(centred, "x", 0.0, jnp.exp(normal("v", 3.0) / 2.0), 10)
        numpyro.sample("y", dist.Normal(x[:5], 0.5), obs=y)

    return Naive(model, {"y": y}, (), ("v", "x"))


@entry
def latent_field() -> Naive:
    """A Gaussian process seen through 20 binary outcomes, with unknown length and amplitude."""
    rng = np.random.default_rng(11)
    x = np.linspace(-3, 3, 20)
    y = rng.binomial(1, inverse_logit(2 * np.sin(1.5 * x)))
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

"""Groups with intercepts, slopes and spreads."""

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from benchmarks.naive._parts import Naive, effects, entry, half_cauchy, inverse_logit, normal


@entry
def logit_intercepts() -> Naive:
    """20 groups of 3 binary outcomes."""
    rng = np.random.default_rng(1)
    g, x = np.repeat(np.arange(20), 3), rng.normal(size=60)
    y = rng.binomial(1, inverse_logit(rng.normal(-0.5, 0.8, 20)[g] + 0.7 * x))

    def model(x, g, y, centred=True):
        m, s, b = normal("m", 2.0), half_cauchy("s"), normal("b", 2.0)
        a = effects(centred, "a", m, s, 20)
        numpyro.sample("y", dist.Bernoulli(logits=a[g] + b * x), obs=y)

    return Naive(model, {"x": x, "g": g, "y": y}, ("s",), ("m", "b", "a"))


@entry
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


@entry
def binomial_slopes() -> Naive:
    """12 groups, intercepts and slopes with scales of their own."""
    rng = np.random.default_rng(3)
    g, x = np.repeat(np.arange(12), 4), rng.normal(size=48)
    y = rng.binomial(5, inverse_logit(rng.normal(0, 0.6, 12)[g] + (0.5 + rng.normal(0, 0.1, 12)[g]) * x))

    def model(x, g, y, centred=True):
        m, n = normal("m", 2.0), normal("n", 2.0)
        s, t = (numpyro.sample(name, dist.HalfNormal(1.0)) for name in ("s", "t"))
        a, b = effects(centred, "a", m, s, 12), effects(centred, "b", n, t, 12)
        numpyro.sample("y", dist.Binomial(5, logits=a[g] + b[g] * x), obs=y)

    return Naive(model, {"x": x, "g": g, "y": y}, ("s", "t"), ("m", "n", "a", "b"))


@entry
def crossed_effects() -> Naive:
    """60 binary outcomes of 10 rows and 12 columns."""
    rng = np.random.default_rng(4)
    i, j = np.divmod(rng.choice(120, 60, replace=False), 12)
    y = rng.binomial(1, inverse_logit(0.3 + rng.normal(0, 1, 10)[i] + rng.normal(0, 0.4, 12)[j]))

    def model(i, j, y, centred=True):
        m, s, t = normal("m", 2.0), half_cauchy("s"), half_cauchy("t")
        a, b = effects(centred, "a", 0.0, s, 10), effects(centred, "b", 0.0, t, 12)
        numpyro.sample("y", dist.Bernoulli(logits=m + a[i] + b[j]), obs=y)

    return Naive(model, {"i": i, "j": j, "y": y}, ("s", "t"), ("m", "a", "b"))


@entry
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


@entry
def scattered_counts() -> Naive:
    """50 counts with an effect for each: overdispersion."""
    rng = np.random.default_rng(9)
    x = rng.normal(size=50)
    y = rng.poisson(np.exp(0.3 + 0.5 * x + rng.normal(0, 0.35, 50)))

    def model(x, y, centred=True):
        a, b, s = normal("a", 3.0), normal("b", 3.0), half_cauchy("s")
        numpyro.sample("y", dist.Poisson(jnp.exp(a + b * x + effects(centred, "e", 0.0, s, 50))), obs=y)

    return Naive(model, {"x": x, "y": y}, ("s",), ("a", "b", "e"))


@entry
def negative_binomial() -> Naive:
    """25 groups of one count."""
    rng = np.random.default_rng(20)
    y = rng.negative_binomial(2, 2 / (2 + np.exp(rng.normal(1, 0.3, 25))))

    def model(y, centred=True):
        m, s, shape = normal("m", 3.0), half_cauchy("s"), numpyro.sample("shape", dist.Gamma(1.0, 0.1))
        numpyro.sample("y", dist.NegativeBinomial2(jnp.exp(effects(centred, "a", m, s, 25)), shape), obs=y)

    return Naive(model, {"y": y}, ("s", "shape"), ("m", "a"))


@entry
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


@entry
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


@entry
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


@entry
def uniform_scales() -> Naive:
    """8 groups of 4; standard deviations uniform on (0, 10), as older textbooks have them."""
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(8), 4)
    y = rng.normal(rng.normal(2, 0.4, 8)[g], 1.0)

    def model(g, y, centred=True):
        s, noise = numpyro.sample("s", dist.Uniform(0.0, 10.0)), numpyro.sample("noise", dist.Uniform(0.0, 10.0))
        numpyro.sample("y", dist.Normal(effects(centred, "a", normal("m", 10.0), s, 8)[g], noise), obs=y)

    return Naive(model, {"g": g, "y": y}, ("s", "noise"), ("m", "a"))


@entry
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


@entry
def with_interaction() -> Naive:
    """Two binary outcomes in each of 6 × 7 cells: rows, columns and cells have effects."""
    rng = np.random.default_rng(13)
    i, j = np.divmod(np.repeat(np.arange(42), 2), 7)
    k = 7 * i + j
    y = rng.binomial(
        1, inverse_logit(0.3 + rng.normal(0, 0.8, 6)[i] + rng.normal(0, 0.4, 7)[j] + rng.normal(0, 0.3, 42)[k])
    )

    def model(i, j, k, y, centred=True):
        s, t, u = (numpyro.sample(name, dist.HalfNormal(1.0)) for name in ("s", "t", "u"))
        a, b, c = effects(centred, "a", 0.0, s, 6), effects(centred, "b", 0.0, t, 7), effects(centred, "c", 0.0, u, 42)
        numpyro.sample("y", dist.Bernoulli(logits=normal("m", 2.0) + a[i] + b[j] + c[k]), obs=y)

    return Naive(model, {"i": i, "j": j, "k": k, "y": y}, ("s", "t", "u"), ("m", "a", "b", "c"))

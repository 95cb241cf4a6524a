"""Our ESS, R̂ and k̂ against ArviZ's, number for number."""

import warnings

import numpy as np
import pytest
from arviz_stats.base.array import array_stats

from monochord import mixing


def autoregressive(rng, shape, correlation):
    """Draws (chains, draws, dim) of AR(1) chains."""
    x = np.empty(shape)
    x[:, 0] = rng.standard_normal((shape[0], shape[2]))
    for place in range(1, shape[1]):
        noise = rng.standard_normal((shape[0], shape[2])) * np.sqrt(1 - correlation**2)
        x[:, place] = correlation * x[:, place - 1] + noise
    return x


@pytest.fixture(params=["independent", "slow", "antithetic", "sticky", "few", "odd", "one chain", "separated", "long"])
def draws(request, rng):
    """Chains of every kind that a run meets."""
    kinds = {
        "independent": lambda: rng.standard_normal((4, 200, 7)),
        "slow": lambda: autoregressive(rng, (4, 300, 5), np.array([0.5, 0.9, 0.99, 0.999, 0.3])),
        "antithetic": lambda: autoregressive(rng, (4, 251, 4), np.array([-0.3, -0.6, -0.9, -0.99])),
        "sticky": lambda: np.repeat(rng.standard_normal((4, 60, 3)), 5, axis=1),
        "few": lambda: rng.standard_normal((2, 4, 50)),
        "odd": lambda: rng.standard_cauchy((3, 7, 50)),
        "one chain": lambda: autoregressive(rng, (1, 400, 3), 0.7),
        "separated": lambda: rng.standard_normal((4, 100, 3)) + 3.0 * np.arange(4)[:, None, None],
        "long": lambda: autoregressive(rng, (4, 2000, 2), np.array([0.2, 0.95])),
    }
    return kinds[request.param]()


def theirs(x, statistic, **options):
    """ArviZ's numbers for (chains, draws, dim)."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.atleast_1d(getattr(array_stats, statistic)(np.moveaxis(x, (0, 1), (-2, -1)), **options))


def test_every_number_is_arviz_s(draws):
    """Catches: ranks that treat ties otherwise, a pair of lags too many, a median over the wrong draws."""
    bulk, tail = mixing.bulk_and_tail_ess(draws)
    np.testing.assert_allclose(bulk, theirs(draws, "ess", method="bulk"), rtol=1e-9)
    np.testing.assert_allclose(tail, theirs(draws, "ess", method="tail", prob=mixing.TAIL), rtol=1e-9)
    np.testing.assert_allclose(mixing.ess_of_means(draws), theirs(draws, "ess", method="mean"), rtol=1e-9)
    np.testing.assert_allclose(mixing.bulk_tail_and_r_hat(draws)[2], theirs(draws, "rhat"), rtol=1e-9)


def test_parts_do_not_change_the_numbers(rng, monkeypatch):
    """Catches: coordinates put in another's place where they are looked at a part at a time."""
    x = autoregressive(rng, (4, 50, 9), np.linspace(0, 0.9, 9))
    whole = mixing.convergence(x)
    monkeypatch.setattr(mixing, "CHUNK_NUMBERS", 450)
    np.testing.assert_array_equal(whole, mixing.convergence(x))


def test_what_cannot_be_told_is_said(rng):
    """Constant coordinates, values that are no numbers, and chains of three draws have no R̂ and no ESS."""
    x = rng.standard_normal((4, 100, 3))
    x[:, :, 0], x[2, 5, 1] = 1.5, np.nan
    ess, r_hat = mixing.convergence(x)
    assert np.isnan(ess[0]) and np.isnan(r_hat[:2]).all()
    assert np.isnan(ess[1]) and ess[2] > 100 and r_hat[2] < 1.1
    assert mixing.bulk_ess(x)[1] == 0.0 and mixing.bulk_ess(x[:, :3]).tolist() == [0.0, 0.0, 0.0]
    assert np.isnan(mixing.bulk_tail_and_r_hat(x[:1])[2]).all()
    assert mixing.bulk_and_tail_ess(x)[0][0] == 400.0  # ArviZ's answer for a constant


@pytest.mark.parametrize("size", [26, 225, 226, 1000])
@pytest.mark.parametrize("tail", [0.1, 0.5, 0.9, 2.0])
def test_pareto_shape_is_arviz_s(rng, size, tail):
    """Catches: a tail one value too long, or a cutoff taken from inside it."""
    log_ratios = tail * rng.standard_exponential(size)
    found = mixing.pareto_shape(log_ratios)
    _, expected = array_stats.psislw(-log_ratios[None, :], axis=-1)
    np.testing.assert_allclose(found, np.ravel(expected)[0], rtol=1e-9)


def test_pareto_shape_of_nothing_is_no_number():
    """Too few ratios, or all alike."""
    assert np.isnan(mixing.pareto_shape(np.arange(10.0)))
    assert np.isnan(mixing.pareto_shape(np.zeros(100)))

"""Tables from packages: sizes, and closed-form moments against another route to them."""

import os

import jax
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from benchmarks.problems import _tables, load


def _load(name):
    try:
        return load(name)
    except ModuleNotFoundError as error:
        if os.environ.get("CI"):  # the test extra installs it: there a skip would hide that it did not
            raise
        pytest.skip(f"{name}: {error}")


@pytest.mark.parametrize("name", _tables.BUILDERS)
def test_dimension_is_that_of_the_name_and_the_gradient_is_finite(name):
    problem = _load(name)
    gradient = jax.grad(lambda params: problem.log_density(params, **problem.data))(problem.init)
    assert problem.dim == int(name.rsplit("_", 1)[1])
    assert np.isfinite(ravel_pytree(gradient)[0]).all()


@pytest.mark.parametrize("name", ["diabetes_12", "longley_8"])
def test_moments_agree_with_exact_draws(name, rng):
    """Draws by sigma² first, then beta given sigma, against the formulas; 200,000 draws, limit 6 standard errors."""
    problem = _load(name)
    design, response = problem.data["design"], problem.data["response"]
    size = np.linalg.norm(design, axis=0)
    orthogonal, triangle = np.linalg.qr(design / size)
    residuals = response - orthogonal @ (orthogonal.T @ response)
    sigma = np.sqrt(residuals @ residuals / rng.chisquare(len(response) - design.shape[1], 200_000))
    rotated = orthogonal.T @ response + sigma[:, None] * rng.standard_normal((len(sigma), design.shape[1]))
    beta = np.linalg.solve(triangle, rotated.T).T / size
    draws = {f"beta[{i + 1}]": beta[:, i] for i in range(design.shape[1])} | {"sigma": sigma}
    assert set(draws) == set(problem.reference)
    for key, values in draws.items():
        truth = problem.reference[key]
        assert abs(values.mean() - truth.mean) < 6 * truth.sd / np.sqrt(len(values)), key
        assert abs((values**2).mean() - truth.mean_sq) < 6 * truth.sd_sq / np.sqrt(len(values)), key

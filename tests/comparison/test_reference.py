"""Where the long-run moments come from, and what is said of them when they are not to be trusted."""

import numpy as np
import pytest

import monochord as mc
from monochord._arviz import add_unconstrained, to_datatree
from monochord.comparison._reference import reference_from_draws, reference_from_tree
from monochord.testing import gaussian_target

MEAN, SCALE = np.array([1.0, -4.0]), np.array([0.3, 7.0])


@pytest.fixture
def target():
    return gaussian_target(MEAN, np.diag(SCALE**2))


@pytest.fixture
def tree(target, rng):
    """`(shift, names) -> DataTree` of 4 chains of 500 independent draws, the first chain shifted by so many sds."""

    def make(shift=0.0, names=None):
        x = MEAN + SCALE * rng.standard_normal((4, 500, 2))
        x[0] += shift * SCALE
        made = to_datatree({"x": x}, {"num_steps": np.ones((4, 500))}, {}, {"status": "made by hand"})
        add_unconstrained(made, x, names or target.names)
        return made

    return make


@pytest.mark.statistical
def test_moments_of_a_run(tree, target):
    """Moments within 6 standard errors (false-fail below 1e-7), and called reliable. Catches: axes that are mixed up."""
    found = reference_from_tree(tree(), target, 123, "a run")
    np.testing.assert_allclose((found.mean - MEAN) / SCALE, 0.0, atol=6 / 2000**0.5)
    np.testing.assert_allclose(found.sd, SCALE, rtol=6 / 4000**0.5)
    np.testing.assert_allclose(found.square_sd, 2**0.5 * SCALE**2, rtol=0.3)
    assert found.is_reliable
    assert "123 gradients" in found.sentence()
    assert found.spread_out(32).shape == (32, 2)


def test_chains_that_disagree(tree, target):
    """A chain that is 3 sds away is found out, and said. Catches: errors against wrong moments, silently."""
    found = reference_from_tree(tree(shift=3.0), target, 0, "a run")
    assert not found.is_reliable
    assert "has not converged" in found.sentence()


def test_what_is_refused(tree, target, rng):
    with pytest.raises(mc.OptionError, match="coordinates a, b"):
        reference_from_tree(tree(names=("a", "b")), target, 0, "a run")
    bare = to_datatree({"x": np.zeros((2, 5))}, {"num_steps": np.ones((2, 5))}, {}, {"status": "made by hand"})
    with pytest.raises(mc.OptionError, match="unconstrained_posterior"):
        reference_from_tree(bare, target, 0, "a run")
    for draws in (rng.standard_normal((99, 2)), rng.standard_normal((200, 3)), np.full((200, 2), np.nan)):
        with pytest.raises(mc.OptionError, match="reference"):
            reference_from_draws(draws, target)

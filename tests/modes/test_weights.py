"""Weights and their errors; which draws of the mixture come from which mode; mass that chains do not see."""

import jax.numpy as jnp
import numpy as np

import monochord as mc
from monochord.metrics import identity_metric
from monochord.modes import labels, missed, num_mixed, places_of, regions_of, weights
from monochord.modes._weights import Weights
from monochord.targets import callable_target

VALUES = np.array([0.62, 0.335, 0.045])


def test_errors_follow_those_of_the_integrals(rng):
    """Delta method against 20,000 simulated log integrals, to 5 %: the error of a simulated sd is .5 %. Catches: variances of weights without what others
    bring in, rows that do not sum to zero."""
    errors = np.array([0.03, 0.05, 0.02])
    found = weights(np.log(VALUES) + 700.0, errors)
    np.testing.assert_allclose(found.values, VALUES, rtol=1e-12)
    masses = np.exp(np.log(VALUES) + errors * rng.standard_normal((20_000, 3)))
    simulated = masses / masses.sum(1, keepdims=True)
    np.testing.assert_allclose(found.standard_errors, simulated.std(0), rtol=0.05)
    np.testing.assert_allclose(found.covariance.sum(0), 0.0, atol=1e-15)


def test_labels_come_in_proportion(rng):
    """Whole numbers in every chain, the rest by chance: 4000 chains of 7 draws, each mean within 4 errors (false-fail 2e-4).
    Catches: rounding that takes away a light mode for good."""
    made = np.array([np.bincount(labels(rng, VALUES, 7), minlength=3) for _ in range(4000)])
    assert np.all(made.sum(1) == 7) and np.all(np.abs(made - 7 * VALUES) < 1.0)
    assert np.all(np.abs(made.mean(0) - 7 * VALUES) < 4 * 0.5 / np.sqrt(4000))


def test_a_draw_serves_once(rng):
    """Catches: draws used twice, which would pass for more than they are."""
    counts = [150, 90, 100]
    total = num_mixed(VALUES, counts)
    mode = labels(rng, VALUES, total)
    places = places_of(mode, counts)
    assert total >= 150
    for k, count in enumerate(counts):
        own = places[mode == k]
        assert np.all(np.diff(own) > 0) and own.max() < count
        assert len(own) < 20 or own.max() > 0.9 * count  # spread over the run


def test_mass_that_no_chain_sees_is_noticed(rng):
    """One Gaussian cut in two by a line: chains of both halves see their own, and nothing is missed. Chains of the second half that keep to one side
    miss a quarter of it. Catches: overlap taken for loss, and loss for overlap."""
    target = callable_target(lambda params: -0.5 * jnp.sum(params["x"] ** 2), {"x": np.zeros(2)})
    places = np.array([[-1.0, 0.0], [1.0, 0.0]])
    regions, _ = regions_of(target, [mc.Gaussian(place, identity_metric(2)) for place in places], [0.5, 0.5])
    x = rng.standard_normal((40_000, 2))
    share = np.exp(regions.log_shares(x))
    draws = [x[rng.uniform(size=len(x)) < share[:, k]][:16_000].reshape(4, 4000, 2) for k in range(2)]
    even = Weights(np.array([0.5, 0.5]), np.zeros((2, 2)))
    lost, error = missed(regions, even, draws)
    assert lost < 3.5 * error and error < 0.01
    blind = draws[1][draws[1][..., 0] > 0.5][:8000].reshape(4, 2000, 2)
    lost, error = missed(regions, even, [draws[0], blind])
    assert lost > 0.05 > 3.5 * error

"""Steps that follow the position: the stationary law stays, with a control, and what is reported is the target's own."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from monochord.arrays import fold_key
from monochord.metrics import identity_metric
from monochord.sampling import _blackjax
from monochord.sampling._blackjax import BlockSpec, Position, run_block
from monochord.sampling._paced import paced
from monochord.targets import AbstractTarget, evaluate
from monochord.testing import assert_moments_close, gaussian_target

DIM, CHAINS, DRAWS = 2, 800, 100
STEP, LENGTH = 1.1, 1.5
LIMITS = {"must_detect": 0.12, "must_detect_square": 0.16}


class Paced(AbstractTarget):
    """A standard Gaussian that asks for steps shorter by e^{−2x₀}, right of 0."""

    center: jax.Array
    names: tuple[str, ...] = eqx.field(static=True)
    is_paced: bool = eqx.field(static=True)

    def log_density(self, x):
        return -0.5 * jnp.sum(x**2)

    def constrain(self, x):
        return {"x": x}

    def log_step(self, x):
        return -2.0 * jnp.logaddexp(0.0, 3.0 * x[0]) / 3.0 if self.is_paced else None


def _target(is_paced=True):
    return Paced(jnp.zeros(DIM), ("a", "b"), is_paced)


def _draws(target, key, rng, kernel, capacity=DRAWS, chains=CHAINS):
    """Blocks of chains that each start at an exact draw of the target."""
    starts = evaluate(target, rng.standard_normal((chains, DIM)))
    metric, spec = jax.tree.map(jnp.asarray, identity_metric(DIM)), BlockSpec(kernel, capacity, 7)
    blocks = []
    for chain in range(chains):
        position = Position(*(jnp.asarray(part[chain]) for part in starts))
        _, block = run_block(target, metric, position, fold_key(key, chain), 0, DRAWS, STEP, LENGTH, spec=spec)
        blocks.append(jax.tree.map(lambda field: np.asarray(field)[:DRAWS], block))
    return blocks


@pytest.mark.statistical
@pytest.mark.parametrize("kernel", ["nuts", "hmc"])
def test_steps_that_follow_the_position_leave_the_law_as_it_is(kernel, key, rng):
    """Means and second moments over 800 stationary chains; and the steps do follow: more are needed where they are short.
    Catches: a factor that is drawn and then forgotten, its density missing from the weights."""
    blocks = _draws(_target(), key, rng, kernel)
    x, steps = (np.stack([getattr(block, name) for block in blocks]) for name in ("x", "num_steps"))
    assert_moments_close(x, np.zeros(DIM), np.eye(DIM), **LIMITS)
    assert steps[x[:, :, 0] > 1.0].mean() > 2.0 * steps[x[:, :, 0] < 0.0].mean()


@pytest.mark.statistical
@pytest.mark.parametrize("kernel", ["nuts", "hmc"])
def test_a_step_size_read_off_the_position_alone_is_caught(kernel, key, rng, monkeypatch):
    """Negative control: the same test, the step's factor a plain function of where a transition begins, must fail."""

    def planted(transition):
        def step(key, state, target, metric, step_size, *rest):
            factor = jnp.exp(target.log_step(state.position))
            return transition(key, state, target.log_density, metric, step_size * factor, *rest)

        return step

    monkeypatch.setattr(_blackjax, "paced", planted)
    blocks = _draws(_target(), key, rng, kernel, DRAWS + 1)  # another capacity: nothing compiled rightly is reused
    with pytest.raises(AssertionError, match="differs"):
        assert_moments_close(np.stack([block.x for block in blocks]), np.zeros(DIM), np.eye(DIM), **LIMITS)


@pytest.mark.parametrize("kernel", ["nuts", "hmc"])
def test_blocks_report_the_target_and_not_the_joint_density(kernel, key, rng):
    """Log density and score of the draws themselves. Catches: the factor's density left in the state."""
    target = _target()
    for block in _draws(target, key, rng, kernel, chains=4):
        expected = evaluate(target, block.x)
        np.testing.assert_allclose(block.log_density, expected.log_density, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(block.score, expected.score, rtol=1e-9, atol=1e-9)


class _State(NamedTuple):
    position: jax.Array
    logdensity: jax.Array
    logdensity_grad: jax.Array


class _Info(NamedTuple):
    energy: jax.Array


class _InfoOfProposal(NamedTuple):
    energy: jax.Array
    proposal: _State


@pytest.mark.parametrize("is_accepted", [True, False])
def test_reported_energies_are_of_the_target_where_they_belong(is_accepted, key):
    """Potential of the target plus kinetic energy: at the proposal for a kernel that reports that, rejected ones too, else at the new
    point. Catches: the factor's density left in the energy, or taken out at the point where a rejected transition stays."""
    target, kinetic = _target(), 2.5
    start, end = jnp.array([0.3, -0.2]), jnp.array([1.4, 0.7])

    def stand(log_density, x):
        return _State(x, *jax.value_and_grad(log_density)(x))

    def transition(key, state, log_density, metric, step_size, reports_proposal):
        new, proposed = stand(log_density, end if is_accepted else start), stand(log_density, end)
        if reports_proposal:
            return new, _InfoOfProposal(kinetic - proposed.logdensity, proposed)
        return new, _Info(kinetic - new.logdensity)

    for reports_proposal in (True, False):
        new, info = paced(transition)(key, stand(target.log_density, start), target, None, STEP, reports_proposal)
        where = end if reports_proposal or is_accepted else start
        assert float(info.energy) == pytest.approx(kinetic - float(target.log_density(where)), abs=1e-9)
        assert float(new.logdensity) == pytest.approx(float(target.log_density(new.position)), abs=1e-9)


@pytest.mark.parametrize("kernel", ["nuts", "hmc"])
def test_where_one_step_suits_all_nothing_is_drawn_for_it(kernel, key, rng):
    """A target without `log_step` has the draws, to rounding, of the same density in a class that knows nothing of it.
    Catches: keys split for a factor that nobody asked for."""
    plain, silent = gaussian_target(np.zeros(DIM), np.eye(DIM)), _target(is_paced=False)
    assert plain.log_step(jnp.zeros(DIM)) is None
    one, other = (_draws(target, key, np.random.default_rng(1), kernel, chains=1)[0] for target in (plain, silent))
    np.testing.assert_array_equal(one.num_steps, other.num_steps)
    np.testing.assert_allclose(one.x, other.x, atol=1e-9)

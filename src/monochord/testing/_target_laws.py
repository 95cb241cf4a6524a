"""`TargetLaws`: what every `AbstractTarget` must do, as an inherited suite of tests."""

import jax
import numpy as np

from monochord import timing
from monochord.targets import AbstractTarget, constrain_draws, evaluate

STEP = 1e-5  # of central differences: error about 1e-10 · third derivative, float64


class TargetLaws:
    """Inherit, implement `target` and `other_target`, and each law is a test method.

        class TestMyTarget(TargetLaws):
            def target(self):
                return my_target(data)
            def other_target(self):
                return my_target(other_data)     # same shapes, other numbers; None if there are no data

    The density must be finite and smooth within ±1 of the centre. Needs JAX's x64.
    """

    def target(self) -> AbstractTarget:
        """The target under test."""
        raise NotImplementedError

    def other_target(self) -> AbstractTarget | None:
        """The same model with other data of the same shapes, or None."""
        raise NotImplementedError

    def test_names_dim_and_center_agree(self):
        """Catches: a name missed or given twice, a centre of another length or on another scale."""
        target = self.target()
        assert target.dim == len(target.names) >= 1
        assert all(isinstance(name, str) and name for name in target.names)
        assert len(set(target.names)) == target.dim, "two coordinates share a name"
        center = np.asarray(target.center)
        assert center.shape == (target.dim,) and np.issubdtype(center.dtype, np.floating)
        assert np.all(np.isfinite(center))
        assert np.isfinite(evaluate(target, center[None]).log_density[0]), "the density is not finite at the centre"

    def test_gradient_agrees_with_finite_differences(self):
        """Catches: stop_gradient, a custom gradient or a `where` with a wrong branch, lanes mixed up."""
        target, x = self.target(), self._points(3)
        base = evaluate(target, x)
        assert np.all(base.finite()), "the density is not finite within ±1 of the centre"
        steps = STEP * np.concatenate([np.eye(target.dim), -np.eye(target.dim)])
        shifted = evaluate(target, (x[:, None, :] + steps).reshape(-1, target.dim))
        up, down = np.moveaxis(shifted.log_density.reshape(3, 2, target.dim), 1, 0)
        size = 1.0 + np.abs(base.score).max() + np.abs(base.log_density).max()
        np.testing.assert_allclose(base.score, (up - down) / (2 * STEP), rtol=1e-5, atol=1e-7 * size)

    def test_batch_agrees_with_single_points(self):
        """Catches: padding that leaks into results, an order of rows that is not kept."""
        target, x = self.target(), self._points(11)
        whole = evaluate(target, x)
        for index in (0, 7, 10):
            one = evaluate(target, x[index : index + 1])
            np.testing.assert_allclose(one.log_density[0], whole.log_density[index], rtol=1e-12)
            np.testing.assert_allclose(one.score[0], whole.score[index], rtol=1e-9, atol=1e-9)

    def test_constrain_names_are_stable_and_batchable(self):
        """Catches: names that depend on the point, a value computed for the whole batch at once."""
        target, x = self.target(), self._points(5)
        draws = constrain_draws(target, x)
        assert draws, "constrain() returns nothing"
        for index in (0, 4):
            one = target.constrain(x[index])
            assert list(one) == list(draws) or set(one) == set(draws), "names depend on the point"
            for name, value in one.items():
                assert isinstance(name, str)
                assert draws[name].shape == (5, *np.shape(value))
                np.testing.assert_allclose(draws[name][index], value, rtol=1e-9, atol=1e-12)

    def test_observed_data_are_named_arrays(self):
        """Catches: tracers or Python lists in the output group."""
        for name, value in self.target().observed_data().items():
            assert isinstance(name, str) and isinstance(value, np.ndarray)

    def test_other_data_of_the_same_shape_compile_nothing(self):
        """Catches: data baked into the compiled function, as constants or as static fields."""
        target, other = self.target(), self.other_target()
        if other is None:
            return
        assert jax.tree.structure(target) == jax.tree.structure(other), "data are part of the static structure"
        x = self._points(2)
        first = evaluate(target, x)
        timing.listen()
        before = timing.num_compiled()
        second = evaluate(other, x)
        assert timing.num_compiled() == before, "a second data set of the same shape compiled again"
        assert not np.allclose(first.score, second.score), "the data do not matter: they are baked in"

    def _points(self, count: int) -> np.ndarray:
        target = self.target()
        return np.asarray(target.center) + np.random.default_rng(count).uniform(-1, 1, (count, target.dim))

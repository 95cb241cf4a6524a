"""`MetricLaws`: the algebra that every `AbstractMetric` obeys, as an inherited suite of tests."""

import jax
import numpy as np

from monochord.metrics import AbstractMetric

TOLERANCE = 1e-9  # relative, float64, for condition numbers up to about 1e6


class MetricLaws:
    """Inherit, implement `metrics`, and each law is a test method.

        class TestMyMetric(MetricLaws):
            def metrics(self):
                return [MyMetric(...), ...]

    Give NumPy-built float64 metrics with unequal scales, condition numbers up to about 1e6 and dim ≤ 50:
    laws are checked against the dense matrix. Needs JAX's x64.
    """

    def metrics(self) -> list[AbstractMetric]:
        """The metrics under test, built from NumPy arrays, at least one."""
        raise NotImplementedError

    def test_whiten_inverts_unwhiten(self):
        """Catches: a square root where its inverse is wanted, a stretch by λ instead of √λ."""
        for metric, _, vectors in self._cases():
            _close(metric.whiten(metric.unwhiten(vectors)), vectors)
            _close(metric.unwhiten(metric.whiten(vectors)), vectors)
            _close(metric.whiten_covector(metric.unwhiten_covector(vectors)), vectors)
            _close(metric.unwhiten_covector(metric.whiten_covector(vectors)), vectors)

    def test_covectors_are_adjoint(self):
        """g·Lz = Lᵀg·z and L⁻ᵀw·x = w·L⁻¹x. Catches: L and Lᵀ exchanged."""
        for metric, rng, vectors in self._cases():
            others = rng.standard_normal(vectors.shape)
            _close(
                np.sum(others * metric.unwhiten(vectors), -1),
                np.sum(metric.whiten_covector(others) * vectors, -1),
                scale=_size(metric),
            )
            _close(
                np.sum(metric.unwhiten_covector(others) * vectors, -1),
                np.sum(others * metric.whiten(vectors), -1),
                scale=1.0 / _smallest(metric),
            )

    def test_factor_squares_to_dense(self):
        """L Lᵀ = Σ. Catches: a factor of another matrix, the precision stored as the covariance."""
        for metric, _, _ in self._cases():
            factor = np.asarray(metric.unwhiten(np.eye(metric.dim))).T
            _close_matrix(factor @ factor.T, metric.dense())

    def test_matvec_and_solve_agree_with_dense(self):
        """Σp and Σ⁻¹x. Catches: an override of `matvec` or `solve` that drifted from the factors."""
        for metric, _, vectors in self._cases():
            dense = np.asarray(metric.dense())
            root = np.sqrt(np.diag(dense))
            correlation = dense / np.outer(root, root)
            momenta = vectors / root
            _close(metric.matvec(momenta) / root, vectors @ correlation)
            _close(
                metric.solve(vectors * root) * root,
                np.linalg.solve(correlation, vectors.reshape(-1, metric.dim).T).T.reshape(vectors.shape),
            )

    def test_log_det_agrees_with_slogdet(self):
        """Catches: the log determinant of L or of Σ⁻¹ returned for that of Σ."""
        for metric, _, _ in self._cases():
            sign, expected = np.linalg.slogdet(np.asarray(metric.dense()))
            assert sign == 1.0, "dense() is not positive definite"
            assert np.shape(metric.log_det()) == (), "log_det() is not a scalar"
            np.testing.assert_allclose(metric.log_det(), expected, rtol=TOLERANCE, atol=TOLERANCE * metric.dim)

    def test_diagonal_is_that_of_dense(self):
        """Catches: standard deviations, or 1/diag(Σ⁻¹), for variances."""
        for metric, _, _ in self._cases():
            diagonal = np.asarray(metric.diagonal())
            assert diagonal.shape == (metric.dim,)
            np.testing.assert_allclose(diagonal, np.diag(np.asarray(metric.dense())), rtol=TOLERANCE)

    def test_precision_diagonal_is_that_of_the_inverse(self):
        """Catches: 1/Σ_ii, which agrees for diagonal metrics only."""
        for metric, _, _ in self._cases():
            expected = np.diag(np.asarray(metric.solve(np.eye(metric.dim))))
            np.testing.assert_allclose(metric.precision_diagonal(), expected, rtol=TOLERANCE)

    def test_batches_act_row_by_row(self):
        """Catches: an operation that maps the first axis, or mixes rows."""
        for metric, _, vectors in self._cases():
            for name in _OPERATIONS:
                operation = getattr(metric, name)
                whole = np.asarray(operation(vectors))
                assert whole.shape == vectors.shape, f"{name} changed the shape {vectors.shape} to {whole.shape}"
                rows = [np.asarray(operation(row)) for row in vectors.reshape(-1, metric.dim)]
                _close(whole, np.stack(rows).reshape(vectors.shape), scale=np.abs(whole).max())

    def test_numpy_stays_numpy(self):
        """Catches: a JAX call in host code, which would compile and leave float64 where x64 is off."""
        for metric, _, vectors in self._cases():
            for name in _OPERATIONS:
                assert isinstance(getattr(metric, name)(vectors), np.ndarray), f"{name} left NumPy"
            assert not isinstance(metric.log_det(), jax.Array), "log_det left NumPy"

    def test_jax_arrays_and_jit_agree_with_numpy(self):
        """Catches: NumPy calls on traced values, checks that look at values inside a transformation."""
        for metric, _, vectors in self._cases():
            expected = _everything(metric, vectors)
            on_jax = jax.tree.map(jax.numpy.asarray, metric)
            for name, value in jax.jit(_everything)(on_jax, jax.numpy.asarray(vectors)).items():
                assert isinstance(value, jax.Array)
                _close(value, expected[name], scale=np.abs(expected[name]).max())
            _close(
                on_jax.matvec(jax.numpy.asarray(vectors)), expected["matvec"], scale=np.abs(expected["matvec"]).max()
            )

    def test_pytree_round_trip(self):
        """Catches: numbers kept as static fields (each new metric would compile anew), lost leaves."""
        for metric, _, vectors in self._cases():
            leaves, structure = jax.tree.flatten(metric)
            assert leaves, "the metric has no array leaves"
            again = jax.tree.unflatten(structure, leaves)
            assert type(again) is type(metric)
            _close(again.matvec(vectors), metric.matvec(vectors), scale=_size(metric) ** 2)
            changed = jax.tree.unflatten(structure, [np.array(leaf, copy=True) * 1.25 for leaf in leaves])
            assert jax.tree.structure(changed) == structure, "values are part of the structure"
            assert not np.allclose(changed.dense(), metric.dense(), rtol=1e-3), "values do not come from the leaves"

    def _cases(self):
        metrics = self.metrics()
        assert metrics, "`metrics()` returned no metric"
        for number, metric in enumerate(metrics):
            rng = np.random.default_rng(number)
            yield metric, rng, rng.standard_normal((3, 2, metric.dim))


_OPERATIONS = ("whiten", "unwhiten", "whiten_covector", "unwhiten_covector", "matvec", "solve")


def _everything(metric, vectors):
    values = {name: getattr(metric, name)(vectors) for name in _OPERATIONS}
    return {
        **values,
        "log_det": metric.log_det(),
        "diagonal": metric.diagonal(),
        "precision": metric.precision_diagonal(),
        "dense": metric.dense(),
    }


def _size(metric) -> float:
    return float(np.sqrt(np.linalg.eigvalsh(np.asarray(metric.dense()))[-1]))


def _smallest(metric) -> float:
    return float(np.sqrt(np.linalg.eigvalsh(np.asarray(metric.dense()))[0]))


def _close(actual, expected, scale: float = 1.0) -> None:
    np.testing.assert_allclose(
        np.asarray(actual), np.asarray(expected), rtol=TOLERANCE, atol=TOLERANCE * 10 * float(scale)
    )


def _close_matrix(actual, expected) -> None:
    """Entries relative to the scales of rows and columns."""
    root = np.sqrt(np.diag(np.asarray(expected)))
    _close(np.asarray(actual) / np.outer(root, root), np.asarray(expected) / np.outer(root, root))

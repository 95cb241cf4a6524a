"""One small run with hostile names, made once, and pages of it."""

import numpy as np
import pytest

HOSTILE = '<img src=x onerror=document.title="owned">'
TITLE = "</title></script><script>document.title = 'owned'</script>"
NAMES = (HOSTILE, 'a & "b" \' `c`', "plain")


@pytest.fixture(scope="session")
def run():
    """(target, fit, data): 8 unequal, correlated normals under names that a page must not believe."""
    import jax.numpy as jnp

    import monochord as mc

    scales = np.exp(np.linspace(-1.5, 1.5, 8))

    def log_density(params, scales):
        z = jnp.concatenate([jnp.ravel(params[name]) for name in NAMES]) / scales
        return -0.5 * jnp.sum(z**2) - 0.45 * jnp.sum((z[1:] - 0.8 * z[:-1]) ** 2) / 0.36

    init = {NAMES[0]: np.zeros((2, 3)), NAMES[1]: np.zeros(()), NAMES[2]: np.zeros(())}
    target = mc.target(log_density, init=init, data={"scales": scales})
    fit = mc.fit(target, seed=0)
    return target, fit, mc.sample(target, fit=fit, seed=0, chains=3, draws=120)


@pytest.fixture(scope="session")
def whole_page(run, tmp_path_factory):
    """The page with everything on it."""
    import monochord as mc

    target, fit, data = run
    path = tmp_path_factory.mktemp("whole") / "report.html"
    return mc.report(data, target, fit=fit, path=path, title=TITLE, command="monochord sample 'a<b>.py'")


@pytest.fixture(scope="session")
def big_page(tmp_path_factory):
    """A page of 10,000 quantities, from random numbers in the form of a run; few draws, as the table is what is tried."""
    import monochord as mc
    from monochord._arviz import SummaryRow, to_datatree

    rng, size = np.random.default_rng(3), 10_000
    stats = {
        "lp": rng.standard_normal((4, 40)), "energy": rng.standard_normal((4, 40)),
        "acceptance_rate": rng.uniform(size=(4, 40)), "n_steps": np.full((4, 40), 3), "diverging": np.zeros((4, 40), bool),
    }  # fmt: skip
    draws = {"beta": rng.standard_normal((4, 40, size))}
    attributes = {"status": "finished", "verdict": "trust", "reasons": [], "advice": [], "seed": 3}
    data = to_datatree(draws, stats, {}, attributes)
    numbers = rng.uniform([-3, 0.1, -5, 2, 400, 400, 1], [3, 2, -3, 5, 1600, 1600, 1.01], size=(size, 7))
    rows = [SummaryRow(f"beta[{i}]", *map(float, numbers[i])) for i in range(size)]
    return mc.report(data, rows=rows, path=tmp_path_factory.mktemp("big") / "report.html"), rows

"""CmdStan's runner against a stand-in with CmdStanPy's names, as CmdStan is in no registry."""

import inspect
import json
import sys
import types
import zipfile

import numpy as np
import pytest

from benchmarks.clock import CLOCK
from benchmarks.runners import NUM_CHAINS, NUM_DRAWS, PeerError, _cmdstan

COLUMNS = (
    "lp__", "accept_stat__", "stepsize__", "treedepth__", "n_leapfrog__", "divergent__", "energy__",
    "beta[1]", "beta[2]", "corr[1,2]", "sigma",
)  # fmt: skip
NUM_ITERATIONS = _cmdstan.NUM_WARMUP + NUM_DRAWS


class StandInFit:
    """What `CmdStanMCMC` offers of one sampling run: draws lead with iterations, then chains."""

    column_names = COLUMNS
    time = [{"warmup": 1.5, "sampling": 0.25, "total": 1.75}] * NUM_CHAINS  # noqa: RUF012

    def __init__(self):
        self.table = np.random.default_rng(0).standard_normal((NUM_ITERATIONS, NUM_CHAINS, len(COLUMNS)))
        self.table[:, :, 4] = 7
        self.table[: _cmdstan.NUM_WARMUP, :, 4] = 15
        self.table[:, :, 5] = 0
        self.table[3, 0, 5] = self.table[-1, 1, 5] = 1  # one in warm-up, one kept

    def draws(self, *, inc_warmup=False, concat_chains=False):
        assert not concat_chains
        return self.table if inc_warmup else self.table[_cmdstan.NUM_WARMUP :]


class StandInModel:
    """What `CmdStanModel` takes, keeping what it was called with."""

    made: list = []  # noqa: RUF012

    def __init__(self, model_name=None, stan_file=None, exe_file=None, force_compile=False):
        self.stan_file, self.calls = stan_file, []
        type(self).made.append(self)

    def sample(
        self, data=None, *, chains=None, parallel_chains=None, seed=None, iter_warmup=None, iter_sampling=None,
        save_warmup=False, metric=None, output_dir=None, sig_figs=None, show_progress=True,
    ):  # fmt: skip
        self.calls.append({name: value for name, value in locals().items() if name != "self"})
        return StandInFit()


@pytest.fixture
def flat(tmp_path, monkeypatch):
    """A problem whose program lies in a posteriordb of one model."""
    base = tmp_path / "posterior_database"
    for folder in ("posteriors", "data/data", "models/stan"):
        (base / folder).mkdir(parents=True)
    (base / "posteriors/toy-line.json").write_text(json.dumps({"model_name": "line", "data_name": "toy"}))
    (base / "models/stan/line.stan").write_text("parameters { real sigma; } model { sigma ~ normal(0, 1); }")
    with zipfile.ZipFile(base / "data/data/toy.json.zip", "w") as archive:
        archive.writestr("toy.json", json.dumps({"N": 2, "y": [0.5, -1.0]}))
    monkeypatch.setenv("CMDSTAN", str(tmp_path))
    monkeypatch.setenv(_cmdstan.CHECKOUT_VARIABLE, str(tmp_path))
    monkeypatch.setitem(
        sys.modules, "cmdstanpy", types.SimpleNamespace(CmdStanModel=StandInModel, cmdstan_version=lambda: (2, 36))
    )
    monkeypatch.setattr(StandInModel, "made", [])
    programs = {}

    def once(name, build):
        return programs[name] if name in programs else programs.setdefault(name, build())

    return types.SimpleNamespace(problem=types.SimpleNamespace(name="toy-line"), once=once)


def test_counts_are_leapfrogs_transitions_and_starts(flat):
    run = _cmdstan.run(flat, "diagonal", 0)
    assert run.gradients == {
        "fit": 0,
        "warmup": NUM_CHAINS * (_cmdstan.NUM_WARMUP * (15 + 1) + 2),
        "sampling": NUM_CHAINS * NUM_DRAWS * (7 + 1),
    }
    assert run.reported == NUM_CHAINS * (15 * _cmdstan.NUM_WARMUP + 7 * NUM_DRAWS)
    assert run.divergences == 1  # the one in warm-up is no divergence of the draws
    assert run.details == {"cmdstan": "2.36"}
    assert run.seconds == {"fit": 0.0, "warmup": 6.0, "sampling": 1.0}


def test_scalars_are_the_kept_draws_under_stans_names(flat):
    """Catches: warm-up among the draws, chains and iterations exchanged, columns off by one, names of two indices."""
    run = _cmdstan.run(flat, "dense", 0)
    assert set(run.scalars) == {"beta[1]", "beta[2]", "corr[1,2]", "sigma"}
    expected = StandInFit().table[_cmdstan.NUM_WARMUP :, :, COLUMNS.index("corr[1,2]")].T
    np.testing.assert_array_equal(run.scalars["corr[1,2]"], expected)
    assert run.draws.shape[:2] == (NUM_CHAINS, NUM_DRAWS)


def test_a_second_run_compiles_nothing_and_the_program_stays_where_it_was(flat, tmp_path):
    compiled = CLOCK.compiling()
    for _ in range(2):
        _cmdstan.run(flat, "dense", 4)
    assert CLOCK.compiling() > compiled
    (model,) = StandInModel.made
    assert len(model.calls) == 2
    assert not str(model.stan_file).startswith(str(tmp_path / "posterior_database"))
    assert model.calls[0]["metric"] == "dense_e"
    assert model.calls[0]["data"] == {"N": 2, "y": [0.5, -1.0]}
    assert model.calls[0]["save_warmup"]


def test_too_few_iterations_are_a_failure_with_a_reason(flat, monkeypatch):
    monkeypatch.setattr(StandInFit, "draws", lambda self, *, inc_warmup: self.table[:-1])
    with pytest.raises(PeerError, match="1999 iterations of 4 chains"):
        _cmdstan.run(flat, "diagonal", 0)


def test_a_posterior_without_a_program_is_a_failure_with_a_reason(flat):
    flat.problem.name = "another"
    with pytest.raises(PeerError, match="no Stan program for another"):
        _cmdstan.run(flat, "diagonal", 0)


def test_the_stand_in_has_the_names_of_cmdstanpy():
    cmdstanpy = pytest.importorskip("cmdstanpy", reason="names are compared where it is: pip install cmdstanpy")
    for ours, theirs in (
        (StandInModel.__init__, cmdstanpy.CmdStanModel.__init__),
        (StandInModel.sample, cmdstanpy.CmdStanModel.sample),
        (StandInFit.draws, cmdstanpy.CmdStanMCMC.draws),
    ):
        asked, offered = inspect.signature(ours).parameters, inspect.signature(theirs).parameters
        assert set(asked) <= set(offered)
        for name, parameter in asked.items():
            assert parameter.kind == offered[name].kind, name
            assert parameter.default == offered[name].default, name
    assert not inspect.signature(cmdstanpy.cmdstan_version).parameters
    for name in ("column_names", "time"):
        assert isinstance(getattr(cmdstanpy.CmdStanMCMC, name), property)

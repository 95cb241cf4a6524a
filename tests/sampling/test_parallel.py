"""Threads, lanes, devices and processes: the same draws to rounding, and what each may not do."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.linalg import cho_solve

import monochord as mc
from monochord.arrays import named_key
from monochord.metrics import identity_metric
from monochord.sampling import Chains, Tuning
from monochord.sampling._chains import is_vectorised
from monochord.targets import CallableTarget, evaluate
from tests.sampling.shared_run import draw, make_target

SCRIPT = Path(__file__).with_name("shared_run.py")
ROUNDING = {"rtol": 1e-8, "atol": 1e-9}  # measured: 3e-14 after 60 draws; a wrong key moves a draw by its whole scale
PATIENCE = 300


@pytest.fixture(scope="module")
def threads():
    """Chains in threads of one device."""
    return draw()


def _start(output, *where, devices=1) -> subprocess.Popen:
    flags = f"--xla_force_host_platform_device_count={devices}"
    environment = {**os.environ, "XLA_FLAGS": flags, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, SCRIPT, output, *map(str, where)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip


def _finish(process: subprocess.Popen) -> str:
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, said[-3000:]
    return said


def test_lanes_draw_what_threads_draw():
    """One program for all chains, warm-up and restarts included; lanes that wait are counted. Catches: keys or step sizes
    given to the wrong lane, idle lanes that nobody sees."""
    threads, lanes = (draw(chain_method=chain_method, kernel="nuts") for chain_method in ("threads", "vectorised"))
    np.testing.assert_allclose(
        lanes.unconstrained_posterior["x"].values, threads.unconstrained_posterior["x"].values, **ROUNDING
    )
    np.testing.assert_array_equal(lanes.sample_stats["n_steps"].values, threads.sample_stats["n_steps"].values)
    steps = lanes.sample_stats["n_steps"].values
    waited = int((steps.max(axis=0) - steps).sum())
    idle = lanes.sample_stats.attrs["idle_lanes"] - threads.sample_stats.attrs["idle_lanes"]
    assert idle >= waited > 0


def test_four_devices_draw_what_one_draws(threads, tmp_path):
    """Six chains on four devices: two lanes repeat a chain. Catches: keys that depend on the device, padding that is kept."""
    _finish(_start(tmp_path / "out.npz", devices=4))
    with np.load(tmp_path / "out.npz") as found:
        assert found["devices"] == 4
        np.testing.assert_allclose(found["x"], threads.unconstrained_posterior["x"].values, **ROUNDING)
        assert found["warmup"] == threads.sample_stats.attrs["gradients_warmup"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_two_processes_draw_what_one_draws(threads, tmp_path):
    """Joined by `jax.distributed` on this machine, with one store that the first writes. Catches: chains drawn twice,
    decisions that part ways, two writers."""
    address = f"127.0.0.1:{_free_port()}"
    both = [_start(tmp_path / f"{i}.npz", address, i, 2, tmp_path / "run.zarr") for i in range(2)]
    try:
        for process in both:
            _finish(process)
    finally:
        for process in both:
            process.kill()
    for i in range(2):
        with np.load(tmp_path / f"{i}.npz") as found:
            assert found["hosts"] == 2
            np.testing.assert_allclose(found["x"], threads.unconstrained_posterior["x"].values, **ROUNDING)
    stored = mc.open_store(tmp_path / "run.zarr")
    assert stored.sample_stats.attrs["status"] == "finished"
    assert stored.posterior.sizes == {"chain": 6, "draw": 60, "x_dim_0": 3}


LOST = """
import sys, jax
jax.config.update("jax_enable_x64", True)
where = sys.argv[1:]
jax.distributed.initialize(where[0], num_processes=2, process_id=int(where[1]))
import monochord as mc
from tests.sampling.shared_run import draw
def report(info):
    if getattr(info, "stage", "") == "sampling":
        print("drew", info.draws, flush=True)
data = draw(store=where[2], block=20, progress=report, draws=int(where[3]))
print(data.sample_stats.attrs["status"], flush=True)
"""


@pytest.mark.nightly
def test_a_lost_process_stops_the_run_and_loses_no_draw(tmp_path):
    """SIGKILL of the second process: the first says so, its store holds the draws so far, and one process alone goes on to
    the same draws. Catches: a wait without end, draws lost with a worker. (JAX's own shutdown then takes a minute.)"""
    address, path = f"127.0.0.1:{_free_port()}", tmp_path / "run.zarr"
    both = [
        subprocess.Popen(
            [sys.executable, "-c", LOST, address, str(i), path, "4000"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        for i in range(2)
    ]  # fmt: skip
    try:
        for line in both[0].stdout:
            if line.startswith("drew 2"):
                both[1].kill()
            if line.startswith("stopped"):
                assert "another process of this run does not answer" in line
                break
        else:
            raise AssertionError("the first process ended without a status")
        there = mc.open_store(path)
        count = there.posterior.sizes["draw"]
        assert 2 <= count < 4000
        assert there.sample_stats.attrs["status"].startswith("stopped")
        draws = there.unconstrained_posterior["x"].values
    finally:
        for process in both:
            process.kill()
            process.wait()
    on = mc.resume(path, make_target(), progress=False)
    assert on.posterior.sizes["draw"] == 4000
    np.testing.assert_array_equal(on.unconstrained_posterior["x"].values[:, :count], draws)


def _called_back(params):
    shape = jax.ShapeDtypeStruct((), float)
    return jax.jit(lambda x: jax.pure_callback(lambda x: -0.5 * np.sum(np.asarray(x) ** 2), shape, x))(params["x"])


def test_a_target_may_forbid_lanes(monkeypatch):
    """Catches: a callback that is evaluated for many chains at once."""
    target = make_target()
    assert target.vectorised
    assert is_vectorised(target, "vectorised")
    assert not is_vectorised(target, "threads")
    assert not is_vectorised(mc.target(_called_back, init={"x": np.zeros(2)}), "vectorised")
    monkeypatch.setattr("jax.default_backend", lambda: "gpu")
    assert is_vectorised(target, "auto")
    monkeypatch.setattr(CallableTarget, "vectorised", False)
    assert not is_vectorised(target, "auto")
    assert not is_vectorised(target, "vectorised")


def test_more_chains_than_lanes_hold(seed):
    """Hundreds of chains by the same call, few draws each. Catches: arrays of all lanes at full length."""
    data = mc.sample(
        make_target(), seed=seed, chains=300, draws=4, chain_method="vectorised", kernel="hmc", progress=False
    )
    assert data.posterior["x"].shape == (300, 4, 3)
    assert np.unique(data.posterior["shift"].values[:, -1]).size == 300


def _factoring_density(params, scale):
    """Factors a matrix at every point."""
    covariance = jnp.eye(3) * (1.0 + jnp.tanh(params["a"]) ** 2) + 0.2
    factor = jnp.linalg.cholesky(covariance)
    return -0.5 * (params["a"] / scale) ** 2 - 0.5 * params["x"] @ cho_solve((factor, True), params["x"])


def test_chains_that_factor_matrices_take_turns_on_a_cpu():
    """LAPACK on a batch of lanes can wait for its own threads for ever. The same draws, and no lane idles. Catches: lanes
    side by side there, gradients of lanes that did not wait."""
    target = mc.target(_factoring_density, init={"x": np.zeros(3), "a": 0.0}, data={"scale": np.array(0.7)})
    start = evaluate(target, np.random.default_rng(0).normal(size=(3, 4)))
    metric, segments = identity_metric(4), []
    tunings = [Tuning(metric, step, 1.0) for step in (0.2, 0.4, 0.7)]
    for method in ("vectorised", "threads"):
        chains = Chains(target, start, named_key(0, "chains"), 10, chain_method=method)
        segments.append(chains.advance(tunings, "hmc", 20))
        assert chains.idle_lanes == 0
        chains.close()
    assert len(set(segments[0].num_steps.sum(axis=1))) == 3  # lanes side by side would wait
    np.testing.assert_allclose(segments[0].x, segments[1].x, **ROUNDING)

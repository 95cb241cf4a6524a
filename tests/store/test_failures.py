"""A full disk, a model that raises, regions without a density: runs stop cleanly or go on, and keep what was drawn."""

import errno
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import monochord as mc
from monochord.store import _durable
from tests.store.crashes import assert_same

FIXED = {"draws": 170, "block": 30, "chains": 2}


def test_a_full_disk_stops_the_run_and_loses_no_block(target, monkeypatch, tmp_path):
    """At ever later writes; with space again the run goes on to the same end. Catches: half a block that counts, an error
    that hides the remedy, temporary files that stay."""
    sync, reached, count = os.fsync, [], [0]

    def counted(descriptor):
        count[0] += 1
        return sync(descriptor)

    monkeypatch.setattr(_durable.os, "fsync", counted)
    whole = mc.sample(target, seed=4, store=tmp_path / "whole.zarr", progress=False, **FIXED)
    for share in (0.0, 0.1, 0.6, 0.8, 0.97):
        path, left = tmp_path / f"{share}.zarr", [int(share * count[0])]

        def full(descriptor, left=left):
            left[0] -= 1
            if left[0] < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return sync(descriptor)

        monkeypatch.setattr(_durable.os, "fsync", full)
        with pytest.raises(mc.OutputError, match=r"No space left on device.*monochord\.resume"):
            mc.sample(target, seed=4, store=path, progress=False, **FIXED)
        monkeypatch.setattr(_durable.os, "fsync", sync)
        assert not list(path.rglob("*.part"))
        if not path.exists():
            reached.append(0)  # not even its first record: the same call may be made again
            again = mc.sample(target, seed=4, store=path, progress=False, **FIXED)
            assert_same(again, whole)
            continue
        try:
            there = mc.open_store(path).posterior["total"].values
            reached.append(there.shape[1])
            np.testing.assert_array_equal(there, whole.posterior["total"].values[:, : there.shape[1]])
        except mc.OptionError:
            reached.append(0)
        assert_same(mc.resume(path, target, progress=False), whole)
    assert reached[0] == 0
    assert reached == sorted(reached)
    assert reached[-1] > 0


SMALL_DISK = """
import sys, jax; jax.config.update("jax_enable_x64", True)
import monochord as mc
from tests.store.crashes import make_target
try:
    mc.sample(make_target(), seed=4, store=sys.argv[1], draws=100000, block=500, chains=2, progress=False)
except mc.OutputError as error:
    print(error)
"""


@pytest.mark.nightly
def test_a_real_full_disk(target, tmp_path):
    """A file system of two megabytes. Skipped where this user may not mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no small file system can be mounted: {mounted.stderr.decode().strip()}")
    try:
        done = subprocess.run(
            [sys.executable, "-c", SMALL_DISK, str(folder / "run.zarr")],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert "No space left on device" in done.stdout, done.stderr
        there = mc.open_store(folder / "run.zarr")
        assert there.posterior.sizes["draw"] >= 500
        assert there.posterior.sizes["draw"] % 500 == 0
        assert np.isfinite(there.posterior["x"].values).all()
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def _raising_target(calls: list[int]):
    """A standard normal in two dimensions; raises once `calls[0]` evaluations were made."""

    def host(x):
        calls[0] -= 1
        if calls[0] < 0:
            raise RuntimeError("the simulator lost its licence")
        return np.asarray(-0.5 * np.sum(x**2))

    @jax.custom_vjp
    def density(x):
        return jax.pure_callback(host, jax.ShapeDtypeStruct((), x.dtype), x, vmap_method="sequential")

    density.defvjp(lambda x: (density(x), x), lambda x, g: (-g * x,))
    return mc.target(lambda params: density(params["x"]), init={"x": np.zeros(2)})


def test_a_model_that_raises_keeps_what_was_drawn(tmp_path):
    """In memory and in a store, which goes on when the model does. Catches: draws lost with an exception, a status that says
    all is well, a bug of the user's shown as ours."""
    options = {"seed": 3, "draws": 400, "kernel": "hmc", "chains": 2, "progress": False}
    calls = [10**9]
    target = _raising_target(calls)
    whole = mc.sample(target, store=tmp_path / "whole.zarr", block=50, **options)
    needed = 10**9 - calls[0]
    calls[0] = int(0.7 * needed)
    part = mc.sample(target, **options)
    status = part.sample_stats.attrs["status"]
    assert status.startswith("stopped: the model raised while it was evaluated")
    assert "the simulator lost its licence" in status
    count = part.posterior.sizes["draw"]
    assert 0 < count < 400
    np.testing.assert_array_equal(part.posterior["x"].values, whole.posterior["x"].values[:, :count])
    assert not mc.is_trustworthy(part, mc.summary(part))
    assert any("stopped: the model raised" in doubt for doubt in mc.doubts(part, mc.summary(part)))

    calls[0] = int(0.7 * needed)
    there = mc.sample(target, store=tmp_path / "run.zarr", block=50, **options)
    assert there.sample_stats.attrs["status"] == status
    calls[0] = 10**9
    assert_same(mc.resume(tmp_path / "run.zarr", target, progress=False), whole)

    calls[0] = 0
    with pytest.raises(mc.ModelError, match="the simulator lost its licence"):
        mc.sample(target, **options)


def test_regions_without_a_density_are_left_out(tmp_path):
    """A normal cut off at ±1.2, NaN on one side and −∞ on the other: every kept draw is inside and finite, and the run ends.
    Catches: a chain that steps over the edge and stays, NaN in the sums that judge it."""

    def density(params):
        x = params["x"]
        inside = jnp.where(x[0] > -1.2, -0.5 * jnp.sum(x**2), -jnp.inf)
        return jnp.where(x[0] < 1.2, inside, jnp.nan)

    target = mc.target(density, init={"x": np.zeros(3)})
    data = mc.sample(target, seed=2, draws=150, store=tmp_path / "run.zarr", kernel="hmc", progress=False)
    assert data.sample_stats.attrs["status"] == "finished"
    assert np.isfinite(data.sample_stats["lp"].values).all()
    first = data.posterior["x"].values[:, :, 0]
    assert np.abs(first).max() < 1.2
    assert first.std() > 0.3

"""Seeds, 64-bit JAX and ugly fixtures. Nothing here imports `monochord` early: the type-check hook comes first."""

import gc
import os
import zlib
from pathlib import Path

import jax
import numpy as np
import pytest

jax.config.update("jax_enable_x64", True)

SEED = int(os.environ.get("MONOCHORD_SEED", "0"))


MANY_MAPS = (
    15_000  # of memory; each compiled program holds several, and Linux ends a process that asks for more than 65,530
)


@pytest.fixture(scope="module", autouse=True)
def _room_for_programs():
    """Compiled programs are let go after a module, where they have become many."""
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and len(maps.read_bytes().splitlines()) > MANY_MAPS:
        jax.clear_caches()
        gc.collect()


def pytest_report_header(config):
    return f"MONOCHORD_SEED={SEED} (set it to repeat or to sweep)"


def _seed_of(request, what: str) -> list[int]:
    return [SEED, zlib.crc32(f"{what}:{request.node.name}".encode())]


@pytest.fixture
def seed() -> int:
    """The seed of this test run, for calls that take one."""
    return SEED


@pytest.fixture
def rng(request) -> np.random.Generator:
    """A generator that depends on the seed and the test's name alone."""
    return np.random.default_rng(_seed_of(request, "rng"))


@pytest.fixture
def key(request):
    """A JAX key that depends on the seed and the test's name alone."""
    from monochord.arrays import named_key

    return named_key(SEED, request.node.name)


@pytest.fixture
def ugly_mean():
    """`dim -> mean`: no zeros, signs alternate, sizes from 1/2 to `dim`."""
    return lambda dim: np.where(np.arange(dim) % 2, -1.0, 1.0) * np.linspace(0.5, dim, dim)


@pytest.fixture
def ugly_scale():
    """`dim -> scale`: from e⁻³ to e³, no two equal."""
    return lambda dim: np.exp(np.linspace(-3.0, 3.0, dim))


@pytest.fixture
def ugly_covariance(ugly_scale):
    """`(dim, condition=100) -> Σ`: correlation of that condition number before rescaling, times unequal scales.

    The same for every seed, so that measured numbers in docstrings stay true.
    """

    def make(dim: int, condition: float = 100.0) -> np.ndarray:
        rotation = np.linalg.qr(np.random.default_rng(dim).standard_normal((dim, dim)))[0]
        core = (rotation * np.geomspace(1.0, condition, dim)) @ rotation.T
        covariance = core * np.outer(ugly_scale(dim), ugly_scale(dim))
        return (covariance + covariance.T) / 2

    return make

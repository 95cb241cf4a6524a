"""What a stored run holds in memory, and which draws looks at ESS see of it."""

import tracemalloc

import jax.numpy as jnp
import numpy as np

import monochord as mc
from monochord.sampling._segment import Held, Segment
from monochord.store import _layout

DIM, CHAINS, SHORT, LONG = 200, 2, 200, 1000
GROWTH = 8 * DIM * CHAINS * (LONG - SHORT) / 2**20  # MiB of the further draws: 2.4


def _segment(first: int, count: int) -> Segment:
    numbers = np.broadcast_to(np.arange(first, first + count, dtype=float)[None, :, None], (2, count, 3))
    return Segment(numbers, numbers, *(numbers[:, :, 0] for _ in range(5)))


def test_looks_see_every_draw_or_every_so_many():
    """However the draws come in pieces: at most so many are held, evenly spaced from the first. Catches: memory that grows,
    gaps at the seams of pieces, scores that are held."""
    held, done = Held(50), 0
    for count in (1, 30, 19, 3, 50, 7, 200, 41, 1, 90):
        held.add(_segment(done, count))
        done += count
        numbers = np.concatenate([segment.x[0, :, 0] for segment in held.segments])
        np.testing.assert_array_equal(numbers, np.arange(0, done, held.stride))
        assert len(numbers) <= 50
        assert held.stride == 1 or 2 * len(numbers) >= 50 - 1
        assert all(segment.score.size == 0 for segment in held.segments)


def _sample(target, draws: int, **options) -> None:
    mc.sample(
        target, seed=1, fit=False, metric="identity", step_size=0.5, kernel="hmc", chains=CHAINS, draws=draws,
        progress=False, **options,
    )  # fmt: skip


def _peak(target, draws: int, **options) -> float:
    """MiB that NumPy and Python hold at most."""
    tracemalloc.start()
    _sample(target, draws, **options)
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    return peak


def test_memory_does_not_grow_with_stored_draws(tmp_path, monkeypatch):
    """Five times the draws. In memory they are held at least once, which shows that the test would see it. Catches: blocks that
    are kept after they are written, records or journals that pile up."""
    monkeypatch.setattr(_layout, "HELD_NUMBERS", 2**14)
    target = mc.target(lambda x: -0.5 * jnp.sum(x**2), init=np.zeros(DIM))
    _sample(target, SHORT, store=tmp_path / "compiled", block=50)
    short, long = (_peak(target, draws, store=tmp_path / str(draws), block=50) for draws in (SHORT, LONG))
    assert long - short < 0.25 * GROWTH
    in_memory = [_peak(target, draws) for draws in (SHORT, LONG)]
    assert in_memory[1] - in_memory[0] > GROWTH

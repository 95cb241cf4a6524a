"""Keys and generators are functions of what they are given, and of nothing else."""

import jax
import numpy as np

from monochord import timing
from monochord.arrays import fold_key, host_generator, named_key


def _bits(key) -> tuple:
    return tuple(int(word) for word in np.asarray(jax.random.key_data(key)))


def test_keys_repeat():
    """Catches: hash(), the clock or a global generator in a seed."""
    assert _bits(named_key(3, "fit")) == _bits(named_key(3, "fit"))
    assert _bits(fold_key(named_key(3, "fit"), 1, 2)) == _bits(fold_key(named_key(3, "fit"), 1, 2))
    first, second = (host_generator(named_key(3, "fit"), 4).standard_normal(3) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_key_bits_are_pinned():
    """Catches: a change of derivation, which would silently change every seeded result of users."""
    assert _bits(named_key(0, "fit")) == PINNED


PINNED = tuple(int(w) for w in np.random.SeedSequence(0, spawn_key=(102, 105, 116)).generate_state(2, np.uint32))


def test_keys_differ_by_seed_name_and_path():
    """Catches: an argument that is dropped, order or nesting of a path that does not matter."""
    keys = [named_key(seed, name) for seed in (0, 1, 2**40, 2**40 + 1) for name in ("fit", "sample", "tif", "fi")]
    base = named_key(0, "fit")
    keys += [fold_key(base, *path) for path in ((0,), (1,), (0, 1), (1, 0), (1, 1), (256,), (1, 2, 3))]
    keys += [fold_key(fold_key(base, 2), 3), fold_key(base, 2, 3)]
    assert len({_bits(key) for key in keys}) == len(keys)


def test_generators_differ_by_key_and_path():
    """Catches: two stages of a fit that share their draws."""
    base, other = named_key(0, "fit"), named_key(1, "fit")
    draws = [
        host_generator(*arguments).standard_normal()
        for arguments in [(base,), (base, 0), (base, 1), (base, 0, 1), (other,)]
    ]
    assert len(set(draws)) == len(draws)


def test_old_style_uint32_keys_are_taken():
    """Catches: `jax.random.PRNGKey` refused, or giving other draws than the new style with the same bits."""
    key = named_key(5, "fit")
    raw = jax.random.key_data(key)
    assert host_generator(raw, 2).standard_normal() == host_generator(key, 2).standard_normal()


def test_keys_work_in_jax_and_cost_no_compilation():
    """Catches: a host key that JAX refuses; `jax.random.split` on the way, which compiles before any work."""
    timing.listen()
    before = timing.num_compiled()
    key = fold_key(named_key(11, "sample"), 7)
    assert timing.num_compiled() == before
    assert 0.0 < float(jax.random.uniform(key)) < 1.0

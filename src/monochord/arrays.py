"""Array and key types, and the two ways randomness enters: JAX keys in public, NumPy generators on the host."""

from typing import TypeAlias

import jax
import numpy as np

Array: TypeAlias = jax.Array | np.ndarray
Key: TypeAlias = jax.Array | np.ndarray  # typed, or the two words of one, which cost the host a quarter


def named_key(seed: int, name: str) -> Key:
    """A JAX key that depends on `seed` and `name` only.

    Made on the host: `jax.random.split` would compile a function before any work begins.
    """
    spawn = tuple(name.encode())
    words = np.random.SeedSequence(seed, spawn_key=spawn).generate_state(2, np.uint32)
    return jax.random.wrap_key_data(words, impl="threefry2x32")  # pyright: ignore[reportArgumentType]


def host_generator(key: Key, *path: int) -> np.random.Generator:
    """NumPy generator for host-side draws, a function of `key` and the integers in `path` alone."""
    words = [int(word) for word in key_words(key).ravel()]
    return np.random.default_rng(np.random.SeedSequence(words, spawn_key=path))


def key_words(key: Key) -> np.ndarray:
    """The words of a key, typed or not."""
    if jax.numpy.issubdtype(key.dtype, jax.dtypes.prng_key):
        key = jax.random.key_data(key)
    return np.asarray(key)


def fold_key(key: Key, *path: int) -> Key:
    """A new key from `key` and integers, made on the host like `named_key`."""
    words = fold_words(key, *path)
    return jax.random.wrap_key_data(words, impl="threefry2x32")  # pyright: ignore[reportArgumentType]


def fold_words(key: Key, *path: int) -> np.ndarray:
    """The words of `fold_key`, for work that stays on the host."""
    return host_generator(key, *path).integers(0, 2**32, size=2, dtype=np.uint32)

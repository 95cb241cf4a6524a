"""Several processes that run one program, joined by `jax.distributed`: what they share, and what they agree on.

Every process draws its own part of the chains and then has the draws of all, so that all take the same decisions. What a
clock or the operating system decides is the first process's to say. With one process nothing here does anything.
"""

import contextlib

import jax
import numpy as np

from monochord.errors import LostProcess, OptionError


def num_hosts() -> int:
    """Processes that take part."""
    return jax.process_count()


def is_first() -> bool:
    """Whether this process is the one that writes."""
    return jax.process_index() == 0


@contextlib.contextmanager
def _together():
    """**Raises** `LostProcess` where another process is gone."""
    try:
        yield
    except (jax.errors.JaxRuntimeError, ValueError) as error:  # XLA raises both
        raise LostProcess(
            "another process of this run does not answer any more. The chains it drew are missing from here on. What was committed "
            "to a store is safe: start all processes again and call `monochord.resume`."
        ) from error


def agreed(value: bool | int) -> int:
    """The first process's `value`."""
    if num_hosts() == 1:
        return value
    from jax.experimental.multihost_utils import broadcast_one_to_all

    words = np.array([value >> 32, value & 0xFFFFFFFF], np.uint32)  # 64-bit integers may be switched off
    with _together():
        high, low = (int(word) for word in np.asarray(broadcast_one_to_all(words)))
    return high << 32 | low


def own_part(num_chains: int) -> range:
    """The chains that this process draws.

    **Raises** `OptionError` where there are fewer chains than processes.
    """
    hosts = num_hosts()
    if num_chains < hosts:
        raise OptionError(
            f"`chains={num_chains}` is less than the {hosts} processes that `jax.distributed` joined. Each draws one chain at "
            "least. Ask for more chains, or start fewer processes."
        )
    bounds = [num_chains * host // hosts for host in range(hosts + 1)]
    return range(bounds[jax.process_index()], bounds[jax.process_index() + 1])


def gathered(fields, num_chains: int):
    """Arrays of this process's chains, leading axis `own_part`, as arrays of all chains, the same in every process."""
    hosts = num_hosts()
    if hosts == 1:
        return fields
    from jax.experimental.multihost_utils import process_allgather

    most = -(-num_chains // hosts)
    counts = [num_chains * (host + 1) // hosts - num_chains * host // hosts for host in range(hosts)]
    padded = [np.concatenate([field, np.repeat(field[-1:], most - len(field), axis=0)]) for field in fields]
    with _together():
        whole = process_allgather(padded)
    return [
        np.concatenate([np.asarray(part[host, :count]) for host, count in enumerate(counts)])
        for part in whole
    ]  # fmt: skip


def wait_for_all(name: str) -> None:
    """Return once every process has come here."""
    if num_hosts() > 1:
        from jax.experimental.multihost_utils import sync_global_devices

        with _together():
            sync_global_devices(name)

"""Every method of the benchmark as `package/method`; one file a package.

A runner has METHODS, PACKAGES (whose versions a row states), `import_package()` and
`run(flat, method, seed) -> Run`; CALLS_PYTHON where the engine calls the gradient from outside JAX,
COMPILES_BETWEEN_CHAINS where one chain would run while the next one compiles, and neither could be timed.
"""

from importlib import import_module
from types import ModuleType

from benchmarks.runners._run import NUM_CHAINS, NUM_DRAWS, STAGES, PeerError, Run, Stages

__all__ = ["NUM_CHAINS", "NUM_DRAWS", "STAGES", "PeerError", "Run", "Stages", "methods", "runner"]

RUNNERS = ("monochord", "nutpie", "numpyro", "blackjax", "pymc", "cmdstan")


def runner(method: str) -> tuple[ModuleType, str]:
    """The module that runs `method`, and the method's name there.

    **Raises** `ValueError` for a method that no runner has.
    """
    package, _, name = method.partition("/")
    if package in RUNNERS:
        module = import_module(f"benchmarks.runners._{package}")
        if name in module.METHODS:
            return module, name
    raise ValueError(f"`{method}` is no method of the benchmark. Pass one of: {', '.join(methods())}.")


def methods() -> tuple[str, ...]:
    """All methods; no package is imported for this."""
    modules = {name: import_module(f"benchmarks.runners._{name}") for name in RUNNERS}
    return tuple(f"{name}/{method}" for name, module in modules.items() for method in module.METHODS)

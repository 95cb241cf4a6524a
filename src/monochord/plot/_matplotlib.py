"""The only file that imports matplotlib."""

from typing import Any

from monochord.errors import MissingPackage


def axes(ax: Any, count: int = 1, **options: Any):
    """`ax`, or `count` new axes of a figure with a tidy layout; an array of them where `count` is above 1.

    **Raises** `MissingPackage` with the pip line where matplotlib is absent.
    """
    if ax is not None:
        return ax
    try:
        from matplotlib import pyplot
    except ImportError:
        raise MissingPackage("matplotlib", "Plotting", "plot") from None
    return pyplot.subplots(1, count, layout="constrained", **options)[1]

"""What targets carry and compiled programs never see: labels of the output's axes, and other values."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from monochord.errors import OptionError


class Unseen:
    """A static value that no compiled program reads: equal to any other, so that another one compiles nothing."""

    def __init__(self, value: Any):
        self.value = value

    def __eq__(self, other):
        return isinstance(other, Unseen)

    def __hash__(self):
        return hash(Unseen)


class Labels:
    """`dims` names the axes of a quantity, `coords` the places along an axis; both as in ArviZ.

    All labels are equal: compiled programs never see them, so other labels compile nothing.

    **Raises** `OptionError` for an axis named chain or draw, or named twice in one quantity.
    """

    def __init__(self, coords: Mapping[str, Any] | None = None, dims: Mapping[str, Any] | None = None):
        self.coords = {str(name): np.asarray(values) for name, values in (coords or {}).items()}
        self.dims = {
            str(name): [axes] if isinstance(axes, str) else list(map(str, axes)) for name, axes in (dims or {}).items()
        }
        for name, axes in self.dims.items():
            if len(set(axes)) < len(axes) or {"chain", "draw"} & set(axes):
                raise OptionError(
                    f"`dims` names the axes {axes} for `{name}`. The output's own axes are chain and draw, and every axis needs a "
                    "name of its own. Rename them."
                )

    def with_default_dims(self, dims: Mapping[str, Any]) -> "Labels":
        """These labels, and `dims` for quantities that they do not name."""
        return Labels(self.coords, {**dims, **self.dims})

    def __eq__(self, other):
        return isinstance(other, Labels)

    def __hash__(self):
        return hash(Labels)

    def check(self, shapes: Mapping[str, Sequence[int]]) -> None:
        """**Raises** `OptionError` where labels do not fit the quantities of these shapes."""
        for name, axes in self.dims.items():
            if name not in shapes:
                known = ", ".join(list(shapes)[:8])
                raise OptionError(
                    f"`dims` names the axes of `{name}`, which the model does not report. It reports {known}. "
                    "Use one of these names."
                )
            shape = tuple(shapes[name])
            lengths = [len(self.coords[axis]) if axis in self.coords else None for axis in axes]
            fits = len(axes) == len(shape) and all(
                length in (None, size) for length, size in zip(lengths, shape, strict=False)
            )
            if not fits:
                raise OptionError(
                    f"`dims` gives `{name}` the axes {axes}, with {lengths} places in `coords`, where its shape is {shape}. "
                    "Labels and numbers would be mixed up. Give one axis for each dimension, and one label for each place."
                )

"""Groups that a result gets on request: pointwise log likelihoods, prior and predictive draws."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from monochord import pipeline
from monochord._arviz import add_group
from monochord.arguments import resolved_seed
from monochord.arrays import named_key
from monochord.continuation import remembered
from monochord.errors import OptionError
from monochord.settings import check_choice, check_count
from monochord.targets import output_name

GROUPS = ("log_likelihood", "posterior_predictive", "prior", "prior_predictive")


def add_groups(
    data,
    /,
    model: Any = None,
    *,
    groups: Sequence[str] | str = GROUPS[:3],
    seed: int | None = None,
    prior_draws: int = 1000,
    **model_options,
):
    """Add groups that ArviZ reads for LOO and predictive checks to a result of `monochord.sample`; the same DataTree returns.

    `groups` of "log_likelihood" (of each observation at each draw), "posterior_predictive" (observations drawn anew at
    each draw), "prior" and "prior_predictive" (`prior_draws` draws of one chain). Nothing of it is made before it is
    asked for here. NumPyro, PyMC and Bambi models know these things. `model` (with options of `monochord.target`) is
    needed for a result that was read from a file.

    **Raises** `OptionError` for a group or a kind of model that has none, or a result whose model is not known.
    """
    wanted = [groups] if isinstance(groups, str) else list(groups)
    for group in wanted:
        check_choice("groups", group, GROUPS)
    check_count("prior_draws", prior_draws, 1, 10_000_000)
    target = remembered(data) if model is None else pipeline.target(model, **model_options)
    if target is None:
        raise OptionError(
            "`data` was not made in this process, so its model is not known. A file holds draws, not densities. Pass the "
            "same model: `add_groups(data, model, …)`."
        )
    x = np.asarray(data["unconstrained_posterior"]["x"].transpose("chain", "draw", ...).values, np.float64)
    target = target.unmapped
    if x.shape[-1] != target.dim:
        raise OptionError(
            f"`data` has {x.shape[-1]} coordinates, the model {target.dim}. They do not belong together. Pass its model."
        )
    seed, labels = resolved_seed(seed), target.output_labels()
    dims = {output_name(name): axes for name, axes in labels.dims.items()}
    for group in wanted:
        of_prior = group.startswith("prior")
        flat = np.zeros((prior_draws, target.dim)) if of_prior else x.reshape(-1, target.dim)
        made = target.group(group, flat, named_key(seed, "prior" if of_prior else group))  # both priors draw by draw
        shape = (1, prior_draws) if of_prior else x.shape[:2]
        arrays = {output_name(name): value.reshape(*shape, *value.shape[1:]) for name, value in made.items()}
        add_group(data, group, arrays, labels.coords, dims)
    return data

"""Registers the simulated problems, each drawn from its own fixed seed."""

from collections.abc import Callable

from . import _simulated_gaussians as gaussians
from . import _simulated_hierarchical as hierarchical
from . import _simulated_latent as latent
from . import _simulated_regressions as regressions
from . import _simulated_shapes as shapes
from ._problem import Problem

BUILDERS: dict[str, Callable[[], Problem]] = {
    builder.__name__: builder
    for builder in (
        gaussians.gauss_100,
        gaussians.gauss_100_1e8,
        gaussians.ill_cond_50,
        gaussians.spikes_10k,
        regressions.logistic_25,
        regressions.logistic_10k,
        regressions.regression_unscaled,
        gaussians.scales_1e12,
        hierarchical.glmm_57,
        hierarchical.irt_163,
        hierarchical.slopes_176,
        latent.gp_82,
        latent.sv_503,
        regressions.horseshoe_122,
        shapes.funnel_10,
        shapes.funnel_100,
        shapes.rosenbrock_10,
        shapes.two_modes_10,
        shapes.student3_50,
        gaussians.box_5,
        gaussians.nan_corner_5,
    )
}

# The same posteriors in coordinates that sample well: long runs of these give the moments of both.
NONCENTRED: dict[str, Callable[[], Problem]] = {"slopes_176": hierarchical.slopes_176_noncentred}

"""Use it: chains of NUTS or jittered-length HMC under a metric."""

from monochord.sampling._blackjax_energy import energy_errors
from monochord.sampling._chains import Chains, Piece, SamplingInfo, Segment, concatenate
from monochord.sampling._evidence import Evidence, EvidenceSum
from monochord.sampling._pilot import Pilot
from monochord.sampling._probes import moved_points
from monochord.sampling._run import Draws, Standpoint, WarmUp, continue_chains, run_chains
from monochord.sampling._settings import KERNELS, Refine, SamplerSettings, Start, Tuning
from monochord.sampling._starts import box_starts, chain_starts, given_starts, resampled, shared_out
from monochord.sampling._tuning import closed_form_tuning
from monochord.sampling._warmup import REFUSED_ACCEPT

__all__ = [
    "KERNELS",
    "REFUSED_ACCEPT",
    "Chains",
    "Draws",
    "Evidence",
    "EvidenceSum",
    "Piece",
    "Pilot",
    "Refine",
    "SamplerSettings",
    "SamplingInfo",
    "Segment",
    "Standpoint",
    "Start",
    "Tuning",
    "WarmUp",
    "box_starts",
    "chain_starts",
    "closed_form_tuning",
    "concatenate",
    "continue_chains",
    "energy_errors",
    "given_starts",
    "moved_points",
    "resampled",
    "run_chains",
    "shared_out",
]

"""Use it: chains of NUTS or jittered-length HMC under a metric."""

from monochord.sampling._ahead import Ahead, compile_ahead
from monochord.sampling._archive import AbstractArchive, Stretch, WarmUp
from monochord.sampling._blackjax_energy import energy_errors
from monochord.sampling._chains import Chains, SamplingInfo, piece_draws
from monochord.sampling._evidence import Evidence, EvidenceSum
from monochord.sampling._hosts import agreed, is_first, num_hosts, wait_for_all
from monochord.sampling._pilot import Pilot
from monochord.sampling._probes import carried_points, moved_points
from monochord.sampling._run import STOPPED, Draws, continue_chains, resume_chains, run_chains
from monochord.sampling._segment import Piece, Segment, concatenate
from monochord.sampling._settings import CHAIN_METHODS, KERNELS, Refine, SamplerSettings, Standpoint, Start, Tuning
from monochord.sampling._starts import box_starts, chain_starts, given_starts, resampled, shared_out
from monochord.sampling._tuning import closed_form_tuning
from monochord.sampling._warmup import REFUSED_ACCEPT

__all__ = [
    "KERNELS",
    "CHAIN_METHODS",
    "REFUSED_ACCEPT",
    "STOPPED",
    "AbstractArchive",
    "Ahead",
    "compile_ahead",
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
    "Stretch",
    "Tuning",
    "WarmUp",
    "agreed",
    "box_starts",
    "carried_points",
    "chain_starts",
    "closed_form_tuning",
    "concatenate",
    "continue_chains",
    "energy_errors",
    "given_starts",
    "is_first",
    "moved_points",
    "num_hosts",
    "piece_draws",
    "resampled",
    "resume_chains",
    "run_chains",
    "shared_out",
    "wait_for_all",
]

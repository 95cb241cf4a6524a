"""Take it elsewhere: a fit's metric, starts and step size for other samplers, with the settings that make them keep it.

One function a receiver. Each result prints what it holds, the lines that use it, and what the receiver makes of it.
"""

from monochord.export._advanced_hmc import AdvancedHMCExport, to_advanced_hmc
from monochord.export._blackjax import BlackJAXExport, to_blackjax
from monochord.export._cmdstan import CmdStanExport, to_cmdstan
from monochord.export._mici import MiciExport, to_mici
from monochord.export._numpyro import NumPyroExport, to_numpyro
from monochord.export._nutpie import NutpieExport, to_nutpie
from monochord.export._plain import PlainExport, to_plain
from monochord.export._pymc import PyMCExport, to_pymc
from monochord.export._walnutpie import WalnutpieExport, to_walnutpie

__all__ = [
    "AdvancedHMCExport",
    "BlackJAXExport",
    "CmdStanExport",
    "MiciExport",
    "NumPyroExport",
    "NutpieExport",
    "PlainExport",
    "PyMCExport",
    "WalnutpieExport",
    "to_advanced_hmc",
    "to_blackjax",
    "to_cmdstan",
    "to_mici",
    "to_numpyro",
    "to_nutpie",
    "to_plain",
    "to_pymc",
    "to_walnutpie",
]

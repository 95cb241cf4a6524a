"""Runs that survive: draws in a Zarr store, block by block, and everything that another process needs to go on.

A store is a folder. Zarr arrays hold the draws (`posterior`, `sample_stats`, `unconstrained_posterior`, `observed_data`),
one chunk a block. The folder `.monochord` holds the ledger of commit records and the checkpoints of fit, warm-up and chains.
"""

from monochord.store._archive import StoreArchive
from monochord.store._fingerprint import check_same, fingerprint
from monochord.store._layout import StoreOptions, checked_keep
from monochord.store._reader import open_store
from monochord.store._writer import BEGIN, END, FIT, FITTED, RunStore, begin_store, reopen_store, run_of

__all__ = [
    "BEGIN",
    "END",
    "FIT",
    "FITTED",
    "RunStore",
    "StoreArchive",
    "StoreOptions",
    "begin_store",
    "check_same",
    "checked_keep",
    "fingerprint",
    "open_store",
    "reopen_store",
    "run_of",
]

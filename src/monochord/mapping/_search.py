"""A map where the linear fit asks for one: the simplest that pays, all of its cost charged."""

import dataclasses
from collections.abc import Callable

from monochord import fits
from monochord.arrays import Key, fold_key
from monochord.fits import FitResult
from monochord.mapping._blocks import along_blocks
from monochord.mapping._conditionals import along_conditionals
from monochord.mapping._hierarchy import along_hierarchy
from monochord.mapping._judge import wants_blocks, wants_map, wants_products
from monochord.mapping._products import along_products
from monochord.mapping._single import along_radius, along_tails
from monochord.mapping._turning import along_turning
from monochord.targets import AbstractTarget

RADIUS, BLOCKS, TAILS, TURNING, PRODUCTS, HIERARCHY = (
    10,
    20,
    30,
    40,
    50,
    60,
)  # their keys stand apart from those of rounds


def with_map(
    key: Key, target: AbstractTarget, linear: FitResult, algorithm: fits.AbstractFit, callback: Callable
) -> FitResult:
    """The best of `linear` and of fits in the coordinates of learned maps, with the cost of all.

    Learning spends nothing; each further fit, the points of a second round and those that compare two fits are charged.
    Without structure in the points the linear fit comes back as it is.
    """
    if linear.gaussian is None:
        return linear
    best, spent = along_radius(fold_key(key, RADIUS), target, linear, algorithm, callback)
    cost = linear.cost + spent
    if best is linear and wants_products(linear):
        best, spent = along_products(fold_key(key, PRODUCTS), target, linear, algorithm, callback)
        cost = cost + spent
    if best is linear:
        best, spent = along_hierarchy(fold_key(key, HIERARCHY), target, linear, algorithm, callback)
        cost = cost + spent
    if best is linear and wants_map(linear):
        best, spent = along_conditionals(key, target, linear, algorithm, callback)
        cost = cost + spent
    if best is linear and wants_blocks(linear):
        best, spent = along_blocks(fold_key(key, BLOCKS), target, linear, algorithm, callback)
        cost = cost + spent
    if best is linear:
        best, spent = along_tails(fold_key(key, TAILS), target, linear, algorithm, callback)
        cost = cost + spent
    if best is linear:
        best, spent = along_turning(fold_key(key, TURNING), target, linear, algorithm, callback)
        cost = cost + spent
    return dataclasses.replace(best, cost=cost)

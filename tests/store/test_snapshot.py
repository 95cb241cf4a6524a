"""Values of ours as bytes and back."""

import io
import json
import pickle

import jax.numpy as jnp
import numpy as np
import pytest

import monochord as mc
from monochord import fits
from monochord.arrays import named_key
from monochord.estimate import Estimate
from monochord.fits import FitStatus
from monochord.store._snapshot import from_bytes, to_bytes
from monochord.testing import banana_target


def test_values_come_back_bit_for_bit(rng):
    """Numbers of every kind, with their types: JAX compiles for them. Catches: floats through decimals, lost NaNs, tuples that
    come back as lists."""
    value = {
        "floats": [0.1, -0.0, np.nextafter(1.0, 2.0), float("inf"), 5e-324],
        "arrays": (rng.standard_normal((3, 2)), np.array([True, False]), np.zeros((2, 0), np.float32), np.int32(7)),
        3: slice(1, None, 2),
        "device": jnp.arange(3.0),
        "plain": [None, True, 2**70, "µ", ()],
        "ours": Estimate(0.1, 0.3, 4),
        "member": FitStatus.settled,
        "metric": mc.DenseMetric.from_covariance(np.array([[2.0, 0.3], [0.3, 1.0]])),
    }
    again = from_bytes(to_bytes(value))
    assert [x.hex() for x in again["floats"]] == [float(x).hex() for x in value["floats"]]
    for one, other in zip(again["arrays"], value["arrays"], strict=True):
        assert type(one) is type(other)
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    assert again[3] == value[3]
    assert type(again["device"]) is type(value["device"])
    assert again["plain"] == value["plain"]
    assert again["ours"] == value["ours"]
    assert again["member"] is FitStatus.settled
    np.testing.assert_array_equal(again["metric"].factor, value["metric"].factor)
    assert np.isnan(from_bytes(to_bytes(float("nan"))))


def test_one_object_is_one_object(rng):
    """Fits compare by identity. Catches: copies."""
    shared, point = rng.standard_normal(3), Estimate(1.0, 2.0, 3)
    again = from_bytes(to_bytes([shared, [shared, point], {"p": point}]))
    assert again[0] is again[1][0]
    assert again[1][1] is again[2]["p"]


def test_a_fit_goes_on_from_bytes_at_every_step():
    """The driver, begun anew from each stored state, ends where one run does. Catches: a field of the state that is lost."""
    target, states = banana_target(), []
    whole = fits.run(named_key(0, "fit"), target, fits.Staged(), checkpoint=states.append)
    assert len(states) > 5
    for state in states[:: max(1, len(states) // 5)]:
        again = fits.run(named_key(0, "fit"), target, fits.Staged(), state=from_bytes(to_bytes(state)))
        np.testing.assert_array_equal(again.gaussian.mean, whole.gaussian.mean)
        np.testing.assert_array_equal(again.gaussian.metric.dense(), whole.gaussian.metric.dense())
        assert again.cost == whole.cost
        assert str(again) == str(whole)
        assert again.trace == whole.trace
    stored = from_bytes(to_bytes(whole))
    assert stored.draws is not None
    assert stored.verdict == whole.verdict


def test_nothing_foreign_is_written_or_made():
    """Catches: code that a damaged or hostile file could run."""
    for value in (object(), len, {1, 2}, np.array([object()], dtype=object)):
        with pytest.raises((TypeError, ValueError)):
            to_bytes(value)

    def forged(document, **arrays):
        file = io.BytesIO()
        np.savez(file, document=np.array(json.dumps(document)), **arrays)
        return file.getvalue()

    for document in (
        {"number": 0, "class": "subprocess:Popen", "fields": {}},
        {"number": 0, "named": "os:system", "fields": []},
        {"number": 0, "class": "monochord.store._snapshot:to_bytes", "fields": {}},
        {"number": 0, "class": "monochord.store._snapshot:json.JSONDecoder", "fields": {}},
        {"number": 0, "array": "missing"},
        {"number": 0},
    ):
        with pytest.raises(mc.DataError, match="snapshot"):
            from_bytes(forged(document))
    with pytest.raises(mc.DataError, match="snapshot"):
        from_bytes(pickle.dumps([1]))
    with pytest.raises(mc.DataError, match="snapshot"):
        from_bytes(forged({"number": 0, "array": "a"}, a=np.array([{}], dtype=object)))

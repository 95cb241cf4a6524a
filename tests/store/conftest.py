"""Fixtures of the tests of stores."""

import pytest

from monochord import request
from monochord.store import _archive
from monochord.store._ledger import Ledger
from tests.store.crashes import Killed, make_target


@pytest.fixture(scope="session")
def target():
    """In four dimensions, with a derived quantity."""
    return make_target()


@pytest.fixture
def every_step_is_committed(monkeypatch):
    """Checkpoints as close together as can be."""
    monkeypatch.setattr(_archive, "JOURNAL_SECONDS", 0.0)
    monkeypatch.setattr(request, "CHECKPOINT_SECONDS", 0.0)


@pytest.fixture
def killed_at(monkeypatch):
    """`killed_at(number, before)`: end the process at the commit of a record, before or after it is written."""

    def arm(number: int, before: bool = False):
        commit = Ledger.commit

        def fatal(self, *arguments, **content):
            if before and len(self.records) == number:
                raise Killed
            record = commit(self, *arguments, **content)
            if record["number"] == number:
                raise Killed
            return record

        monkeypatch.setattr(Ledger, "commit", fatal)
        return lambda: monkeypatch.setattr(Ledger, "commit", commit)

    return arm

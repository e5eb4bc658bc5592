"""What must not be in the tables of a memory store: asserted where it would happen, with the row."""

import pytest

from holdfast.core.contract.ids import LockToken
from holdfast.providers.conformance.messages import activity
from holdfast.providers.memory.tables import SessionRow, Tables


def test_a_session_row_with_half_a_lock_is_told() -> None:
    """SS-10.2: worker and expiry are both set or both unset."""
    with pytest.raises(AssertionError, match=r"half a lock: .*worker_id='w'"):
        SessionRow(worker_id="w").is_live(0)


def test_an_item_with_half_a_lock_is_told() -> None:
    tables = Tables()
    tables.work.put(activity(1), 0)
    (row,) = tables.work.by_seq.values()
    row.token = LockToken("t")
    with pytest.raises(AssertionError, match="half a lock on item 1"):
        tables.work.unlock(row)


def test_a_token_that_is_handed_out_twice_is_told() -> None:
    """PV-10.4: a token is the proof of one delivery."""
    tables = Tables()
    tables.work.put(activity(1), 0)
    tables.work.put(activity(2), 0)
    first, second = tables.work.by_seq.values()
    tables.work.lock(first, LockToken("t"), 10, None)
    with pytest.raises(AssertionError, match="token 't' is item 1's already"):
        tables.work.lock(second, LockToken("t"), 10, None)

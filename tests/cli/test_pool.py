"""Worker processes: a dead one is a finding or is replaced, and there are no more than there is work for."""

from __future__ import annotations

import os
from dataclasses import dataclass

import pytest

from holdfast.campaign.pool import Pool


@dataclass(frozen=True)
class Double:
    """A job that dies on a number below nothing."""

    number: int

    def run(self) -> int:
        if self.number < 0:
            os._exit(9)
        return 2 * self.number


def doubled(pool: Pool, *numbers: int) -> list[int | str | None]:
    done = pool.run([Double(number) for number in numbers], int)
    return [one.result if one.broke is None else one.broke for one in done]


@pytest.fixture
def pool() -> Pool:
    return Pool(2)


def processes(pool: Pool) -> list[int | None]:
    return [worker.process.pid for worker in pool._workers._workers]


def test_processes_are_kept_from_one_lot_to_the_next(pool: Pool) -> None:
    with pool:
        assert processes(pool) == []
        assert doubled(pool, 1) == [2]
        first = processes(pool)
        assert len(first) == 1, "no more than there are jobs"
        assert sorted(map(int, map(str, doubled(pool, 1, 2, 3)))) == [2, 4, 6]
        assert processes(pool)[:1] == first
        assert len(processes(pool)) == 2


def test_one_that_died_while_it_was_idle_is_replaced(pool: Pool) -> None:
    with pool:
        doubled(pool, 1)
        (worker,) = pool._workers._workers
        worker.process.kill()
        worker.process.join()
        assert doubled(pool, 4) == [8]


def test_one_that_dies_at_a_job_is_a_finding(pool: Pool) -> None:
    with pool:
        assert doubled(pool, -1) == ["its worker process died with exit code 9"]
        assert doubled(pool, 5) == [10]

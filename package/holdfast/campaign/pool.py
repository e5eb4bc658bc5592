"""Pool: worker processes that run jobs, each with a deadline. One that dies is a finding, not a hang.

Even a single job at a time runs in a process of its own: code under test may end the process it runs in
(`os._exit`, a crash in C), and whoever asked for the check must hear of it.
"""

from __future__ import annotations

import multiprocessing
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Final, Generic, Protocol, TypeVar

from holdfast.core.contract.user_texts import error_text

DEADLINE_S: Final = 600.0
"""Real seconds a job may take; a hundred times what it should."""


ResultT = TypeVar("ResultT")
ResultT_co = TypeVar("ResultT_co", covariant=True)
JobT = TypeVar("JobT", bound="Job[object]")


class Job(Protocol[ResultT_co]):
    """Work that can be sent to another process, and its result."""

    def run(self) -> ResultT_co:
        """Do it."""
        ...


@dataclass(frozen=True, slots=True)
class FinishedJob(Generic[JobT, ResultT]):
    """A job that was done, or one whose worker `broke`: how, in a sentence."""

    job: JobT
    result: ResultT | None
    broke: str | None = None


class Pool:
    """Worker processes for jobs, kept from one lot to the next.

    A context manager: leaving it kills all workers, busy or not.
    """

    def __init__(self, processes: int) -> None:
        self._workers = _Workers(processes)

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *exc: object) -> None:
        self._workers.stop()

    def run(self, jobs: Sequence[JobT], result: type[ResultT]) -> Iterator[FinishedJob[JobT, ResultT]]:
        """Run them all; results come in any order.

        Args:
            jobs: all of them of one type.
            result: the type of a job's result.
        """
        return self._workers.run(jobs)


def run_jobs(
    jobs: Sequence[JobT], processes: int, result: type[ResultT]
) -> Iterator[FinishedJob[JobT, ResultT]]:
    """Run one lot of jobs with this many worker processes; see `Pool.run`."""
    with Pool(processes) as pool:
        yield from pool.run(jobs, result)


def under_way(what: str) -> None:
    """Say what the job of this process is about to do: told of it if the process dies."""
    if _place is not None:
        _place.value = what.encode(errors="replace")[: _PLACE_BYTES - 1]


_PLACE_BYTES: Final = 200
_place: Any = None
"""In a worker process: memory that it shares with its parent."""


def _run_here(job: JobT) -> FinishedJob[JobT, Any]:
    try:
        return FinishedJob(job, job.run())
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # also of code under test that asks for the end of its process
        return FinishedJob(job, None, error_text(error))


class _Worker:
    """A child process, its pipe, its current job, and what it last said of it."""

    def __init__(self, context: _Context) -> None:
        self.pipe, theirs = context.Pipe()
        self.place: Any = context.Array("c", _PLACE_BYTES, lock=False)
        self.process: BaseProcess = context.Process(target=_serve, args=(theirs, self.place), daemon=True)
        self.process.start()
        theirs.close()
        self.job: Any = None
        self.deadline = 0.0

    def give(self, job: Job[object]) -> None:
        self.job = job
        self.place.value = b""
        self.deadline = time.monotonic() + DEADLINE_S
        self.pipe.send(job)

    def died(self) -> str:
        """How and where, after its end."""
        self.process.join()
        place = self.place.value.decode(errors="replace")
        return f"its worker process died with exit code {self.process.exitcode}{place and f' in {place}'}"

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


_Context = multiprocessing.context.SpawnContext | multiprocessing.context.ForkContext


def _context(most: int) -> _Context:
    """How workers are made: a single one as a copy of this process, which is cheap, where that is safe."""
    alone = most == 1 and threading.active_count() == 1
    if alone and "fork" in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("fork")
    return multiprocessing.get_context("spawn")


class _Workers:
    """The processes of a pool; no more are started than there were jobs at once."""

    def __init__(self, most: int) -> None:
        self._context = _context(most)
        self._most = most
        self._workers: list[_Worker] = []

    def run(self, jobs: Sequence[JobT]) -> Iterator[FinishedJob[JobT, Any]]:
        """Deal jobs out one by one; replace workers that break."""
        while len(self._workers) < min(self._most, len(jobs)):
            self._workers.append(_Worker(self._context))
        waiting = deque(jobs)
        for worker in list(self._workers):
            if waiting:
                self._give(worker, waiting.popleft())
        while any(worker.job is not None for worker in self._workers):
            for worker in self._ready():
                job = worker.job
                assert job is not None, "an idle worker has nothing to say"
                done = self._hear(worker, job)
                worker.job = None
                if done.broke is not None and not worker.process.is_alive():
                    worker = self._replace(worker)
                if waiting:
                    self._give(worker, waiting.popleft())
                yield done

    def _give(self, worker: _Worker, job: Job[object]) -> None:
        """Hand it a job; one that died while idle is replaced."""
        try:
            worker.give(job)
        except OSError:
            self._replace(worker).give(job)

    def _ready(self) -> list[_Worker]:
        """Workers with an answer, dead workers, and those past their deadline."""
        busy = [worker for worker in self._workers if worker.job is not None]
        soonest = min(worker.deadline for worker in busy)
        left = max(0.0, soonest - time.monotonic())
        heard = set(map(id, wait([worker.pipe for worker in busy], timeout=left)))
        now = time.monotonic()
        return [worker for worker in busy if id(worker.pipe) in heard or worker.deadline <= now]

    def _hear(self, worker: _Worker, job: JobT) -> FinishedJob[JobT, Any]:
        if worker.deadline <= time.monotonic() and not worker.pipe.poll():
            worker.process.kill()
            worker.process.join()
            place = worker.place.value.decode(errors="replace")
            where = place and f" in {place}"
            return FinishedJob(
                job, None, f"its worker process did not answer within {DEADLINE_S:.0f} s{where}"
            )
        try:
            answer = worker.pipe.recv()
        except (EOFError, OSError):
            return FinishedJob(job, None, worker.died())
        if isinstance(answer, str):
            return FinishedJob(job, None, answer)
        return FinishedJob(job, answer)

    def _replace(self, worker: _Worker) -> _Worker:
        worker.end()
        fresh = _Worker(self._context)
        self._workers[self._workers.index(worker)] = fresh
        return fresh

    def stop(self) -> None:
        """Kill all workers, busy or not."""
        for worker in self._workers:
            worker.end()


def _serve(pipe: Connection, place: Any) -> None:
    """The life of a worker process: jobs in, results out, until the pipe is closed."""
    global _place  # noqa: PLW0603 - one for the process
    _place = place
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    while True:
        try:
            job = pipe.recv()
        except EOFError:
            return
        done = _run_here(job)
        pipe.send(done.broke if done.result is None else done.result)

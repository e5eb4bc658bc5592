"""Pool: worker processes that run blocks, each with a deadline. One that dies is a finding, not a hang."""

from __future__ import annotations

import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Final

from holdfast.campaign.blocks import Block, BlockResult, run_block

BLOCK_DEADLINE_S: Final = 300.0
"""Real seconds a block may take; hundreds of times what it should."""


@dataclass(frozen=True, slots=True)
class Done:
    """A block that was run, or one whose worker `broke`: how, in a sentence."""

    block: Block
    result: BlockResult | None
    broke: str | None = None


def run_blocks(blocks: Sequence[Block], jobs: int) -> Iterator[Done]:
    """Run them, in worker processes if there is more than one job; results come in any order."""
    if jobs <= 1:
        for block in blocks:
            yield _run_here(block)
        return
    pool = _Pool(min(jobs, max(len(blocks), 1)))
    try:
        yield from pool.run(blocks)
    finally:
        pool.stop()


def _run_here(block: Block) -> Done:
    try:
        return Done(block, run_block(block))
    except Exception as error:
        return Done(block, None, f"{type(error).__name__}: {error}")


class _Worker:
    """A child process, its pipe, and the block it is at."""

    def __init__(self, context: multiprocessing.context.SpawnContext) -> None:
        self.pipe, theirs = context.Pipe()
        self.process: BaseProcess = context.Process(target=_serve, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()
        self.block: Block | None = None
        self.deadline = 0.0

    def give(self, block: Block) -> None:
        self.block = block
        self.deadline = time.monotonic() + BLOCK_DEADLINE_S
        self.pipe.send(block)

    def end(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


class _Pool:
    def __init__(self, jobs: int) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._workers = [_Worker(self._context) for _ in range(jobs)]

    def run(self, blocks: Sequence[Block]) -> Iterator[Done]:
        """Deal blocks out one by one; replace workers that break."""
        waiting = deque(blocks)
        for worker in self._workers:
            if waiting:
                worker.give(waiting.popleft())
        while any(worker.block is not None for worker in self._workers):
            for worker in self._ready():
                block = worker.block
                assert block is not None, "an idle worker has nothing to say"
                done = self._hear(worker, block)
                worker.block = None
                if done.broke is not None and not worker.process.is_alive():
                    worker = self._replace(worker)
                if waiting:
                    worker.give(waiting.popleft())
                yield done

    def _ready(self) -> list[_Worker]:
        """Workers with an answer, dead workers, and those past their deadline."""
        busy = [worker for worker in self._workers if worker.block is not None]
        soonest = min(worker.deadline for worker in busy)
        left = max(0.0, soonest - time.monotonic())
        heard = set(map(id, wait([worker.pipe for worker in busy], timeout=left)))
        now = time.monotonic()
        return [worker for worker in busy if id(worker.pipe) in heard or worker.deadline <= now]

    def _hear(self, worker: _Worker, block: Block) -> Done:
        if worker.deadline <= time.monotonic() and not worker.pipe.poll():
            worker.process.kill()
            worker.process.join()
            return Done(block, None, f"its worker process did not answer within {BLOCK_DEADLINE_S:.0f} s")
        try:
            answer = worker.pipe.recv()
        except (EOFError, OSError):
            worker.process.join()
            return Done(block, None, f"its worker process died with exit code {worker.process.exitcode}")
        if isinstance(answer, str):
            return Done(block, None, answer)
        return Done(block, answer)

    def _replace(self, worker: _Worker) -> _Worker:
        worker.end()
        fresh = _Worker(self._context)
        self._workers[self._workers.index(worker)] = fresh
        return fresh

    def stop(self) -> None:
        """End all workers, whatever they are at."""
        for worker in self._workers:
            worker.end()


def _serve(pipe: Connection) -> None:
    """The life of a worker process: blocks in, results out, until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    while True:
        try:
            block = pipe.recv()
        except EOFError:
            return
        done = _run_here(block)
        pipe.send(done.broke if done.result is None else done.result)

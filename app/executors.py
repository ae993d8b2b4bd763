"""Where steps run: in this process, or in several on this machine."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Protocol, TypeVar

from engine.errors import PipelineError

Item = TypeVar("Item")
Result = TypeVar("Result")

PARENT_CHECK_S = 1.0


class Executor(Protocol):
    """Runs a function on items; a step may be run twice and must bear it."""

    def run(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """Yield results as they are ready, in any order."""
        ...


@dataclass(frozen=True)
class InProcess:
    """One after the other, here."""

    def run(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """Yield results in the order of the items."""
        for item in items:
            yield function(item)


@dataclass(frozen=True)
class LocalProcesses:
    """Several processes on this machine, each with its share of the cores."""

    n_workers: int

    def run(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """Yield results as they are ready; function and items must pickle.

        Raises
        ------
        PipelineError
            A process was killed.
        """
        with (
            _threads_per_process(self.n_workers),
            ProcessPoolExecutor(
                max_workers=min(self.n_workers, max(len(items), 1)),
                mp_context=get_context("spawn"),
                initializer=_end_with_parent,
                initargs=(os.getpid(),),
            ) as pool,
        ):
            futures = [pool.submit(function, item) for item in items]
            try:
                for future in as_completed(futures):
                    yield future.result()
            except BrokenProcessPool as error:
                raise PipelineError(
                    "a worker process was killed (out of memory?); finished steps are kept: run "
                    "the command again, with fewer --workers"
                ) from error
            finally:
                pool.shutdown(wait=False, cancel_futures=True)


class _threads_per_process:  # noqa: N801  (reads as a function)
    """Give each process its share of the cores by what numerical libraries read at their start.

    Children of `spawn` read the environment of their parent, so it is set around the pool and put
    back afterwards.
    """

    def __init__(self, n_workers: int) -> None:
        self._share = str(max(1, len(os.sched_getaffinity(0)) // n_workers))
        self._before: str | None = None

    def __enter__(self) -> None:
        self._before = os.environ.get("OMP_NUM_THREADS")
        os.environ.setdefault("OMP_NUM_THREADS", self._share)

    def __exit__(self, *_: object) -> None:
        if self._before is None:
            os.environ.pop("OMP_NUM_THREADS", None)


def _end_with_parent(parent: int) -> None:
    """Leave a killed run's processes none to compute for: the next run takes their steps over."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_CHECK_S)
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()

"""Worker processes of one thread each: with more, all of them would fight for every core."""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor

import torch


def one_thread_processes(n_workers: int) -> ProcessPoolExecutor:
    """A pool of fresh processes; torch and the runtimes of networks use one thread in each."""
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(n_workers, spawn, _use_one_thread)


def _use_one_thread() -> None:
    # Read by the runtimes of networks, see `engine.segmentation.inference.available_cores`.
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)

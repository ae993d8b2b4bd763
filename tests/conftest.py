"""What holds for every test."""

import os

import torch
from hypothesis import settings

# A busy machine is no fault of the code: no test is timed.
settings.register_profile("tomodx", deadline=None)
settings.load_profile("tomodx")

if "PYTEST_XDIST_WORKER" in os.environ:
    # One worker a core already: more threads would wait for each other.
    torch.set_num_threads(1)

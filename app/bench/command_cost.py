"""What a whole command costs: CPU seconds, wall seconds and peak memory of its process."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

from engine.errors import PipelineError


@dataclass(frozen=True)
class CommandCost:
    """Cost of one run and the JSON it printed."""

    cpu_s: float
    wall_s: float
    peak_gb: float
    output: dict[str, Any]


def run_command(arguments: list[str]) -> CommandCost:
    """Run `tomodx --json --quiet ...` in a process of its own.

    Raises
    ------
    PipelineError
        It failed.
    """
    command = [sys.executable, "-m", "app", "--json", "--quiet", *arguments]
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        text = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise PipelineError(f"a benchmark's command failed: tomodx {' '.join(arguments)}")
    return CommandCost(
        cpu_s=usage.ru_utime + usage.ru_stime,
        wall_s=time.perf_counter() - started,
        peak_gb=usage.ru_maxrss * 1024 / 1e9,
        output=json.loads(text),
    )

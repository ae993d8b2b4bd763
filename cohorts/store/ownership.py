"""Who holds a lease: a process, told apart from a later one with the same number."""

import os
import socket
from dataclasses import dataclass
from pathlib import Path

LEASE_S = 60.0
"""A lease not renewed for so long is void. Four missed heartbeats: a machine that swaps or a
laptop that sleeps a moment keeps its work, a dead node of a cluster loses it soon."""

HEARTBEAT_S = 15.0


@dataclass(frozen=True)
class Owner:
    """A process.

    Attributes
    ----------
    place
        Host, boot and process-number space: within one place, `pid` and `started` are decisive.
    started
        Start of the process in clock ticks since boot; 0 where the system does not tell.
    """

    place: str
    pid: int
    started: int

    def text(self) -> str:
        """For the database; see `parse_owner`."""
        return f"{self.place} {self.pid} {self.started}"


def parse_owner(text: str | None) -> Owner | None:
    """Undo `Owner.text`; None for anything else."""
    parts = (text or "").split(" ")
    if len(parts) != 3 or not (parts[1].isdigit() and parts[2].isdigit()):
        return None
    return Owner(parts[0], int(parts[1]), int(parts[2]))


def this_process() -> Owner:
    """Name the calling process (asked anew each time: a forked child is another owner)."""
    pid = os.getpid()
    return Owner(_place(), pid, _start_ticks(pid) or 0)


def is_dead(owner: Owner | None) -> bool:
    """Say whether the owner has certainly ended; False where it cannot be seen from here."""
    if owner is None:
        return True
    if owner.place != _place():
        return False
    ticks = _start_ticks(owner.pid)
    if ticks is not None:
        return owner.started not in (0, ticks)
    return Path("/proc/self/stat").exists() or not _answers(owner.pid)


def _answers(pid: int) -> bool:
    """Ask the system for a process where there is no /proc."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _place() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id")
    boot_id = boot.read_text().strip() if boot.exists() else "-"
    space = Path("/proc/self/ns/pid")
    try:
        space_id = str(space.readlink())
    except OSError:
        space_id = "-"
    return f"{socket.gethostname()}/{boot_id}/{space_id}".replace(" ", "_")


def _start_ticks(pid: int) -> int | None:
    """Read field 22 of /proc/PID/stat (proc(5)); None for no such process, or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else int(fields[19])

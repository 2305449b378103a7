"""How much CPU did each group of processes use? Cores, from the kernel's own counters."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass

import psutil

from benchmarks.processes import Processes


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """CPU seconds that each live process, and the whole machine, has used until `at_s`."""

    at_s: float
    machine_s: float
    used_s_by_process: Mapping[tuple[str, int], float]


def read(processes: Processes) -> Reading:
    """The counters now."""
    used: dict[tuple[str, int], float] = {}
    for group, members in processes.by_group().items():
        for member in members:
            try:
                times = member.cpu_times()
            except psutil.NoSuchProcess:
                continue
            used[(group, member.pid)] = times.user + times.system
    everything = psutil.cpu_times()
    idle_s = everything.idle + getattr(everything, "iowait", 0.0)
    # What a virtual machine's guests use is in `user` already.
    guests_s = getattr(everything, "guest", 0.0) + getattr(everything, "guest_nice", 0.0)
    machine_s = sum(everything) - idle_s - guests_s
    return Reading(at_s=time.monotonic(), machine_s=machine_s, used_s_by_process=used)


def cores_by_process(before: Reading, after: Reading) -> dict[tuple[str, int], float]:
    """Cores used between two readings, by group and process id; one that started between them counts in full."""
    wall_s = max(after.at_s - before.at_s, 1e-9)
    return {
        key: (used_s - before.used_s_by_process.get(key, 0.0)) / wall_s
        for key, used_s in after.used_s_by_process.items()
    }


def cores_by_group(before: Reading, after: Reading) -> dict[str, float]:
    """Cores used between two readings, by group."""
    cores: dict[str, float] = {}
    for (group, _), used in cores_by_process(before, after).items():
        cores[group] = cores.get(group, 0.0) + used
    return cores


def cores_of_others(before: Reading, after: Reading) -> float:
    """Cores that were used, or taken away, by what is not ours: a trial beside it says little."""
    wall_s = max(after.at_s - before.at_s, 1e-9)
    machine = (after.machine_s - before.machine_s) / wall_s
    return max(0.0, machine - sum(cores_by_group(before, after).values()))


def load_average() -> float:
    """Of the last minute."""
    return os.getloadavg()[0]

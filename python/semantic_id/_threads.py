"""What this process may use: threads, when `set_num_threads` did not say how many, and memory."""

import math
import os
import re


def default_threads() -> int:
    """Return SEMANTIC_ID_NUM_THREADS, else OMP_NUM_THREADS, else the cores that this process may use."""
    text = os.environ.get("SEMANTIC_ID_NUM_THREADS", "").strip()
    if text:
        if not text.isascii() or not text.isdigit() or int(text) < 1:
            raise ValueError(f"SEMANTIC_ID_NUM_THREADS={text!r}: want an integer >= 1")
        return int(text)
    outermost = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()  # "4,2": a number for each nested level
    if outermost.isascii() and outermost.isdigit() and int(outermost) >= 1:
        return int(outermost)
    return usable_cores()


def usable_cores() -> int:
    """Return the cores that affinity and cgroup quota leave to this process, at least 1."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        cores = os.cpu_count() or 1
    quota = _cgroup_quota()
    return max(1, cores if quota is None else min(cores, math.ceil(quota)))


def usable_memory() -> int | None:
    """Return the bytes of memory that this process could still use, as the system and cgroups see it; None: unknown."""
    left = [int(kb) << 10 for kb in re.findall(r"^MemAvailable:\s*(\d+) kB", _read("/proc/meminfo"), re.MULTILINE)]
    version1 = ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes")
    for names in (("memory.max", "memory.current"), version1):
        texts = [_read(os.path.join("/sys/fs/cgroup", name)).strip() for name in names]
        if all(text.isdigit() for text in texts):  # not "max", which is no limit
            left.append(max(0, int(texts[0]) - int(texts[1])))
    return min(left, default=None)


def _cgroup_quota(proc: str = "/proc/self/cgroup", root: str = "/sys/fs/cgroup") -> float | None:
    """Return the cores that the CPU quota of this process's cgroups (version 2 or 1) amounts to, None without one."""
    quotas: list[float] = []
    for line in _read(proc).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base = root
        elif "cpu" in controllers.split(","):
            base = os.path.join(root, "cpu")
        else:
            continue
        parts = [p for p in path.split("/") if p not in ("", "..")]
        for depth in range(len(parts) + 1):  # a quota holds for all groups below it
            folder = os.path.join(base, *parts[:depth])
            if controllers == "":
                words = _read(os.path.join(folder, "cpu.max")).split()
            else:
                words = (
                    _read(os.path.join(folder, "cpu.cfs_quota_us"))
                    + " "
                    + _read(os.path.join(folder, "cpu.cfs_period_us"))
                ).split()
            try:
                quota, period = (float(w) for w in words)
            except ValueError:  # "max 100000", or no such file
                continue
            if quota > 0 and period > 0:
                quotas.append(quota / period)
    return min(quotas, default=None)


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as f:
            return f.read()
    except (OSError, UnicodeDecodeError):
        return ""

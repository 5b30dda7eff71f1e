"""How many threads are worth starting here: physical cores that this process may run on, within its quota."""

from __future__ import annotations

import math
import os

from nextoken.log import log


def choose_threads(asked: int | None) -> int:
    """The number of threads for a model: `asked`, or the physical cores at hand if None.

    More threads than the affinity mask and the cgroup's quota let run would only wait for each other, at every
    barrier of every layer: `asked` is cut to what can run, with a warning in the log. The answers do not change.

    Raises TypeError if `asked` is no int, ValueError if it is below 1.
    """
    if asked is None:
        return min(physical_cores(), usable_cpus())
    if isinstance(asked, bool) or not hasattr(asked, "__index__"):
        raise TypeError(f"n_threads must be an int or None, got {type(asked).__name__}")
    asked = asked.__index__()
    if asked < 1:
        raise ValueError(f"n_threads must be at least 1, got {asked}")
    most = usable_cpus()
    if asked > most:
        log.warning("n_threads=%d is cut to %d: more can not run at once here", asked, most)
    return min(asked, most)


def usable_cpus() -> int:
    """Logical processors that this process may use at the same time: its affinity, and its cgroup's quota."""
    allowed = len(_affinity())
    quota = cgroup_quota()
    return allowed if quota is None else max(1, min(allowed, math.ceil(quota)))


def physical_cores() -> int:
    """Cores behind the logical processors of the affinity mask; two threads of one core count once."""
    cores = set()
    for cpu in _affinity():
        siblings = f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
        try:
            cores.add(_text(siblings).strip())
        except OSError:
            cores.add(str(cpu))
    return max(1, len(cores))


def cgroup_quota(root: str = "/sys/fs/cgroup", membership: str = "/proc/self/cgroup") -> float | None:
    """Processors' worth of time the control groups grant, or None if they set no limit (or there are none)."""
    quotas = []
    try:
        lines = _text(membership).splitlines()
    except OSError:
        return None
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if not controllers:  # version 2: every group from here up to the root may set a limit
            quotas += [_read_v2(os.path.join(folder, "cpu.max")) for folder in _up(root, group)]
        elif "cpu" in controllers.split(","):
            for mount in (os.path.join(root, controllers), os.path.join(root, "cpu")):
                quotas += [_read_v1(folder) for folder in _up(mount, group)]
    known = [quota for quota in quotas if quota is not None]
    return min(known) if known else None


def _affinity() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def _text(path: str) -> str:
    with open(path) as file:  # not pathlib: it imports the parsing of URLs and addresses
        return file.read()


def _up(root: str, group: str) -> list[str]:
    """The folders of `group` and of the groups around it; inside a container the path may start above the mount."""
    parts = [part for part in group.split("/") if part not in ("", "..")]
    return [os.path.join(root, *parts[:n]) for n in range(len(parts) + 1)]


def _read_v2(path: str) -> float | None:
    try:
        quota, period = _text(path).split()[:2]
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None


def _read_v1(folder: str) -> float | None:
    try:
        quota = int(_text(os.path.join(folder, "cpu.cfs_quota_us")))
        period = int(_text(os.path.join(folder, "cpu.cfs_period_us")))
        return None if quota <= 0 else quota / period
    except (OSError, ValueError, ZeroDivisionError):
        return None

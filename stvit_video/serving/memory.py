"""Bound the memory of a process."""

import sys


def bound_memory(most: int) -> None:
    """Let the system refuse this process more than `most` bytes on top of what it has; on Linux."""
    if sys.platform != "linux":
        return
    import resource

    with open("/proc/self/status") as status:
        (kibibytes,) = (line.split()[1] for line in status if line.startswith("VmData:"))
    resource.setrlimit(resource.RLIMIT_DATA, (1024 * int(kibibytes) + most,) * 2)

# SPDX-License-Identifier: Apache-2.0
"""CPU time of processes, kernel work included, by the scheduler's clock."""
import glob


def ran_ns(pids):
    """Of all threads of these processes so far; of those that have ended: nothing."""
    total = 0
    for pid in pids:
        for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
            try:
                with open(path, encoding="ascii") as f:
                    total += int(f.read().split()[0])
            except (FileNotFoundError, ProcessLookupError):
                pass
    return total


def family(pid):
    """The process and its children."""
    pids = [pid]
    for path in glob.glob(f"/proc/{pid}/task/*/children"):
        with open(path, encoding="ascii") as f:
            for child in f.read().split():
                pids += family(int(child))
    return pids

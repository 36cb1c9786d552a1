"""The supervisor's last will: when the supervisor is gone, however it went, everything it started ends.

It reads "+PID" and "-PID" lines, one for each process group that starts or ends. The supervisor holds the other end of
the pipe; the system closes it when the supervisor dies, kill -9 included. Standard library only; its own process.
"""

import os
import signal
import sys


def kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        pid = int(line[1:])
        if line.startswith("+"):
            groups.add(pid)
        else:
            groups.discard(pid)
    for pid in groups:
        kill_group(pid)


if __name__ == "__main__":
    main()

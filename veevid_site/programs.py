"""The programs Dailies consists of, as command lines. `manage.py up` and the tests start these same ones."""

import sys

PYTHON = sys.executable
CELERY = (PYTHON, "-m", "celery", "-A", "veevid_site")
# One finished task at a time is taken from the broker, and no chatter between workers that nobody listens to.
QUIET_CELERY = ("--without-gossip", "--without-mingle", "-O", "fair")


def web(port: int, host: str = "127.0.0.1") -> list[str]:
    return [PYTHON, "-m", "gunicorn", "-c", "gunicorn.conf.py", "-b", f"{host}:{port}", "veevid_site.wsgi"]


def worker(concurrency: int = 3) -> list[str]:
    return [*CELERY, "worker", *QUIET_CELERY, "--concurrency", str(concurrency), "-l", "INFO"]


def beat() -> list[str]:
    return [*CELERY, "beat", "-l", "WARNING", "--pidfile="]


def simulator(port: int, folder: object, speed: float, key: str, balance: int) -> list[str]:
    options = {"--port": port, "--data": folder, "--speed": speed, "--key": key, "--balance": balance}
    return [PYTHON, "-m", "simulator", *(str(word) for pair in options.items() for word in pair)]

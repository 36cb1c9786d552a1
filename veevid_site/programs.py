"""The programs Dailies consists of, as command lines. `manage.py up` and the tests start these same ones."""

import sys

PYTHON = sys.executable
CELERY = (PYTHON, "-m", "celery", "-A", "veevid_site")
# One finished task at a time is taken from the broker, and no chatter between workers that nobody listens to.
QUIET_CELERY = ("--without-gossip", "--without-mingle", "-O", "fair")


def web(port: int, host: str = "127.0.0.1") -> list[str]:
    return [PYTHON, "-m", "gunicorn", "-c", "gunicorn.conf.py", "-b", f"{host}:{port}", "veevid_site.wsgi"]


def worker(concurrency: int = 3, queues: str = "dailies,fetches") -> list[str]:
    """Takes whatever comes, downloads too, unless it is told which queues are its own."""
    return [*CELERY, "worker", *QUIET_CELERY, "-Q", queues, "--concurrency", str(concurrency), "-l", "INFO"]


def bell_worker(concurrency: int = 3) -> list[str]:
    """Sends, looks and ticks; no download is ever before one of these."""
    return worker(concurrency, queues="dailies")


def fetcher(concurrency: int = 2) -> list[str]:
    """Fetches clips: one process with threads, since these wait for the network and for the processes that decode."""
    return [*worker(concurrency, queues="fetches"), "--pool", "threads", "-n", "fetcher@%h"]


def beat() -> list[str]:
    return [*CELERY, "beat", "-l", "WARNING", "--pidfile="]


def simulator(port: int, folder: object, speed: float, key: str, balance: int) -> list[str]:
    options = {"--port": port, "--data": folder, "--speed": speed, "--key": key, "--balance": balance}
    return [PYTHON, "-m", "simulator", *(str(word) for pair in options.items() for word in pair)]

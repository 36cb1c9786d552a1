"""How gunicorn serves Dailies: two processes of eight threads. The address is given on the command line."""

import os
from typing import Any

from django.urls import get_resolver

worker_class = "gthread"
workers = 2
threads = 8
timeout = 60
graceful_timeout = 8
keepalive = 15  # seconds; a slow viewer reads for longer than 5 what the kernel has taken at once
max_requests = 20_000
max_requests_jitter = 2_000
worker_tmp_dir = "/dev/shm" if os.path.isdir("/dev/shm") else None  # noqa: S108 (heartbeats never wait for a slow disk)
preload_app = True
control_socket_disable = True


def when_ready(server: Any) -> None:
    """Imports every page once, before the workers are forked: the first visitor does not wait for it."""
    assert get_resolver().url_patterns

"""The bell. Celery carries nudges (primary keys as JSON); the database is the queue, see generations/dispatch.py."""

import os
from typing import Any

from celery import Celery
from celery.signals import task_postrun, task_prerun
from django.db import close_old_connections

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "veevid_site.settings")
os.environ.setdefault("CELERY_SKIP_CHECKS", "1")  # `manage.py check` looks at URLs and templates; workers need neither

app = Celery("dailies")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@task_prerun.connect
@task_postrun.connect
def keep_connections(**signal: Any) -> None:
    """As between two requests of the web server: what broke or is old is closed, everything else is used again.

    Celery itself would close them all, twice a task, and a new connection costs PostgreSQL more than most questions.
    """
    close_old_connections()

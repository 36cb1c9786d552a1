"""The bell. Celery carries nudges (primary keys as JSON); the database is the queue, see generations/dispatch.py."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "veevid_site.settings")
os.environ.setdefault("CELERY_SKIP_CHECKS", "1")  # `manage.py check` looks at URLs and templates; workers need neither

app = Celery("dailies")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

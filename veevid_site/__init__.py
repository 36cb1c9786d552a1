"""The Django project. Importing it makes the Celery app the default one, so that tasks find their broker."""

from veevid_site.celery import app as celery_app

__all__ = ["celery_app"]

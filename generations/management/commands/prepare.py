"""`manage.py prepare`: what has to be there before any process of Dailies starts. Does only what is not done yet."""

import hashlib
import os
from pathlib import Path
from typing import Any, cast

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.files.storage import storages
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, connection
from django.db.migrations.executor import MigrationExecutor

from generations import archive, dispatch, safe_mode


class Command(BaseCommand):
    help = "Makes the tables, collects the static files, adds the account of VEEVID_API_KEY or the demo account."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        archive.sweep()
        prepare_storage()
        prepare_database()
        if frozen_words():
            self.stderr.write(frozen_words())
        collect_static(settings.DATA_DIR / "static.stamp")


def prepare_storage() -> None:
    """Tries the bucket out, when files are in one: a wrong name or key is found now, not by the first clip."""
    if settings.S3_BUCKET:
        cast(Any, storages["default"]).try_out()


def prepare_database() -> None:
    try:
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            call_command("migrate", interactive=False, verbosity=0, skip_checks=True)
        call_command("createcachetable", verbosity=0)
    except OperationalError as error:
        raise CommandError(f"DATABASE_URL: the database does not answer: {str(error).strip()}") from None
    call_command("ensure_accounts", verbosity=0)
    safe_mode.check()


def frozen_words() -> str:
    """What the console says when this database is older than what was sent; empty otherwise."""
    if not dispatch.frozen():
        return ""
    return "Nothing is sent: this database is older than what was sent. An admin looks and releases under Settings."


def collect_static(stamp: Path) -> None:
    """Collects the static files when any of them has changed since the last time."""
    backend = settings.STORAGES["staticfiles"]["BACKEND"]
    seen = hashlib.sha256(str(backend).encode())
    for finder in get_finders():
        for name, storage in finder.list([]):
            facts = os.stat(storage.path(name))
            seen.update(f"{name} {facts.st_size} {facts.st_mtime_ns}\n".encode())
    found = seen.hexdigest()
    if stamp.exists() and stamp.read_text() == found and settings.STATIC_ROOT.exists():
        return
    call_command("collectstatic", interactive=False, clear=True, verbosity=0, skip_checks=True)
    stamp.write_text(found)

"""Builds the sums of the days from a ledger that was kept before there were any."""

from django.db import migrations
from django.db.models import Count, F, OuterRef, Q, Subquery, Sum
from django.db.models.functions import TruncDate


def sum_up(apps, schema_editor):
    """Gives what is there the day of its confirmation, and builds the sums of the days from the ledger."""
    Generation, LedgerEntry, DaySum = (apps.get_model("generations", name) for name in ("Generation", "LedgerEntry", "DaySum"))
    Generation.objects.update(day=TruncDate("created_at"))
    LedgerEntry.objects.update(
        day=Subquery(Generation.objects.filter(pk=OuterRef("generation")).values("day")[:1]),
        account=Subquery(Generation.objects.filter(pk=OuterRef("generation")).values("account")[:1]),
    )
    is_capture, is_failed = Q(kind="capture"), Q(generation__status__in=["FAILED", "REJECTED"])
    rows = LedgerEntry.objects.values("team_id", "user_id", "demo", "day", mode=F("generation__mode")).annotate(
        held_sum=Sum("held"),
        spent_sum=Sum("spent"),
        failed_spent=Sum("spent", filter=is_capture & ~Q(generation__status="COMPLETED"), default=0),
        quoted=Sum("generation__price", filter=is_capture, default=0),
        confirmed=Count("pk", filter=Q(kind="hold")),
        completed=Count("pk", filter=is_capture & Q(generation__status="COMPLETED")),
        failed=Count("pk", filter=(is_capture & ~Q(generation__status="COMPLETED")) | (Q(kind="release") & is_failed)),
    )
    DaySum.objects.bulk_create(
        (DaySum(held=row.pop("held_sum"), spent=row.pop("spent_sum"), **row) for row in rows.iterator()), batch_size=1000
    )


class Migration(migrations.Migration):

    dependencies = [
        ('generations', '0007_teams_budgets_books'),
    ]

    operations = [
        migrations.RunPython(sum_up, migrations.RunPython.noop, elidable=True),
    ]

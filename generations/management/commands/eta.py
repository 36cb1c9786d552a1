"""How often clips were ready within the time that people were told, for each model."""

from typing import Any

from django.core.management.base import BaseCommand

from generations import catalogue, forecast


class Command(BaseCommand):
    help = "Prints how often clips were ready within the time that was said, by model."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"{'model':<20} {'said':<24} {'clips':>6} {'held':>7} {'sooner':>7} {'later':>7}")
        for row in forecast.by_model():
            model = catalogue.MODELS.get(row.mode)
            shares = " ".join(f"{100 * part / row.clips:6.1f}%" for part in (row.held, row.sooner, row.later))
            self.stdout.write(f"{model.name if model else row.mode:<20} {row.said:<24} {row.clips:>6} {shares}")

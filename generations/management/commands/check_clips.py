"""Compares every kept clip with what its row says: is it there, is it as long, is it the same to the last byte?"""

import time
from argparse import ArgumentParser
from collections import Counter
from datetime import datetime, timedelta
from datetime import time as dtime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from django.utils.dateparse import parse_date

from generations import keeping
from generations.words import bytes_words, duration_words

NAMED = 20  # damaged clips that are named one by one


class Command(BaseCommand):
    help = (
        "Checks every kept clip: existence, length, SHA-256. Marks what is damaged, so that its page says so and "
        "offers to fetch it again, and what is whole again. Asks Veevid nothing. Ends with 1 when something is damaged."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--quick", action="store_true", help="existence and length only, without reading")
        parser.add_argument("--limit", type=int, help="stop after so many clips")
        parser.add_argument("--since", metavar="YYYY-MM-DD", help="only clips stored since that day")
        parser.add_argument(
            "--unchecked-for", type=int, metavar="DAYS", help="leave out what was compared in these days: goes on"
        )
        parser.add_argument("--even-so", action="store_true", help="mark clips as missing even when all of them are")

    def handle(self, *args: Any, **options: Any) -> None:
        days = options["unchecked_for"]
        looks = keeping.check(
            quick=options["quick"],
            limit=options["limit"],
            since=_day(options["since"]),
            unchecked_since=timezone.now() - timedelta(days=days) if days is not None else None,
            even_so=options["even_so"],
        )
        began, counts = time.monotonic(), Counter[str]()
        try:
            for look in looks:
                self._count(look, counts)
        except keeping.NotThere:
            raise CommandError(
                "Every clip in a row is missing: is the storage there (DATA_DIR mounted, S3_BUCKET right)? "
                "They were not marked. --even-so marks them."
            ) from None
        finally:
            self._say(counts, time.monotonic() - began, options["quick"])
        if counts["damaged"] or counts["unknown"]:
            raise CommandError(f"{counts['damaged']} damaged, {counts['unknown']} that could not be read.")

    def _count(self, look: keeping.Look, counts: Counter[str]) -> None:
        counts["clips"] += 1
        counts["bytes"] += look.clip.size or 0
        what = "unknown" if look.unknown else "damaged" if look.flaw else "whole"
        counts[what] += 1
        counts["healed"] += what == "whole" and look.was_damaged
        if what != "whole" and counts["damaged"] + counts["unknown"] <= NAMED:
            self.stdout.write(f"generation {look.clip.generation_id}: {look.flaw or look.unknown}")

    def _say(self, counts: Counter[str], seconds: float, quick: bool) -> None:
        how = "looked at" if quick else "compared to the last byte"
        self.stdout.write(
            f"{counts['clips']:,} clips, {bytes_words(counts['bytes'])}, {how} in {duration_words(seconds)}: "
            f"{counts['whole']:,} whole (of them {counts['healed']:,} that had been damaged), "
            f"{counts['damaged']:,} damaged, {counts['unknown']:,} could not be read"
        )


def _day(typed: str | None) -> datetime | None:
    if not typed:
        return None
    try:
        day = parse_date(typed)
    except ValueError:
        day = None
    if day is None:
        raise CommandError("--since: must be a day such as 2026-11-01")
    return datetime.combine(day, dtime.min, timezone.get_current_timezone())

"""Proves the books: sums, unresolved holds, each generation's balance, and each account against Veevid's own figure."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db.models import Count, Sum

from generations import books
from generations.models import ApiAccount, Generation, LedgerEntry
from generations.words import credits


class Command(BaseCommand):
    help = "Checks the ledger against itself and against the balances that Veevid told. Changes nothing."

    def handle(self, *args: Any, **options: Any) -> None:
        books.compare()
        wrong = self._ledger() + self._accounts()
        self._holds()
        if wrong:
            raise CommandError(f"{wrong} of the checks above failed.")
        self.stdout.write("The books are right.")

    def _ledger(self) -> int:
        checks = books.check()
        for check in checks:
            which = f": {check.which}" if check.which else ""
            self.stdout.write(f"{check.what:<52} {check.rows:>9,} rows {check.wrong:>7,} wrong{which}")
        return sum(bool(check.wrong) for check in checks)

    def _holds(self) -> None:
        held = Generation.objects.exclude(status__in=books.ENDED).values("status")
        for row in held.annotate(number=Count("pk"), sum=Sum("price")).order_by("status"):
            self.stdout.write(f"held for {row['status']:<43} {row['number']:>9,} rows {credits(row['sum']):>15}")

    def _accounts(self) -> int:
        wrong = 0
        for account in ApiAccount.objects.order_by("pk").select_related("compared"):
            state = books.state(account)
            if state.reading is None or state.expected is None:
                self.stdout.write(f"{account.name}: never seen at rest, nothing to compare")
                continue
            low, high = state.expected.low, state.expected.high
            expects = f"{high:,}" if low == high else f"{low:,} to {high:,}"
            self.stdout.write(
                f"{account.name}: the books expect {expects}, Veevid said {state.reading.credits:,}, "
                f"difference {state.missing:,}"
            )
            wrong += not state.agree
            self._outside(account)
        return wrong

    def _outside(self, account: ApiAccount) -> None:
        for entry in books.outside(account.demo).filter(account=account).order_by("pk"):
            what = f"{entry.spent:,} spent" if entry.kind == LedgerEntry.Kind.OUTSIDE else f"{entry.bought:,} bought"
            if entry.kind == LedgerEntry.Kind.REFUND:
                self.stdout.write(f"    {-entry.bought:,} of it refunded, for {entry.generation}")
                continue
            after, until = entry.after, entry.until
            if after and until:
                self.stdout.write(
                    f"    {what} outside of Dailies, "
                    f"between {after.at:%Y-%m-%d %H:%M:%S} and {until.at:%Y-%m-%d %H:%M:%S}"
                )

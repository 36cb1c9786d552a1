"""Budgets as the pages draw them: what is spent, what is held, what one clip would take of the rest."""

from collections.abc import Iterable
from dataclasses import dataclass

from generations import budgets
from generations.models import User


@dataclass(frozen=True)
class Meter:
    """One budget. `counted` credits of the clip's price are held in it already."""

    room: budgets.Room
    name: str
    price: int = 0
    counted: int = 0

    @property
    def credits(self) -> int:
        return self.room.budget.credits

    @property
    def held(self) -> int:
        return max(self.room.held - self.counted, 0)

    @property
    def left(self) -> int:
        """Without the clip."""
        return self.room.left + self.counted

    @property
    def after(self) -> int:
        return self.left - self.price

    @property
    def short(self) -> int:
        return max(-self.after, 0)

    @property
    def over(self) -> int:
        """Used beyond the budget before the clip is counted."""
        return max(-self.left, 0)

    @property
    def nearly(self) -> bool:
        """Less than a tenth is left."""
        return self.left * 10 < self.credits

    @property
    def bars(self) -> list[tuple[str, str, str]]:
        """Spent, held and the clip, as kind, x and width in percent of the budget, or of all that is used of it."""
        whole = max(self.credits, self.room.spent + self.held + self.price, 1)
        bars, x = [], 0.0
        for kind, part in (("spent", self.room.spent), ("held", self.held), ("next", self.price)):
            width = 100 * part / whole
            if part:
                bars.append((kind, f"{x:.1f}%", f"{width:.1f}%"))
            x += width
        return bars


def name(budget: budgets.Budget, viewer: User | None = None) -> str:
    """`Your budget this month`, `Mara’s budget today`, `Alpine Rail budget in total`."""
    if budget.user is None:
        whose = budget.of_whom
    elif viewer and budget.user_id == viewer.pk:
        whose = "Your"
    else:
        whose = f"{budget.user.get_short_name()}’s"
    return f"{whose} budget {budgets.WITHIN[budgets.Window(budget.window)]}"


def of_rooms(
    rooms: Iterable[budgets.Room], viewer: User | None = None, price: int = 0, counted: int = 0
) -> list[Meter]:
    return [Meter(room, name(room.budget, viewer), price, counted) for room in rooms]

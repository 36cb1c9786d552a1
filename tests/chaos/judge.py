"""What became of everything: the simulator's journal and generations are the truth, our database is what is judged.

Every paid request that the simulator saw has to join to one Submission of that prompt and key; every Submission after a
generation's first to a certain refusal of the one before, or to a recorded Decision. The books have to say of each
prompt what upstream took for it.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

SETTLED = ("COMPLETED", "FAILED", "REJECTED", "CANCELLED")
OPEN = ("AWAITING_APPROVAL", "QUEUED", "UNCONFIRMED", "STALLED")


@dataclass
class Books:
    """Our database: rows as tuples, in the order of the statements below."""

    generations: list[tuple[Any, ...]]
    submissions: list[tuple[Any, ...]]
    decisions: list[tuple[Any, ...]]
    clips: list[tuple[Any, ...]]
    ledger: list[tuple[Any, ...]]
    evidence: list[tuple[Any, ...]] = field(default_factory=list)
    freezes: list[tuple[Any, ...]] = field(default_factory=list)


STATEMENTS = {
    "generations": "SELECT id, prompt, status, price, upstream_id FROM generations_generation ORDER BY id",
    "submissions": (
        "SELECT s.id, s.generation_id, s.attempt, k.last4, s.outcome, s.words, s.at FROM generations_submission s"
        " JOIN generations_apikey k ON k.id = s.key_id ORDER BY s.generation_id, s.attempt"
    ),
    "decisions": "SELECT submission_id, kind, who_id FROM generations_decision",
    "evidence": "SELECT submission_id, before, after, verdict, alone, at FROM generations_evidence ORDER BY id",
    "freezes": "SELECT why FROM generations_freeze",
    "clips": "SELECT generation_id, state, file FROM generations_clip",
    "ledger": "SELECT generation_id, kind, held, spent FROM generations_ledgerentry",
}


@dataclass
class Verdict:
    """Each list names what is wrong, in words; all but `ambiguous` and `allowed` have to be empty."""

    double_charges: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    unaccounted: list[str] = field(default_factory=list)
    books: list[str] = field(default_factory=list)
    limits: list[str] = field(default_factory=list)
    ambiguous: list[str] = field(default_factory=list)
    allowed: list[str] = field(default_factory=list)
    difference: int = 0  # credits: what upstream took, less our ledger and less what ambiguous ones took
    counts: dict[str, int] = field(default_factory=dict)


def _clock(moment: float) -> str:
    return f"{datetime.fromtimestamp(moment, UTC):%H:%M:%S}"


class Judge:
    def __init__(
        self,
        books: Books,
        journal: list[dict[str, Any]],
        upstream: list[dict[str, Any]],
        violations: dict[str, Any],
        confirmed: set[str],
        taken: int,
    ) -> None:
        """`confirmed`: the prompts that were confirmed; `taken`: by how much the balances upstream fell in all."""
        self.books, self.upstream, self.confirmed, self.taken = books, upstream, confirmed, taken
        self.sent = [call for call in journal if call["endpoint"] == "generate"]
        self.violations = violations
        self.accepted: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for clip in upstream:
            self.accepted[clip["prompt"]].append(clip)
        self.prompt_of = {row[0]: row[1] for row in books.generations}
        self.decided = {submission: (kind, who) for submission, kind, who in books.decisions}
        self.attempts: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
        for row in books.submissions:
            self.attempts[row[1]].append(row)
        self.said = Verdict()

    def verdict(self) -> Verdict:
        self.charges()
        self.outcomes()
        self.joins()
        self.attempts_in_order()
        self.clips()
        self.money()
        self.said.unaccounted += [f"frozen, though nothing was restored: {why}" for (why,) in self.books.freezes]
        if self.violations["exceeded"] or self.violations["total"]:
            self.said.limits.append(str(self.violations))
        statuses = Counter(row[2] for row in self.books.generations)
        self.said.counts = {
            "generations": len(self.books.generations),
            "submissions": len(self.books.submissions),
            "requests upstream": len(self.sent),
            "accepted upstream": len(self.upstream),
            "decisions": len(self.books.decisions),
            **statuses,
        }
        return self.said

    def charges(self) -> None:
        """A second acceptance of a prompt needs a Decision to send again, one for each."""
        for pk, prompt, *_ in self.books.generations:
            times = len(self.accepted[prompt])
            again = [self.decided[row[0]] for row in self.attempts[pk] if self.decided.get(row[0], ("",))[0] == "again"]
            words = f"{prompt}: accepted {times} times, {len(again)} decisions to send again"
            if times > 1 + len(again):
                self.said.double_charges.append(words)
            elif times > 1:
                self.said.allowed.append(f"{words}. {self.story(pk, prompt)}")

    def story(self, pk: int, prompt: str) -> str:
        """What happened to one generation, for people who want to know why."""
        said = [f"upstream {row['id']} {row['status']} at {_clock(row['created_at'])}" for row in self.accepted[prompt]]
        for row in self.attempts[pk]:
            said.append(f"attempt {row[2]} {str(row[6])[11:19]} {row[4] or 'open'}: {row[5]}")
            said += [f"evidence {one[1:]}" for one in self.books.evidence if one[0] == row[0]]
            if row[0] in self.decided:
                kind, who = self.decided[row[0]]
                said.append(f"{kind}, by {'Dailies' if who is None else 'people'}")
        return "; ".join(said)

    def outcomes(self) -> None:
        """Everything confirmed is there once, and settled, or open in a state that somebody sees."""
        times = Counter(row[1] for row in self.books.generations)
        self.said.lost += [f"{prompt}: confirmed, not there" for prompt in self.confirmed - set(times)]
        self.said.unaccounted += [f"{prompt}: there {count} times" for prompt, count in times.items() if count > 1]
        for pk, prompt, status, *_ in self.books.generations:
            settlements = sum(1 for row in self.books.ledger if row[0] == pk and row[1] != "hold")
            if status in SETTLED and settlements != 1:
                self.said.lost.append(f"{prompt}: {status} with {settlements} settlements")
            elif status in OPEN and settlements:
                self.said.lost.append(f"{prompt}: {status}, yet settled")
            elif status not in (*SETTLED, *OPEN):
                self.said.lost.append(f"{prompt}: still {status} at the end")
            if status == "UNCONFIRMED":
                known = ", ".join(f"{row['id']} {row['status']}" for row in self.accepted[prompt])
                words = self.attempts[pk][-1][5]
                self.said.ambiguous.append(f"{prompt}: upstream {known or 'never accepted it'}. Ours: {words}")

    def joins(self) -> None:
        """Each paid request upstream is one Submission's, with the same prompt and key."""
        rows = Counter((self.prompt_of[row[1]], row[3]) for row in self.books.submissions)
        for call in self.sent:
            whose = (call["prompt"], (call["key"] or "")[-4:])
            if call["prompt"] is None:  # its body never came whole, so no prompt could be read
                whose = next((one for one in rows if one[1] == whose[1] and rows[one]), whose)
            if not rows[whose]:
                self.said.unaccounted.append(f"request {call['id']} upstream joins to no submission: {whose}")
            rows[whose] -= 1

    def attempts_in_order(self) -> None:
        for pk, rows in self.attempts.items():
            if [row[2] for row in rows] != list(range(1, len(rows) + 1)):
                self.said.unaccounted.append(f"{self.prompt_of[pk]}: attempts {[row[2] for row in rows]}")
            for earlier, later in pairwise(rows):
                allowed = self.decided.get(earlier[0], ("",))[0] == "again"
                if earlier[4] != "returned" and not allowed:
                    words = f"attempt {later[2]} follows one that ended {earlier[4] or 'open'!r}, without a decision"
                    self.said.unaccounted.append(f"{self.prompt_of[pk]}: {words}")

    def clips(self) -> None:
        state = {row[0]: row[1] for row in self.books.clips}
        for pk, prompt, status, *_ in self.books.generations:
            if status == "COMPLETED" and state.get(pk) not in ("STORED", "GONE"):
                self.said.unaccounted.append(f"{prompt}: completed, its clip {state.get(pk)}")

    def money(self) -> None:
        """For each prompt what our ledger spent is what upstream took; what is ambiguous is counted as upstream's."""
        spent: Counter[int] = Counter()
        for pk, _, _, credits in self.books.ledger:
            spent[pk] += credits
        took = {prompt: sum(row["charged"] - row["refunded"] for row in rows) for prompt, rows in self.accepted.items()}
        known = unknown = 0
        for pk, prompt, status, *_ in self.books.generations:
            known += spent[pk]
            if status == "UNCONFIRMED":
                unknown += took.get(prompt, 0)
            elif spent[pk] != took.get(prompt, 0):
                words = f"{status}, spent {spent[pk]} here, {took.get(prompt, 0)} upstream"
                self.said.books.append(f"{prompt}: {words}")
        self.said.difference = self.taken - known - unknown

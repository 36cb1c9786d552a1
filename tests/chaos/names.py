"""What the program that makes the chaos and the processes that suffer it both know. Needs no Django."""

KEY_MINUTE, ACCOUNT_HOUR = 120, 1000  # requests; upstream's are 30 and 200
LEASE = 8.0  # seconds for a paid request; shipped: 75

#: Points inside the transaction of a generation's move, by the state it moves to: the UPDATE is done, not committed.
MOVES = {
    "SUBMITTING": "amid the claim",
    "PROCESSING": "amid the record",
    "QUEUED": "amid the return to the line",
    "UNCONFIRMED": "amid an unclear end",
    "COMPLETED": "amid the completion",
    "FAILED": "amid the failure",
}
#: Every point at which a process may be told to die, along the path.
POINTS = (
    "amid a confirmation",
    "amid a tick",
    "before the claim",
    "amid the claim",
    "the intent is committed",
    "before it is in the log of what is sent",
    "amid its line in the log",
    "in the log, not sent",
    "before the request",
    "before the first byte",
    "half of the request is written",
    "the request is written",
    "the answer came",
    "amid the journal's file",
    "in the journal, not in the row",
    "amid the record",
    "the id is in the row",
    "recorded, still in the journal",
    "amid the return to the line",
    "amid an unclear end",
    "before a balance",
    "after a balance",
    "amid a decision",
    "before a look",
    "after a look's answer",
    "amid the failure",
    "amid the completion",
    "completed, the clip not announced",
    "mid-download",
    "downloaded",
    "kept, not in the row",
    "stored",
)

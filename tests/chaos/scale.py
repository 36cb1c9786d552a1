"""Leases and limits of the chaos runs: the shipped ones in smaller, so that hours fit into minutes.

Waits are shortened together, each still longer or shorter than the others as it was. The simulator enforces the same
limits. Nothing else of the shipped code is changed.
"""

from datetime import timedelta
from typing import Any

from generations import archive, dispatch, lifecycle, pacing, reconcile, sending, veevid
from tests.chaos.names import ACCOUNT_HOUR, KEY_MINUTE, LEASE

MODULES = (archive, dispatch, lifecycle, pacing, reconcile, sending, veevid)
SHORTER: dict[str, Any] = {
    "PER_KEY_MINUTE": KEY_MINUTE,
    "PER_ACCOUNT_HOUR": ACCOUNT_HOUR,
    "DEADLINE": LEASE,
    "SEND_MARGIN": timedelta(seconds=2),
    "LEASE_GRACE": timedelta(seconds=2),
    "SETTLES_IN": timedelta(seconds=1),
    "READ_AGAIN_AFTER": timedelta(seconds=3),
    "TRY_AGAIN_AFTER": timedelta(seconds=3),
    "CHECK_LEASE": timedelta(seconds=7),
    "CHECK_HOLDS_THE_LANE": timedelta(seconds=20),
    "UNKNOWN_HOLDS_A_SLOT": timedelta(seconds=60),
    "QUESTION_TIMEOUT": 4,
    "QUESTION_DEADLINE": 5,
    "LOOK_LEASE": timedelta(seconds=7),
    "JOURNAL_MAY_LIE": 2.0,
    "BUSY_FOR": 2.0,
    "WAIT_FOR_CREDITS": timedelta(seconds=5),
    "WAIT_FOR_DISK": timedelta(seconds=3),
    "ASK_PRICE_AGAIN": timedelta(seconds=5),
    "LEASE": timedelta(seconds=6),
    "SLOWEST_RETRY": 10.0,
}


def shorten() -> None:
    for name, value in SHORTER.items():
        holders = [module for module in MODULES if hasattr(module, name)]
        if not holders:
            raise AttributeError(f"no module has {name} any more")
        for module in holders:
            setattr(module, name, value)
    defaults = veevid.Veevid.__init__.__kwdefaults__ or {}
    assert defaults["deadline"] == 75.0
    defaults["deadline"] = LEASE
    archive._keep.__defaults__ = (archive.LEASE,)

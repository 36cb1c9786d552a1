"""The simulator's memory: one SQLite file, one connection, one lock.

Every request works inside `transaction()`, so that checks (limits, balance, slots) and what follows from
them are one step, and a kill -9 between two lines leaves nothing half done.
"""

import json
import secrets
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SCHEMA = """
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS accounts (
    name TEXT PRIMARY KEY, balance INTEGER NOT NULL, suspended INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS keys (
    key TEXT PRIMARY KEY, account TEXT NOT NULL REFERENCES accounts(name), active INTEGER NOT NULL DEFAULT 1
);
CREATE TABLE IF NOT EXISTS generations (
    id TEXT PRIMARY KEY, account TEXT NOT NULL, status TEXT NOT NULL, mode TEXT NOT NULL, body TEXT NOT NULL,
    prompt TEXT NOT NULL, charged INTEGER NOT NULL, refunded INTEGER NOT NULL DEFAULT 0,
    created_at REAL NOT NULL, due_at REAL, completed_at REAL, dooms TEXT, error_message TEXT,
    quality TEXT, recipe TEXT NOT NULL, ready_at REAL, file_name TEXT, file_size INTEGER
);
CREATE INDEX IF NOT EXISTS generations_open ON generations (status, account);
CREATE TABLE IF NOT EXISTS journal (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, key TEXT, account TEXT, method TEXT NOT NULL,
    path TEXT NOT NULL, endpoint TEXT, counted INTEGER NOT NULL DEFAULT 0, refused_by TEXT, status INTEGER,
    fault TEXT, generation_id TEXT, prompt TEXT, credits INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS journal_key ON journal (key, at);
CREATE INDEX IF NOT EXISTS journal_account ON journal (account, at);
CREATE TABLE IF NOT EXISTS faults (
    id INTEGER PRIMARY KEY AUTOINCREMENT, endpoint TEXT NOT NULL, kind TEXT NOT NULL, remaining INTEGER,
    key TEXT, options TEXT NOT NULL
);
"""

DEFAULTS: dict[str, Any] = {"price_factor": 1.0, "link_seconds": 3600}
TABLES = ("settings", "accounts", "keys", "generations", "journal", "faults")


class Store:
    """One file under the data directory."""

    def __init__(self, data: Path) -> None:
        data.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._db = sqlite3.connect(data / "simulator.sqlite3", check_same_thread=False, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(SCHEMA)
        with self.transaction() as db:
            set_default(db, "secret", secrets.token_hex(16))

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, one at a time."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def close(self) -> None:
        with self._lock:
            self._db.close()


def setting(db: sqlite3.Connection, name: str) -> Any:
    row = db.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
    return json.loads(row["value"]) if row else DEFAULTS[name]


def change_setting(db: sqlite3.Connection, name: str, value: Any) -> None:
    db.execute(
        "INSERT INTO settings VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (name, json.dumps(value)),
    )


def set_default(db: sqlite3.Connection, name: str, value: Any) -> None:
    db.execute("INSERT OR IGNORE INTO settings VALUES (?, ?)", (name, json.dumps(value)))


def add_account(db: sqlite3.Connection, name: str, balance: int) -> None:
    """A new account; one that is there keeps its balance."""
    db.execute("INSERT OR IGNORE INTO accounts (name, balance) VALUES (?, ?)", (name, balance))


def add_key(db: sqlite3.Connection, key: str, account: str) -> None:
    db.execute("INSERT OR IGNORE INTO keys (key, account) VALUES (?, ?)", (key, account))


def balance(db: sqlite3.Connection, account: str) -> int:
    row = db.execute("SELECT balance FROM accounts WHERE name = ?", (account,)).fetchone()
    return int(row["balance"])


def move_credits(db: sqlite3.Connection, account: str, credits: int) -> None:
    """Add (or, negative, take) credits."""
    db.execute("UPDATE accounts SET balance = balance + ? WHERE name = ?", (credits, account))

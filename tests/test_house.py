"""The house keeps its proportions: imports go downward, and one place opens the paid socket."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection

APP = Path(__file__).resolve().parent.parent / "generations"

FLOORS = {
    5: ["views", "urls", "admin", "management", "templatetags"],
    4: ["tasks", "forms", "several"],
    3: [
        "sending",
        "notify",
        "outbox",
        "webhooks",
        "safe_mode",
        "lifecycle",
        "comparisons",
        "approvals",
        "steering",
        "books",
        "dispatch",
        "archive",
        "reconcile",
        "accounts",
        "people",
        "sharing",
        "parcel",
        "uploads",
        "prompts",
        "library",
        "story",
        "forecast",
        "filters",
        "waiting",
        "reports",
        "shelf",
        "bundle",
        "wastebin",
        "keeping",
        "exporting",
        "importing",
    ],
    2: ["ledger", "budgets", "access", "audit", "search"],
    1: ["models", "apps"],
    0: [
        "veevid",
        "catalogue",
        "pacing",
        "outlook",
        "film",
        "words",
        "journal",
        "sentlog",
        "bucket",
        "variables",
        "receiver",
    ],
}
FLOOR_OF = {name: floor for floor, names in FLOORS.items() for name in names}
SOURCES = [path for path in APP.rglob("*.py") if "migrations" not in path.parts and path.name != "__init__.py"]


def name_of(path: Path) -> str:
    return path.relative_to(APP).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[tuple[ast.AST, str]]:
    """Each import of ours in a file, as (node, module of the app)."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "generations":
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("generations."):
            yield node, str(node.module).split(".")[1]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(APP)))
def test_a_module_imports_only_from_its_own_floor_and_below(path):
    own = FLOOR_OF[name_of(path)]
    upward = [module for _, module in imported(path) if FLOOR_OF[module] > own]
    assert upward == []


def test_no_two_modules_of_a_floor_import_each_other():
    uses = {(name_of(path), module) for path in SOURCES for _, module in imported(path) if module != name_of(path)}
    assert [pair for pair in uses if pair[::-1] in uses] == []


def test_no_import_hides_inside_a_function():
    hidden = [
        f"{path.name}:{node.lineno}"
        for path in SOURCES
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert hidden == []


def test_only_the_client_the_archive_and_the_way_to_receivers_speak_http():
    ways = ("import requests", "HTTPConnection", "urlopen", "socket.create_connection")
    speaking = [path.name for path in SOURCES if any(way in path.read_text() for way in ways)]
    assert sorted(speaking) == ["archive.py", "receiver.py", "veevid.py"]


def test_the_status_of_a_generation_changes_only_by_its_guarded_move():
    changing = [path.name for path in SOURCES if ".update(status=" in path.read_text().replace("\n", "")]
    assert changing == ["work.py"]


@pytest.mark.django_db
def test_the_words_of_the_prompts_are_still_kept_after_all_migrations():
    """SQLite drops a table's triggers when it makes the table anew: see generations/migrations/_prompt_words.py."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'generations_promptwords%'"
        )
        assert cursor.fetchone()[0] == 3

"""Exactly one call site opens the paid socket. Read from the source, so that a second one cannot slip in."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = [
    path
    for folder in ("generations", "veevid_site")
    for path in (ROOT / folder).rglob("*.py")
    if "migrations" not in path.parts
]


def inside(node: ast.AST, names: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], ast.AST]]:
    """Every node beneath, with the names of the classes and functions around it."""
    for child in ast.iter_child_nodes(node):
        yield names, child
        own = (child.name,) if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) else ()
        yield from inside(child, (*names, *own))


def places(wanted) -> list[str]:
    """Where in the source nodes are of which `wanted` is true, as file:function."""
    return [
        f"{path.relative_to(ROOT)}:{'.'.join(names)}"
        for path in SOURCES
        for names, node in inside(ast.parse(path.read_text()), ())
        if wanted(node)
    ]


def mentions(name: str):
    """Any use of the name: called, handed on, imported."""

    def wanted(node: ast.AST) -> bool:
        if isinstance(node, ast.Attribute):
            return node.attr == name
        if isinstance(node, ast.ImportFrom | ast.Import):
            return any(name in (alias.name, alias.asname) for alias in node.names)
        return isinstance(node, ast.Name) and node.id == name

    return wanted


def says(text: str):
    return lambda node: isinstance(node, ast.Constant) and isinstance(node.value, str) and text in node.value.split()


def test_only_send_asks_the_client_to_generate():
    assert places(mentions("generate")) == ["generations/sending.py:_send"]


def test_only_one_line_leads_from_the_bell_to_the_request():
    def submits(node: ast.AST) -> bool:
        return isinstance(node, ast.Attribute) and node.attr == "submit" and ast.unparse(node.value) == "sending"

    assert places(mentions("_send")) == ["generations/sending.py:_carry_out"]
    assert places(mentions("_carry_out")) == ["generations/sending.py:submit"]
    assert places(submits) == ["generations/tasks.py:submit"]


def test_only_the_client_knows_the_address_and_nothing_there_repeats_it():
    assert places(says("/generate-video")) == ["generations/veevid.py:Veevid.generate"]
    assert places(mentions("_call")).count("generations/veevid.py:Veevid.generate") == 1
    assert places(mentions("_exchange")) == ["generations/veevid.py:Veevid._call"]
    assert places(mentions("max_retries")) == []  # as a keyword it is a number, and that is 0
    assert "max_retries=0" in (ROOT / "generations/veevid.py").read_text()


def test_no_loop_stands_around_the_paid_request():
    tree = ast.parse((ROOT / "generations/sending.py").read_text())
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    for name in ("submit", "_carry_out", "_send"):
        assert not [node for node in ast.walk(functions[name]) if isinstance(node, ast.For | ast.While)]

"""A link is made in one place, from what runs; everybody else only passes it on."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
CODE = ("actors", "bot", "config", "storage", "supervisors", "xray_api")
SCHEME = "vless://"

#: Who may name the scheme, and why.
ALLOWED = {
    "xray_api/node/links.py": "makes links, from the running inbound",
    "xray_api/client/client.py": "sees whether a link is the asked user's",
    "xray_api/client/fake.py": "stands for a node",
    "xray_api/probe.py": "uses a link, with a parser of its own",
    "config/logging.py": "cuts links out of logs",
    "storage/invariants/keys.py": "sees whether a stored link is its row's",
}


def texts_with_the_scheme(file: Path) -> list[int]:
    """Lines with a text that names it and is no docstring."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and SCHEME in node.value
        and id(node) not in docstrings
    ]


def test_only_a_node_writes_links() -> None:
    found = {
        str(file.relative_to(ROOT)): lines
        for folder in CODE
        for file in (ROOT / folder).rglob("*.py")
        if (lines := texts_with_the_scheme(file))
    }

    others = {file: lines for file, lines in found.items() if file not in ALLOWED}
    assert {f: ln for f, ln in others.items() if not f.startswith("bot/sandbox/")} == {}
    assert set(ALLOWED) <= set(found), "an exemption that is needed no more"


def test_a_link_made_elsewhere_would_be_found(tmp_path: Path) -> None:
    file = tmp_path / "fallback.py"
    file.write_text('"""vless:// in words."""\n\nlink = f"vless://{1}@host"\n', encoding="utf-8")

    assert texts_with_the_scheme(file) == [3]

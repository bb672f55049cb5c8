"""Regular expressions that meet foreign text, on texts made to trap them: none takes more than linear time.

The expressions are read from the source, with the method that each is called by. They run in a process of
their own, which counts processor seconds: a linear expression needs some thousandths of one for a text of
this size, a quadratic one a hundred times the limit.
"""

from __future__ import annotations

import ast
import re
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import sugar

ROOT = Path(sugar.__file__).parent
OWN = {"training", "bench", "scenes", "commands", "evaluation"}
"""Rooms that read our own texts, or files that the person at the command line chose."""
SIZE = 30_000
LIMIT = 0.4
"""Processor seconds for one text."""
PIECES = [
    *"a 1.-_[]()`<>{}\"'\\/|*\n\t\x00\u2028éÿ!:,",
    *str.split("1.·1,·a ·a\n· \n·# ·[1·[1]·![·![a]·[a](·](·```·```\n·```a\n·---\n·<a·{}·a/·user·user ", "·"),
    *str.split("user:·&#·I do not know·The answer is ·pictures/·<row_1_col_·<image·export{·**a", "·"),
    *("http://", "a.b", "do not ", "does ", "cannot "),
]


def expressions() -> list[tuple[str, str, str, str]]:
    """(file, expression, flags, method) of every constant expression in the rooms that meet foreign text."""
    found = []
    for file in sorted(ROOT.rglob("*.py")):
        if file.relative_to(ROOT).parts[0] in OWN:
            continue
        tree = ast.parse(file.read_text("utf-8"))
        compiled: dict[str, tuple[str, str]] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and _is_of_re(node.value, "compile"):
                compiled[ast.unparse(node.targets[0])] = _constant(node.value)
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            owner, method = ast.unparse(node.func.value), node.func.attr
            if owner == "re" and method not in ("compile", "escape"):
                found.append((str(file.relative_to(ROOT)), *_constant(node), method))
            elif owner in compiled and method in METHODS:
                found.append((str(file.relative_to(ROOT)), *compiled[owner], method))
    return [(file, pattern, flags, method) for file, pattern, flags, method in found if pattern]


METHODS = ("match", "search", "fullmatch", "split", "findall", "finditer", "sub", "subn")


def _is_of_re(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) == f"re.{name}"


def _constant(node: ast.Call) -> tuple[str, str]:
    """The expression and its flags; nothing for one that is put together at run time."""
    try:
        pattern = ast.literal_eval(node.args[0])
    except ValueError:
        return "", ""
    others = [ast.unparse(a) for a in [*node.args[1:], *(k.value for k in node.keywords)]]
    return pattern, "|".join(flag for flag in others if re.fullmatch(r"re[re.A-Z| ]+", flag))


def run(expression: str | bytes, flags: str, method: str, text: str) -> None:
    made: re.Pattern[Any] = re.compile(expression, eval(flags or "0", {"re": re}))
    meets: Any = text.encode() if isinstance(expression, bytes) else text
    if method in ("sub", "subn"):
        made.sub(type(meets)(), meets)
    elif method == "finditer":
        list(made.finditer(meets))
    else:
        getattr(made, method)(meets)


def work() -> None:
    """In the process of its own: say what is tried, so that the last line names a trap that never ends."""
    resource.setrlimit(resource.RLIMIT_CPU, (180, 180))
    for file, expression, flags, method in expressions():
        for piece in PIECES:
            many = piece * (SIZE // len(piece))
            for text in (many, f"a{many}\n!"):
                began = time.process_time()
                print(file, method, repr(expression), flags, repr(piece), flush=True)
                run(expression, flags, method, text)
                if time.process_time() - began > LIMIT:
                    print("TRAP", file, method, repr(expression), flags, repr(piece), flush=True)
                    break
    print("all of them", flush=True)


def test_the_expressions_are_found() -> None:
    found = expressions()
    assert len(found) > 30 and {"split", "sub", "fullmatch", "search"} <= {method for *_, method in found}


def test_no_text_traps_an_expression() -> None:
    code = "import sys; sys.path.insert(0, 'tests'); import test_expressions as t; t.work()"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT.parent, capture_output=True, text=True)
    said = done.stdout.splitlines() or [done.stderr]
    assert [line for line in said if line.startswith("TRAP")] == []
    assert said[-1] == "all of them", said[-1]

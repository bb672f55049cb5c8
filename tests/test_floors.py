"""The floors of the design, read from the imports; what the package exports.

That nothing heavy is imported early.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import sugar

ROOT = Path(sugar.__file__).resolve().parents[1]
FLOORS = {
    "errors": 0,
    "text_files": 0.4,
    "metadata": 0.45,
    "file_names": 0.4,
    "atomic": 0.1,
    "sequence": 0.5,
    "place": 0.3,
    "place_names": 1.2,
    "ocr": 1.2,
    "taken": 0.3,
    "said_dates": 0.3,
    "exif": 0.4,
    "paths": 0.4,
    "images": 0.5,
    "settings": 0.5,
    "dtw": 1,
    "metrics": 1,
    "fusion": 1,
    "search_words": 1,
    "scenes": 1,
    "everyday": 1,
    "model": 2,
    "embedder": 2.5,
    "generator": 2.5,
    "scorer": 2.5,
    "core": 3,
    "": 3,
    "gallery": 4,
    "passages": 4,
    "cluster": 4.5,
    "retrieval": 5,
    "discrimination": 5,
    "rag": 5.5,
    "training": 6,
    "services": 6.2,
    "evaluation": 6.5,
    "bench": 7,
    "ui": 7,
    "commands": 7.5,
    "__main__": 8,
    "app": 9,
}
"""Room -> floor. Halves order the rooms of one floor: rag uses retrieval, the ablation of evaluation trains,
commands call bench.
"""

ONLY = {
    "gradio": {"ui"},
    "gradio_client": {"ui"},
    "faiss": {"gallery"},
    "peft": {"model"},
    "bitsandbytes": {"model"},
    "transformers": {"model", "bench"},
    "ray": {"cluster"},
    "lance": {"cluster"},
    "fsspec": {"cluster"},
}
"""Who may know a library: one room each, and the benchmarks that measure it beside us."""

FILES = sorted([*(ROOT / "sugar").rglob("*.py"), ROOT / "app.py"])


def room(module: str) -> str:
    parts = module.split(".")
    return parts[0] if parts[0] != "sugar" else parts[1] if len(parts) > 1 else ""


def imports(file: Path) -> set[str]:
    """Modules that a file imports anywhere in it, as dotted names.

    `from sugar import rag` counts as sugar.rag.
    """
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level:
            assert node.level == 1 and len(file.relative_to(ROOT).parts) > 2, (
                f"{name_of(file)}: a relative import leaves its room"
            )
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {
                f"{node.module}.{a.name}" for a in node.names if node.module == "sugar" and a.name in FLOORS
            }
            found |= inner or {node.module}
    return found


def name_of(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_every_room_has_a_floor() -> None:
    assert {room(name_of(file)) for file in FILES} <= set(FLOORS), (
        "add the new room to the design and to FLOORS"
    )


def test_a_room_imports_only_from_below() -> None:
    wrong = []
    for file in FILES:
        own = room(name_of(file))
        for module in imports(file):
            other = room(module)
            allowed = module.split(".")[0] != "sugar" or other == own or FLOORS[other] < FLOORS[own]
            if not allowed and (own, other) != (
                "",
                "core",
            ):  # the package's own door hands out the core lazily
                wrong.append(f"{name_of(file)} imports {module}")
    assert wrong == []


def dependencies() -> dict[str, set[str]]:
    """Module -> modules of the package that it imports anywhere in its file."""
    modules = {name_of(file): file for file in FILES}
    graph: dict[str, set[str]] = {}
    for name, file in modules.items():
        package = name if file.name == "__init__.py" else name.rpartition(".")[0]
        used: set[str] = set()
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                used |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                base = ".".join(filter(None, (package if node.level else "", node.module or "")))
                used |= {f"{base}.{a.name}" if f"{base}.{a.name}" in modules else base for a in node.names}
        graph[name] = (used & set(modules)) - {name}
    return graph


def test_no_two_files_import_each_other_in_a_circle() -> None:
    graph = dependencies()
    while free := [name for name, used in graph.items() if not used & set(graph)]:
        for name in free:
            del graph[name]
    assert {name: sorted(used & set(graph)) for name, used in graph.items()} == {}, (
        "what is left holds a circle"
    )


def test_only_training_and_measuring_know_the_drawn_world() -> None:
    allowed = {"scenes", "training", "evaluation", "bench", "commands"}
    wrong = [
        f"{n}: {m}"
        for n, used in dependencies().items()
        for m in used
        if room(m) == "scenes" and room(n) not in allowed
    ]
    assert wrong == []


def test_only_the_model_s_room_asks_for_the_family() -> None:
    wrong = [str(f) for f in FILES if room(name_of(f)) != "model" and "family ==" in f.read_text("utf-8")]
    assert wrong == []


def test_libraries_stay_in_their_rooms() -> None:
    wrong = []
    for file in FILES:
        own = room(name_of(file))
        wrong += [
            f"{name_of(file)}: {m}"
            for m in imports(file)
            if m.split(".")[0] in ONLY and own not in ONLY[m.split(".")[0]]
        ]
    assert wrong == []


def test_only_images_opens_image_bytes() -> None:
    for file in FILES:
        if file.name != "images.py":
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                if (
                    isinstance(node, ast.Attribute)
                    and node.attr == "open"
                    and isinstance(node.value, ast.Name)
                ):
                    assert node.value.id not in ("Image", "PIL"), f"{name_of(file)} opens a picture by itself"


def test_exported_names() -> None:
    assert sorted(sugar.__all__) == ["Answer", "Hit", "Sample", "Slice", "Sugar", "Turn"]
    assert all(getattr(sugar, name).__module__.startswith("sugar.") for name in sugar.__all__)


def test_the_package_and_the_page_import_nothing_heavy() -> None:
    """The page answers before torch is there: neither `import sugar` nor the page's own modules may bring
    it.
    """
    code = (
        "import sys, sugar, sugar.ui, importlib\n"
        "for tab in sugar.ui.TABS: importlib.import_module('sugar.ui.' + tab)\n"
        "print(sorted({'torch', 'transformers', 'peft', 'bitsandbytes', 'faiss', 'matplotlib', 'scipy'} & "
        "set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert out.stdout.strip() == "[]", out.stdout + out.stderr


def test_no_room_without_a_name() -> None:
    for file in FILES:
        assert not {"utils", "common", "helpers", "manager", "handler"} & set(name_of(file).split("."))

"""The shape of the program (ARCHITECTURE.md, section 3), read from its syntax trees."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

pytestmark = pytest.mark.xdist_group("architecture")  # one process reads the program

PACKAGE = Path(__file__).parent.parent / "greendata"

# Outer to inner; rooms of one row are siblings, which do not import each other.
LAYERS = (
    ("cli",),
    ("jobs",),
    ("report", "execute"),
    ("plan",),
    ("policy",),
    ("recompress",),
    ("dedup", "catalog", "inventory", "shards", "runners", "footprint", "signals", "notify"),
    ("stores",),
    ("config", "progress", "sql", "web"),
    ("operating",),
    ("model", "schemas"),
    ("units",),
    ("errors",),
)
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
# Handed their connections and readers; they never reach for data themselves.
PURE_ROOMS = ("dedup", "footprint", "policy", "plan")
FORBIDDEN_TO_PURE_ROOMS = ("stores", "shards", "runners")

# Package to the modules (and what is below them) that may import it.
HOMES = {
    # dedup's kernel knows texts only; readers of JSON and CSV belong to what rewrites files.
    "numba": ("greendata.dedup.kernel", "greendata.recompress.kernel"),
    "llvmlite": ("greendata.dedup.kernel", "greendata.recompress.kernel"),
    "deltalake": ("greendata.catalog.tables",),
    "datasketch": ("greendata.dedup.lsh",),
    "click": ("greendata.cli",),
    "rich": ("greendata.cli",),
    "pydantic": (
        "greendata.config",
        "greendata.operating.model",
        "greendata.policy.model",
        "greendata.policy.document",
        "greendata.plan.document",
    ),
    "ruamel": ("greendata.config", "greendata.policy.text"),
    "sqlglot": ("greendata.policy",),
    "jinja2": ("greendata.report.html",),
    "boto3": ("greendata.stores.s3",),
    "botocore": ("greendata.stores.s3",),
    "azure": ("greendata.stores.azure",),
    "ray": ("greendata.runners.ray",),
    "requests": ("greendata.web", "greendata.stores.azure"),  # the latter only its errors
    "codecarbon": ("greendata.jobs.meters",),
    "opentelemetry": ("greendata.report.metrics_otlp",),
}
# Packages that cost start-up; a module that `greendata --help` loads imports them in functions.
HEAVY = (
    "altair",
    "azure",
    "boto3",
    "codecarbon",
    "datasketch",
    "deltalake",
    "duckdb",
    "jinja2",
    "llvmlite",
    "numba",
    "numpy",
    "opentelemetry",
    "pyarrow",
    "pydantic",
    "ray",
    "requests",
    "rich",
    "ruamel",
    "scipy",
    "sqlglot",
    "zstandard",
)
NAMES_THAT_SAY_NOTHING = ("utils", "util", "common", "helpers", "helper", "misc")
LONGEST_MODULE = 500
LONGEST_FUNCTION = 60
# The command line's error boundary, the task boundary of the threads that read, and the start of a
# cluster, where Ray raises plain exceptions.
BROAD_EXCEPT_HOMES = ("greendata.cli.boundary", "greendata.jobs.reading", "greendata.runners.ray")


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """``is_lazy``: inside a function, or for type checkers only."""

    target: str
    line: int
    is_lazy: bool
    is_for_types: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    name: str
    path: Path
    tree: ast.Module
    imports: tuple[Import, ...]

    @property
    def room(self) -> str:
        parts = self.name.split(".")
        return parts[1] if len(parts) > 1 else ""


@cache
def load_modules() -> tuple[Module, ...]:
    return tuple(load_module(path) for path in sorted(PACKAGE.rglob("*.py")))


def load_module(path: Path) -> Module:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = tuple(find_imports(tree, is_lazy=False, is_for_types=False))
    return Module(name=name, path=path, tree=tree, imports=found)


def find_imports(node: ast.AST, *, is_lazy: bool, is_for_types: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            for target in imported_names(child):
                yield Import(
                    target=target, line=child.lineno, is_lazy=is_lazy, is_for_types=is_for_types
                )
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for statement in child.body:
                holder = ast.Module(body=[statement], type_ignores=[])
                yield from find_imports(holder, is_lazy=True, is_for_types=True)
            continue
        is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from find_imports(child, is_lazy=is_lazy or is_function, is_for_types=is_for_types)


def imported_names(statement: ast.Import | ast.ImportFrom) -> list[str]:
    if isinstance(statement, ast.Import):
        return [alias.name for alias in statement.names]
    assert statement.level == 0, "imports are absolute"
    return [f"{statement.module}.{alias.name}" for alias in statement.names]


@cache
def by_name() -> dict[str, Module]:
    return {module.name: module for module in load_modules()}


def is_below(name: str, home: str) -> bool:
    return name == home or name.startswith(f"{home}.")


def room_of(target: str) -> str | None:
    """The room an import leads to; ``from greendata import x`` names the room or the API."""
    parts = target.split(".")
    if parts[0] != "greendata" or len(parts) < 2:
        return None
    return parts[1] if parts[1] in LEVEL else None


def complaints_about_direction(modules: tuple[Module, ...]) -> list[str]:
    found = []
    for module in modules:
        if module.room not in LEVEL:
            continue
        for imported in module.imports:
            room = room_of(imported.target)
            if room is None or room == module.room:
                continue
            is_inward = LEVEL[room] > LEVEL[module.room]
            is_reach = module.room in PURE_ROOMS and room in FORBIDDEN_TO_PURE_ROOMS
            if not is_inward or is_reach:
                found.append(f"{module.name}:{imported.line} imports {imported.target}")
    return found


def test_imports_point_inward_and_never_at_siblings() -> None:
    assert complaints_about_direction(load_modules()) == []


def test_direction_check_sees_outward_sibling_and_reaching_imports(tmp_path: Path) -> None:
    tree = ast.parse(
        "import greendata.jobs.scan\n"
        "from greendata.catalog import tables\n"
        "def f():\n    from greendata.stores.local import LocalStore\n"
        "from greendata.model import Dataset\n"
    )
    module = Module(
        name="greendata.dedup.bad",
        path=tmp_path,
        tree=tree,
        imports=tuple(find_imports(tree, is_lazy=False, is_for_types=False)),
    )
    assert [line.split(" imports ")[1] for line in complaints_about_direction((module,))] == [
        "greendata.jobs.scan",
        "greendata.catalog.tables",
        "greendata.stores.local.LocalStore",
    ]


def test_every_module_stands_in_a_room_of_the_design() -> None:
    outside = {"", "__main__"}  # the public API and `python -m greendata`
    assert {module.room for module in load_modules()} - outside <= set(LEVEL)


def test_no_import_cycle_when_modules_load() -> None:
    graph = {
        module.name: {
            name
            for imported in module.imports
            if not imported.is_lazy
            for name in (imported.target, imported.target.rpartition(".")[0])
            if name in by_name() and name != module.name
        }
        for module in load_modules()
    }
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, f"import cycle: {' > '.join((*path, name))}"
        if name not in done:
            for target in graph[name]:
                visit(target, (*path, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def test_each_package_has_its_home() -> None:
    found = [
        f"{module.name}:{imported.line} imports {imported.target}"
        for module in load_modules()
        for imported in module.imports
        for package, homes in HOMES.items()
        if is_below(imported.target, package)
        and not imported.is_for_types
        and not any(is_below(module.name, home) for home in homes)
    ]
    assert found == []


def modules_that_help_loads() -> set[str]:
    """What is imported, transitively and not inside functions, to show ``greendata --help``."""
    waiting = ["greendata", "greendata.cli", "greendata.cli.boundary", "greendata.cli.commands"]
    reached: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in reached:
            continue
        reached.add(name)
        for imported in by_name()[name].imports:
            if not imported.is_lazy:
                names = (imported.target, imported.target.rpartition(".")[0])
                waiting += [target for target in names if target in by_name()]
    return reached


def test_modules_that_help_loads_import_nothing_heavy() -> None:
    reached = modules_that_help_loads()
    assert "greendata.cli.scan" in reached
    found = [
        f"{name}:{imported.line} imports {imported.target}"
        for name in sorted(reached)
        for imported in by_name()[name].imports
        if not imported.is_lazy and imported.target.split(".")[0] in HEAVY
    ]
    assert found == []


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from greendata.cli.boundary import run\n"
        "code = run(['--help'])\n"
        "print(code, *sorted({name.split('.')[0] for name in sys.modules}), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    code, *loaded = done.stderr.split()
    assert code == "0"
    assert "click" in loaded
    assert set(loaded) & set(HEAVY) == set()


def test_no_module_has_a_name_that_says_nothing() -> None:
    found = [
        m.name for m in load_modules() if m.name.split(".")[-1].strip("_") in NAMES_THAT_SAY_NOTHING
    ]
    assert found == []


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines from ``def`` to the end, its docstring aside."""
    first = function.body[0]
    text = ast.get_docstring(function, clean=False)
    documented = 0 if text is None else (first.end_lineno or first.lineno) - first.lineno + 1
    return (function.end_lineno or function.lineno) - function.lineno + 1 - documented


def test_modules_and_functions_stay_readable_at_a_glance() -> None:
    found = []
    for module in load_modules():
        lines = len(module.path.read_text(encoding="utf-8").splitlines())
        if lines > LONGEST_MODULE:
            found.append(f"{module.name}: {lines} lines")
        for node in ast.walk(module.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = code_lines(node)
                if length > LONGEST_FUNCTION:
                    found.append(f"{module.name}.{node.name}: {length} lines")
    assert found == []


def is_broad(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(ast.unparse(kind) in ("Exception", "BaseException") for kind in kinds)


def test_everything_is_caught_at_the_boundaries_only() -> None:
    found = [
        f"{module.name}:{node.lineno}"
        for module in load_modules()
        if module.name not in BROAD_EXCEPT_HOMES
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ExceptHandler) and is_broad(node) and not reraises(node)
    ]
    assert found == []


def reraises(handler: ast.ExceptHandler) -> bool:
    """Cleaning up and raising the same again is no catch."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def test_program_never_asserts_on_data() -> None:
    asserts = [
        f"{module.name}:{node.lineno}"
        for module in load_modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Assert)
    ]
    assert asserts == []

"""The rooms of the package and what each may import; every import counts, also one inside a function."""

import ast
from collections.abc import Iterator, Set
from pathlib import Path

import pytest

PACKAGE = "ltro_jax"
ROOT = Path(__file__).resolve().parents[1] / PACKAGE

# Top to bottom: a room imports itself and the rooms above it.
ROOMS = (
    "process",
    "types",
    "config",
    "presets",
    "ops",
    "distributions",
    "networks",
    "envs",
    "algorithms",
    "training",
    "parallel",
    "storage",
    "analysis",
    "display",
    "runs",
    "reports",
    "export",
    "watch",
    "laboratories",
    "cli",
)
FORBIDDEN = {
    "ops": {"config", "presets"},
    "algorithms": {"envs"},
}
# The tabular games need nothing but numerics; their studies need what every study needs.
GAMES = ("laboratories", "games")
GAME_STUDIES = {"study", "reports", "tables", "plots", "rates"}
MAX_LINES = 320


def room_of(relative: Path) -> str:
    """The room of a file; the games are one of their own."""
    parts = relative.with_suffix("").parts
    return "games" if parts[:2] == GAMES and parts[-1] not in GAME_STUDIES else parts[0]


def allowed_rooms(room: str) -> Set[str]:
    if room == "games":
        return {"types", "ops", "laboratories"}
    return set(ROOMS[: ROOMS.index(room) + 1]) - FORBIDDEN.get(room, set())


def module_name(root: Path, path: Path) -> tuple[str, ...]:
    """`root/ops/gae.py` → `(ltro_jax, ops, gae)`; an `__init__.py` is named after its folder."""
    parts = path.relative_to(root).with_suffix("").parts
    return (PACKAGE, *(parts[:-1] if parts[-1] == "__init__" else parts))


def imported_modules(tree: ast.AST, package: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """Line and absolute dotted name of everything imported; `package` is where relative imports start."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            base = (*base, *node.module.split(".")) if node.module else base
            for alias in node.names:
                yield node.lineno, ".".join((*base, alias.name))
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            function = ast.unparse(node.func).split(".")[-1]
            target = node.args[0].value
            if function in ("import_module", "__import__") and isinstance(target, str):
                level = len(target) - len(target.lstrip("."))
                base = package[: len(package) - level + 1] if level else ()
                yield node.lineno, ".".join((*base, target.lstrip(".")))


def range_of_repr_html(tree: ast.AST) -> Iterator[int]:
    """Lines of the methods `_repr_html_`, in which a class of any room may import `display`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == "_repr_html_" and node.end_lineno:
            yield from range(node.lineno, node.end_lineno + 1)


def import_faults(root: Path, path: Path, room: str) -> Iterator[str]:
    module = module_name(root, path)
    package = module if path.name == "__init__.py" else module[:-1]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    shown = set(range_of_repr_html(tree))
    for line, name in imported_modules(tree, package):
        parts = name.split(".")
        if parts[0] != PACKAGE:
            continue
        target = parts[1] if len(parts) > 1 else ""
        if target == "display" and line in shown:
            continue
        where = f"{path.relative_to(root)}:{line}"
        if target not in ROOMS:
            yield f"{where}: {room} imports the public surface ({name})"
        elif target not in allowed_rooms(room):
            yield f"{where}: back edge, {room} imports {target} ({name})"


def faults(root: Path) -> list[str]:
    """Everything in the tree that breaks a rule, one sentence each."""
    found = []
    for path in sorted(root.rglob("*.py")):
        relative = path.relative_to(root)
        num_lines = len(path.read_text(encoding="utf-8").splitlines())
        if num_lines > MAX_LINES:
            found.append(f"{relative}: {num_lines} lines, more than {MAX_LINES}: split it by noun")
        if "utils" in relative.with_suffix("").parts:
            found.append(f"{relative}: utils.py names nothing, name it after what it holds")
        if relative == Path("__init__.py"):
            continue  # the surface may import any room
        room = room_of(relative)
        if room in (*ROOMS, "games"):
            found.extend(import_faults(root, path, room))
        else:
            found.append(f"{relative}: unknown room {room}")
    return found


def write_tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def test_the_package_keeps_its_layers():
    assert ROOT.is_dir()
    assert faults(ROOT) == []


def test_a_good_tree_has_no_faults(tmp_path):
    tree = write_tree(
        tmp_path / PACKAGE,
        {
            "__init__.py": "from ltro_jax.runs import train\nfrom .cli import main",
            "types.py": "import jax",
            "ops/__init__.py": "from . import gae\nfrom ltro_jax.ops.gae import f",
            "ops/gae.py": "from ..types import Batch\nfrom ltro_jax import types",
            "laboratories/games/games.py": "import ltro_jax.ops.gae as gae",
            "laboratories/games/study.py": "from ltro_jax import analysis, config",
            "algorithms/base.py": "from ltro_jax import config, networks",
            "runs/train.py": "from ltro_jax.training.iteration import iteration\nimport ltro_jax.analysis",
            "config/config.py": "class Config:\n    def _repr_html_(self):\n        from ltro_jax.display import f",
            "cli/main.py": "def f():\n    from ltro_jax.runs.train import train\n",
        },
    )
    assert faults(tree) == []


@pytest.mark.parametrize(
    "name, text, expected",
    [
        ("types.py", "import ltro_jax.ops.gae", "back edge, types imports ops"),
        ("config.py", "from ltro_jax import cli", "back edge, config imports cli"),
        ("ops/gae.py", "from ltro_jax.config import Settings", "back edge, ops imports config"),
        ("ops/gae.py", "from .. import presets", "back edge, ops imports presets"),
        ("ops/deep/gae.py", "from ...config import Settings", "back edge, ops imports config"),
        ("ops/__init__.py", "from ..networks import actor", "back edge, ops imports networks"),
        ("algorithms/base.py", "from ltro_jax.envs import base", "back edge, algorithms imports envs"),
        ("laboratories/games/nash.py", "from ltro_jax import config", "back edge, games imports config"),
        ("laboratories/games/nash.py", "from ltro_jax.envs import base", "back edge, games imports envs"),
        ("envs/mpe.py", "def f():\n    import ltro_jax.runs", "back edge, envs imports runs"),
        ("envs/mpe.py", "import_module('ltro_jax.runs.train')", "back edge, envs imports runs"),
        ("envs/mpe.py", "importlib.import_module('..runs', __package__)", "back edge, envs imports runs"),
        ("envs/mpe.py", "if TYPE_CHECKING:\n    from ..runs import x", "back edge, envs imports runs"),
        ("config.py", "def f():\n    from ltro_jax.display import g", "back edge, config imports display"),
        ("config.py", "def _repr_html_():\n    from ltro_jax import runs", "back edge, config imports runs"),
        ("runs/train.py", "import ltro_jax", "runs imports the public surface"),
        ("runs/train.py", "from ltro_jax import train", "runs imports the public surface"),
        ("models/actor.py", "", "unknown room models"),
        ("helpers.py", "", "unknown room helpers"),
        ("ops/utils.py", "", "utils.py names nothing"),
        ("ops/gae.py", "\n" * (MAX_LINES + 1), f"{MAX_LINES + 1} lines, more than {MAX_LINES}"),
    ],
)
def test_each_breach_is_found(tmp_path, name, text, expected):
    found = faults(write_tree(tmp_path / PACKAGE, {name: text}))
    assert len(found) == 1
    assert found[0].startswith(name)
    assert expected in found[0]

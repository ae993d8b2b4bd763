"""Rules about the source tree that a machine can check."""

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("app", "diagnostics", "cohorts", "models", "engine")
MAY_IMPORT = {
    "app": {"app", "diagnostics", "cohorts", "models", "engine"},
    "diagnostics": {"diagnostics", "cohorts", "engine"},
    "cohorts": {"cohorts", "engine"},
    "models": {"models", "engine"},
    "engine": {"engine"},
}
MAY_TOUCH_DISK = (
    "engine/io/",
    "cohorts/manifest.py",
    "cohorts/store/",
    "models/onnx_export.py",
    "models/registry.py",
    "models/writing.py",
    "diagnostics/report_io.py",
    "app/",
    # A network reaches the engine only as a file whose hash is checked.
    "engine/segmentation/network_files.py",
    # Feature tables are what cohorts exchange with the world.
    "cohorts/tables.py",
    "cohorts/text_table.py",
    # Training reads recipes and examples and writes checkpoints and its log.
    "models/classifier_int8.py",
    "models/classifier_training.py",
    "models/reference_fitting.py",
    "models/classifier_writing.py",
    "models/mitochondrion_boxes.py",
    "models/patches.py",
    "models/recipe.py",
    "models/training.py",
    "models/training_pool.py",
    "models/pseudo_export.py",
    "models/pseudo_training.py",
    # Reads what ships inside the package, nothing of the user's.
    "diagnostics/packaged.py",
)
# The benchmark counts a network's operations layer by layer.
NETWORK_CODE = ("models/", "app/bench/")
DISK_CALLS = {
    "open",
    "read_text",
    "read_bytes",
    "write_text",
    "write_bytes",
    "mkdir",
    "unlink",
    "rmdir",
    "rmtree",
    "iterdir",
    "read_csv",
    "to_csv",
    "read_parquet",
    "to_parquet",
    "savez",
    "savez_compressed",
    "open_memmap",
}


def source_files(package):
    return sorted(path for path in (ROOT / package).rglob("*.py") if path.is_file())


ALL_FILES = [path for package in PACKAGES for path in source_files(package)]


def name_of(path):
    return path.relative_to(ROOT).as_posix()


def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imports_of(tree):
    """Pairs of (full module name, whether the import stands inside a function)."""
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) in inside
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            for alias in node.names:
                yield f"{module}.{alias.name}", id(node) in inside


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_point_one_way_only(package):
    wrong = [
        f"{name_of(path)}: {module}"
        for path in source_files(package)
        for module, _ in imports_of(tree_of(path))
        if (top := module.split(".")[0]) in {*PACKAGES, "tests"} and top not in MAY_IMPORT[package]
    ]
    assert wrong == []


def test_imports_are_absolute():
    wrong = [
        name_of(path)
        for path in ALL_FILES
        if any(module.startswith(".") for module, _ in imports_of(tree_of(path)))
    ]
    assert wrong == []


@pytest.mark.parametrize("package", ["engine", "models", "cohorts", "diagnostics"])
def test_our_packages_are_not_imported_inside_functions(package):
    wrong = [
        f"{name_of(path)}: {module}"
        for path in source_files(package)
        for module, inside in imports_of(tree_of(path))
        if inside and module.split(".")[0] in PACKAGES
    ]
    assert wrong == []


def test_networks_and_training_live_in_models_alone():
    wrong = [
        f"{name_of(path)}: {module}"
        for path in ALL_FILES
        if not name_of(path).startswith(NETWORK_CODE)
        for module, _ in imports_of(tree_of(path))
        if f"{module}.".startswith(("torch.nn.", "torch.optim."))
        if not f"{module}.".startswith("torch.nn.functional.")
    ]
    assert wrong == []


def test_only_app_imports_streamlit_and_typer():
    wrong = [
        f"{name_of(path)}: {module}"
        for path in ALL_FILES
        if not name_of(path).startswith("app/")
        for module, _ in imports_of(tree_of(path))
        if module.split(".")[0] in {"streamlit", "typer"}
    ]
    assert wrong == []


def test_the_list_of_packages_is_the_tree():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found = {
        path.parent.relative_to(ROOT).as_posix().replace("/", ".")
        for path in ALL_FILES
        if path.name == "__init__.py"
    }
    assert set(listed["tool"]["setuptools"]["packages"]) == found


def test_every_folder_with_code_is_a_package():
    folders = {path.parent for path in ALL_FILES}
    assert [name_of(folder) for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_test_folders_are_packages():
    folders = {path.parent for path in (ROOT / "tests").rglob("test_*.py")}
    assert [name_of(folder) for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_every_module_says_what_it_holds():
    silent = [
        name_of(path)
        for path in ALL_FILES
        if not path.name.startswith("_") or path.name == "__init__.py"
        if not (ast.get_docstring(tree_of(path)) or "").strip()
    ]
    assert silent == []


def test_no_file_is_named_after_nothing():
    vague = {"utils.py", "util.py", "helpers.py", "common.py", "misc.py", "utilities.py"}
    assert [name_of(path) for path in ALL_FILES if path.name in vague] == []


def test_disk_is_touched_at_the_border_only():
    wrong = [
        f"{name_of(path)}:{node.lineno}: {called}"
        for path in ALL_FILES
        if not name_of(path).startswith(MAY_TOUCH_DISK)
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call)
        if (called := called_name(node)) in DISK_CALLS
    ]
    assert wrong == []


def called_name(call):
    function = call.func
    if isinstance(function, ast.Name):
        return function.id if function.id == "open" else None
    return function.attr if isinstance(function, ast.Attribute) else None


def test_only_the_job_loop_swallows_everything():
    wrong = [
        f"{name_of(path)}:{node.lineno}"
        for path in ALL_FILES
        if name_of(path) != "app/jobs.py"
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ExceptHandler)
        if catches_everything(node) and not is_bare_raise(node.body[-1])
    ]
    assert wrong == []


def catches_everything(handler):
    names = {
        node.id
        for node in ast.walk(handler.type or ast.Name("Exception"))
        if isinstance(node, ast.Name)
    }
    return bool(names & {"Exception", "BaseException"})


def is_bare_raise(statement):
    """Tidying up before passing the failure on is not swallowing it."""
    return isinstance(statement, ast.Raise) and statement.exc is None

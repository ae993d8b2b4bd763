"""The command itself: every subcommand is found, and others' imports are not waited for."""

import subprocess
import sys

import pytest
from typer.main import get_command

from app.cli import COMMAND_FILES, build_cli, run


def test_the_help_lists_every_command():
    assert set(get_command(build_cli([])).commands) == set(COMMAND_FILES)


@pytest.mark.parametrize("name", COMMAND_FILES)
def test_each_command_is_registered_by_its_file(name):
    assert name in get_command(build_cli(["--json", name])).commands


def test_an_unknown_command_is_named(capsys):
    assert run(["mach", "x.mrc"]) == 2
    assert "mach" in capsys.readouterr().err


def test_matching_does_not_load_the_cohort_s_libraries():
    script = (
        "import sys; from app.cli import build_cli; build_cli(['match']); "
        "print(sorted({'pandas', 'sklearn', 'matplotlib', 'torch'} & set(sys.modules)))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == "[]"

"""`tomodx serve` refuses what cannot work, in one line."""

import socket
import subprocess
import sys

import pytest

from app.cli import run
from app.commands.serve import data_folder, host_names, stop_process
from engine.errors import MissingFileError


def test_a_taken_port_is_refused_with_status_2(tmp_path, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        arguments = ["--store", str(tmp_path / "s.sqlite"), "serve", "--port", str(port)]
        assert run([*arguments, "--data-root", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("tomodx: error: cannot listen on 127.0.0.1 port")
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "s.sqlite").exists()


def test_a_data_root_that_is_no_folder_is_refused(tmp_path, capsys):
    assert run(["serve", "--data-root", str(tmp_path / "none")]) == 2
    assert "--data-root" in capsys.readouterr().err


def test_the_default_data_folder_is_made(tmp_path, monkeypatch):
    monkeypatch.setenv("TOMODX_HOME", str(tmp_path / "home"))
    assert data_folder(None) == tmp_path / "home" / "data"
    assert (tmp_path / "home" / "data").is_dir()
    with pytest.raises(MissingFileError):
        data_folder(tmp_path / "none")


def test_further_host_names_are_added_in_lower_case():
    assert {"127.0.0.1", "localhost", "lab-pc"} <= host_names("127.0.0.1", ["Lab-PC"])


def test_a_process_is_stopped_with_its_children():
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        start_new_session=True,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.PIPE,
    ) as process:
        stop_process(process)
        assert process.poll() is not None
        process.stdin.close()

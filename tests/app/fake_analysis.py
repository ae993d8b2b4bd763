"""Stands in for the analysis of a tomogram: writes a file, notes the call, takes its time."""

import json
import os
import time
from pathlib import Path

import numpy as np

from app.method import AnalysisMethod
from engine.data.labels import InstanceVolume, LabelVolume
from engine.data.measurements import Measurement, OrganelleMeasurements, TomogramAnalysis
from engine.data.provenance import FileDigest, Provenance
from engine.errors import BadInputError
from engine.io.digests import fresh_folder

CALLS = "calls.txt"


def note(folder: Path, line: str) -> None:
    with (folder / CALLS).open("a") as stream:
        stream.write(f"{line} {os.getpid()}\n")


def calls(folder: Path, word: str) -> list[str]:
    path = folder / CALLS
    lines = path.read_text().splitlines() if path.exists() else []
    return sorted(line.split()[1] for line in lines if line.startswith(word + " "))


def analyse(path, out_folder, *, voxel_size_angst=None, contrast="auto", tilt_range=None,
            device="auto", on_progress=None):  # fmt: skip
    note(path.parent, f"began {path.stem}")
    if path.read_bytes().startswith(b"bad"):
        raise BadInputError(f"{path.name}: not a volume")
    for step in range(10):
        time.sleep(float(os.environ.get("FAKE_SECONDS", "0")) / 10)
        if on_progress is not None:
            on_progress(step / 10)
    with fresh_folder(out_folder) as folder:
        (folder / "measurements.json").write_text(json.dumps({"path": path.name}))
    note(path.parent, f"ended {path.stem}")
    return result(path.stem, count=float(len(path.stem)))


def result(tomogram_id, count=1.0):
    empty = np.zeros((2, 2, 2), dtype=np.uint8)
    values = {"mitochondria_count": Measurement(count, "1", count, count, int(count))}
    return TomogramAnalysis(
        labels=LabelVolume(empty, 20.0),
        instances=InstanceVolume(empty.astype(np.uint16), 20.0, ()),
        filaments=(),
        measurements=OrganelleMeasurements(tomogram_id, values, (), Provenance("0", "0" * 64)),
    )


def method(parameters=None, model="0" * 64):
    return AnalysisMethod(analyse, parameters or {"a": 1}, (FileDigest("m.onnx", model),))

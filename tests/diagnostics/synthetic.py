"""A clearly synthetic cohort and case: drawn numbers, no tomogram, no patient."""

import io
from functools import cache

import numpy as np
import pandas as pd
from PIL import Image

from cohorts.tables import FeatureTable
from diagnostics.case import case_features
from diagnostics.features.table import FEATURES
from diagnostics.locked_model import lock_model
from diagnostics.panels import panel_named
from diagnostics.reference import reference_from_table
from diagnostics.report import build_report
from diagnostics.report_values import KeyImage, TomogramEvidence, TracedFilament
from engine.data.measurements import Measurement, OrganelleMeasurements, QualityFlag
from engine.data.organelles import Organelle
from engine.data.provenance import FileDigest, Provenance

GROUPS = (("cancer", 12), ("benign", 5), ("healthy", 6))


@cache
def pixel():
    stream = io.BytesIO()
    Image.new("L", (2, 2), 128).save(stream, format="PNG")
    return stream.getvalue()


@cache
def table(n_tomograms=5):
    rng = np.random.default_rng(3)
    rows = []
    for group, n_donors in GROUPS:
        ill = group == "cancer"
        for donor in range(n_donors):
            count, length = rng.gamma(9, 0.27) * (1.9 if ill else 1.0), rng.normal(9e3, 1.5e3)
            length *= 0.6 if ill else 1.0
            for tomogram in range(n_tomograms):
                name = f"{group}-{donor + 1:02d}"
                row = {"donor": name, "group": group, "tomogram": f"{name}-{tomogram + 1}"}
                row |= {feature.name: float(rng.uniform(0.4, 0.6)) for feature in FEATURES}
                row["mitochondria_count"] = float(rng.poisson(count))
                row["microtubule_length_total_nm"] = max(500.0, float(rng.normal(length, 900)))
                rows.append(row)
    return FeatureTable(pd.DataFrame(rows), tuple(feature.name for feature in FEATURES))


@cache
def reference(simulated=True):
    return reference_from_table(
        "synthetic",
        table(),
        description="Numbers drawn for tests.",
        assumptions=("Everything.",),
        simulated=simulated,
    )


@cache
def model():
    return lock_model(table(), panel_named("platelet"), simulated=True)


def measurements(number, count=5.0, length=5600.0, missing=(), flags=(), simulated=True):
    values = {feature.name: measured(0.5, feature.unit, 0.05) for feature in FEATURES}
    values["mitochondria_count"] = measured(count, "1", 1.0)
    values["microtubule_length_total_nm"] = measured(length, "nm", 300.0)
    for name, reason in missing:
        values[name] = Measurement(None, values[name].unit, None, None, 0, reason)
    provenance = Provenance(
        "0.1.0",
        "a" * 64,
        (FileDigest(f"t{number}.mrc", "b" * 64),),
        (FileDigest("coarse/model.onnx", "c" * 64),),
        None,
        simulated,
    )
    return OrganelleMeasurements(f"T-{number}", values, tuple(flags), provenance)


def measured(value, unit, half_width):
    return Measurement(value, unit, max(0.0, value - half_width), value + half_width, 3)


def case(donor="CASE-1", **changes):
    tomograms = [
        measurements(number, count=5.0 + number, length=5600.0 + 200 * number, **changes)
        for number in (1, 2, 3)
    ]
    return case_features(donor, tomograms)


def evidence(name="T-1"):
    organelles = (
        Organelle(1, "mitochondrion", 0.03, 0.5, 0.8, (500.0, 1000.0, 2000.0), True, 0.9),
        Organelle(2, "vesicle", 0.001, 0.1, 0.9, (400.0, 100.0, 200.0), False, 0.7),
    )
    filaments = tuple(
        TracedFilament(number, 900.0 - number, number == 1, False, 0.8) for number in range(1, 15)
    )
    image = KeyImage(pixel(), "image/png", f"Slice of {name}", f"Slice with outlines of {name}")
    return TomogramEvidence(name, (("Voxel", "2.5 nm"),), organelles, filaments, (image,))


@cache
def report():
    return build_report(case(), reference(), model(), [evidence("T-2"), evidence("T-1")])


WARNING = QualityFlag("warning", "thin", "specimen is thin")

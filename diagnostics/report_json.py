"""The report as JSON: every value that the printed report shows, images by their hash."""

import hashlib
import json
from dataclasses import asdict
from typing import Any

from diagnostics.locked_model import LockedModel
from diagnostics.report_values import CaseReport, MeasuredFeature, TomogramEvidence


def report_json(report: CaseReport) -> str:
    """One JSON object; the same report gives the same text."""
    content: dict[str, Any] = {
        "format": "tomodx case report 1",
        "banners": list(report.banners),
        "donor": report.donor,
        "date": report.date,
        "simulated": {"case": report.simulated_case, "reference": report.simulated_reference},
        "headline": asdict(report.headline),
        "panel": asdict(report.panel),
        "prediction": asdict(report.prediction),
        "features": {row.feature.name: _feature(row) for row in report.features},
        "not_assessable": dict(report.not_assessable),
        "flags": [asdict(flag) for flag in report.flags],
        "evidence": [_evidence(item) for item in report.evidence],
        "reference": {
            "name": report.reference_name,
            "description": report.reference_description,
            "assumptions": list(report.reference_assumptions),
            "sha256": report.reference_sha256,
            "groups": [asdict(group) for group in report.reference_groups],
        },
        "model": _model(report.model),
        "methods": list(report.methods),
        "limits": list(report.limits),
        "versions": {
            "tomodx": report.software_version,
            "tomograms": {name: asdict(origin) for name, origin in report.provenances},
        },
    }
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _feature(row: MeasuredFeature) -> dict[str, Any]:
    return {
        "label": row.feature.label,
        "definition": row.feature.definition,
        "role": row.role,
        **asdict(row.measured),
        "remark": row.remark,
        "reference_range": asdict(row.reference),
        "single_case": None if row.single_case is None else asdict(row.single_case),
        "tomograms": {name: asdict(measured) for name, measured in row.per_tomogram},
        "cohort": {group: list(values) for group, values in row.cohort},
    }


def _evidence(item: TomogramEvidence) -> dict[str, Any]:
    return {
        "tomogram": item.tomogram_id,
        "facts": dict(item.facts),
        "organelles": [asdict(organelle) for organelle in item.organelles],
        "filaments": [asdict(filament) for filament in item.filaments],
        "images": [
            {
                "caption": image.caption,
                "alt": image.alt,
                "sha256": hashlib.sha256(image.content).hexdigest(),
            }
            for image in item.images
        ],
    }


def _model(model: LockedModel) -> dict[str, Any]:
    return {
        "panel": model.panel,
        "panel_version": model.panel_version,
        "classifier": model.classifier.to_state(),
        "features": list(model.features),
        "threshold": model.threshold,
        "n_donors": model.n_donors,
        "sha256": model.sha256,
        "training_sha256": model.training_sha256,
        "validation": asdict(model.validation),
    }

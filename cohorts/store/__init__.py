"""The ledger of donors, tomograms, steps, results, reports and jobs in a relational database."""

from cohorts.store.rows import (
    ArtifactRow,
    DonorRow,
    Job,
    ReportRow,
    StepClaim,
    StepRow,
    TomogramRow,
)
from cohorts.store.store import Store, open_store

__all__ = [
    "ArtifactRow",
    "DonorRow",
    "Job",
    "ReportRow",
    "StepClaim",
    "StepRow",
    "Store",
    "TomogramRow",
    "open_store",
]

"""Identity of the feature table that a model was locked on."""

import hashlib

from cohorts.tables import FeatureTable, csv_text
from diagnostics.features.table import FEATURES_BY_NAME


def table_sha256(table: FeatureTable) -> str:
    """SHA-256 of donors, groups, tomograms and known features, whatever the order of the file."""
    names = sorted(name for name in table.features if name in FEATURES_BY_NAME)
    keys = [table.donor_column]
    keys += [name for name in ("tomogram",) if name in table.frame.columns]
    frame = table.frame[[*keys, table.label_column, *names]].sort_values(keys, kind="stable")
    return hashlib.sha256(csv_text(frame).encode()).hexdigest()

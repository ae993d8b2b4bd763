"""Donors, manifests and measurements that tests make up."""

from pathlib import Path

from cohorts.manifest import COLUMNS
from cohorts.records import Cohort, DonorRecord, TomogramRecord
from cohorts.store import open_store
from engine.data.measurements import Measurement, OrganelleMeasurements, QualityFlag
from engine.data.provenance import FileDigest, Provenance


def fresh_store(folder: Path):
    return open_store(f"sqlite:///{folder / 'store.sqlite'}")


def small_cohort(folder: Path, n_donors=2, n_tomograms=2) -> Cohort:
    donors, tomograms = [], []
    for i in range(n_donors):
        name = f"D{i:02d}"
        donors.append(DonorRecord(name, "cancer" if i % 2 else "healthy", "A", {"age_years": 60.0}))
        for k in range(n_tomograms):
            path = folder / f"{name}_t{k}.mrc"
            path.write_bytes(f"{name} {k}".encode())
            tomograms.append(TomogramRecord(path.stem, name, path, 20.0, -60.0, 60.0))
    return Cohort(tuple(donors), tuple(tomograms))


def measured(tomogram_id: str, count: float = 3.0, simulated: bool = False):
    values = {
        "mitochondria_count": Measurement(count, "1", count, count, int(count)),
        "microtubule_length_total_nm": Measurement(None, "nm", None, None, 0, "no microtubule"),
    }
    provenance = Provenance(
        "0.1.0", "ab" * 32, (FileDigest("t.mrc", "cd" * 32),), (FileDigest("m", "ef" * 32),),
        seed=7, simulated=simulated,
    )  # fmt: skip
    flags = (QualityFlag("warning", "thin", "The specimen is thin."),)
    return OrganelleMeasurements(tomogram_id, values, flags, provenance)


def manifest_rows(folder: Path, n_donors=2, n_tomograms=2) -> list[dict[str, str]]:
    rows = []
    for i in range(n_donors):
        for k in range(n_tomograms):
            path = folder / f"D{i}" / f"t{k}.mrc"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(b"x")
            values = (f"D{i}", "cancer", "A", f"D{i}/t{k}.mrc", "20.0", "-60", "60", "dark")
            rows.append(dict(zip(COLUMNS, values, strict=True)))
    return rows


def write_manifest(folder: Path, rows: list[dict[str, str]], columns=None) -> Path:
    columns = columns or list(dict.fromkeys(name for row in rows for name in row)) or list(COLUMNS)
    lines = [",".join(columns)] + [",".join(row.get(name, "") for name in columns) for row in rows]
    path = folder / "manifest.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path

"""A reader's corrections on the case page: a form, what has been said, counts before and after."""

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import get_args

import streamlit as st

from app import markup
from app.correcting import CorrectedAnalysis, correct_analysis, log_of, place_of, said_of
from engine.data.organelles import Organelle
from engine.errors import PipelineError
from engine.segmentation.corrections import IDS_NEEDED, Correction, Kind

KIND_WORDS: dict[Kind, str] = {
    "accept": "Accept: it is what it is said to be",
    "reject": "Reject: it is none",
    "merge": "Merge two that are one",
    "split": "Split one that is several",
}
SPLIT_HELP = (
    "A place in each part as Z,Y,X in nanometre, one a line. The viewer shows the place of its "
    "crosshair, as x, y, z."
)


def show_correction_panel(analysis: Path) -> None:
    """Let a reader accept, reject, merge and split instances; the automatic result stays."""
    found = _found(analysis)
    if found is None:
        return
    count = f" ({found.n_corrections})" if found.n_corrections else ""
    with st.expander(f"A reader's corrections{count}", expanded=found.n_corrections > 0):
        form, log = st.columns([4, 5], gap="large")
        with form:
            _show_form(analysis, found.organelles)
        with log:
            st.html(counts_table(found.counts) + log_table(found.corrections))


def _found(analysis: Path) -> CorrectedAnalysis | None:
    """What has been said so far; None, and a word why, where that cannot be read."""
    log = log_of(analysis)
    files = [path.stat().st_mtime_ns if path.is_file() else 0 for path in (analysis, log)]
    try:
        return _said(str(analysis), tuple(files))
    except PipelineError as error:
        st.error(str(error))
        return None


@st.cache_data(max_entries=16, show_spinner=False)
def _said(analysis: str, changed: tuple[int, ...]) -> CorrectedAnalysis:
    """`said_of`, anew only when `changed` (times of analysis and log) differs: volumes are big."""
    return said_of(Path(analysis))


def _show_form(analysis: Path, organelles: Sequence[Organelle]) -> None:
    if not organelles:
        st.html('<p class="tdx-quiet">There is no instance to correct.</p>')
        return
    key = analysis.name
    kind = st.selectbox(
        "What", get_args(Kind), format_func=lambda one: KIND_WORDS[one], key=f"correct-kind-{key}"
    )
    names = {one.instance_id: name_of(one) for one in organelles}
    chosen = st.multiselect(
        "Instance" if IDS_NEEDED[kind] == 1 else "Instances",
        list(names),
        format_func=lambda number: names[number],
        max_selections=IDS_NEEDED[kind],
        key=f"correct-ids-{key}-{kind}",
    )
    places = ""
    if kind == "split":
        places = st.text_area("Places", help=SPLIT_HELP, height=80, key=f"correct-at-{key}")
    reason = st.text_input("Reason", key=f"correct-reason-{key}")
    reader = st.text_input("Reader (pseudonym)", key=f"correct-reader-{key}")
    if st.button("Add", key=f"correct-add-{key}"):
        if not reader.strip():
            st.error("Reader: give a pseudonym.")
            return
        try:
            new = Correction(
                kind=kind,
                instance_ids=tuple(chosen),
                reason=reason,
                reader=reader,
                when=datetime.now(UTC).isoformat(timespec="seconds"),
                seeds_nm=tuple(place_of(line) for line in places.splitlines() if line.strip()),
            )
            with st.spinner("Counting anew"):
                correct_analysis(analysis, new)
        except PipelineError as error:
            st.error(str(error))
        else:
            st.rerun()


def name_of(organelle: Organelle) -> str:
    """Class, number, volume: what a reader tells instances apart by."""
    name = organelle.organelle_class.replace("_", " ")
    return f"{name} {organelle.instance_id} ({organelle.volume_um3:.3f} µm³)"


def counts_table(counts: dict[str, tuple[int, int]]) -> str:
    """HTML table of the counts of each class, automatic and corrected."""
    rows = [
        [escape(name.replace("_", " ")), str(before), str(after)]
        for name, (before, after) in counts.items()
        if before or after
    ]
    return (
        markup.table(["Class", "Automatic", "Corrected"], rows)
        + '<p class="tdx-quiet">The report and the cohort keep the automatic counts.</p>'
    )


def log_table(corrections: Sequence[Correction]) -> str:
    """HTML table of the corrections, newest first."""
    if not corrections:
        return '<p class="tdx-quiet">No corrections yet.</p>'
    rows = [
        [
            one.kind,
            ", ".join(str(number) for number in one.instance_ids),
            escape(one.reason),
            escape(one.reader),
            escape(one.when[:16].replace("T", " ")),
        ]
        for one in reversed(corrections)
    ]
    return markup.table(["What", "Instance", "Why", "Reader", "When (UTC)"], rows)

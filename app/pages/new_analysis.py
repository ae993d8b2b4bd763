"""New analysis: choose a tomogram, see what speaks against it, queue it, follow the jobs."""

import streamlit as st

from app import markup
from app.frame import SIMULATED, show_empty, show_title
from app.job_panel import show_jobs, show_worker_hint
from app.new_analysis import (
    CHECKED_AT_ONCE_BYTES,
    Wish,
    check_file,
    list_data_files,
    queue_analysis,
    wish_faults,
)
from app.web_site import current_site, current_store
from engine.errors import PipelineError

CONTRASTS = {"auto": "Estimate from the file", "dark": "Protein dark", "bright": "Protein bright"}
NEW_DONOR = "New donor"

site, store = current_site(), current_store()
root = site.data_root
show_title("New analysis", "Choose a tomogram, check it, and queue it for the worker.")
form, side = st.columns([5, 4], gap="large")


@st.cache_data(max_entries=64, show_spinner="Checking the file", scope="session")
def checked(wish: Wish, n_bytes: int) -> tuple[str, list]:
    """Findings of one file with the settings given, as HTML facts and flags."""
    found = check_file(root, wish)
    pairs = []
    if found.shape is not None:
        z, y, x = found.shape
        pairs.append(("Size", f"{x} × {y} × {z} voxels (x, y, z)"))
    if found.voxel_size_angst is not None:
        pairs.append(("Voxel size", f"{found.voxel_size_angst:.2f} Å"))
    if found.contrast is not None:
        pairs.append(("Protein in the file", found.contrast))
    if found.memory_gb is not None and found.time_s is not None:
        minutes = found.time_s / 60
        pairs.append(("Needs", f"about {found.memory_gb:.1f} GB memory, {minutes:.1f} minutes"))
    return markup.facts(pairs), [*found.findings]


with form:
    files = list_data_files(root)
    if not files:
        show_empty(
            "No tomogram in the data folder",
            f"Put MRC files (.mrc, .rec, .map) into {root}, or start with another folder:",
            "tomodx serve --data-root FOLDER",
        )
    else:
        by_name = {file.name: file for file in files}
        name = st.selectbox(
            "Tomogram",
            list(by_name),
            index=None,
            placeholder="Choose or type a part of the name",
            format_func=lambda key: by_name[key].label,
            help=f"Files in {root} and its folders",
            key="file",
        )
        known = [row.donor for row in store.donors()]
        left, right = st.columns(2)
        choice = left.selectbox("Donor", [NEW_DONOR, *known], key="known_donor")
        donor = choice
        if choice == NEW_DONOR:
            donor = right.text_input("Pseudonym of the new donor", key="new_donor").strip()
        st.caption("Acquisition: leave empty what the file's header says rightly.")
        size, sign, low, high = st.columns([2, 2.4, 1.5, 1.5])
        wish = Wish(
            name=name or "",
            donor=donor,
            voxel_size_angst=size.number_input(
                "Voxel size (Å)", value=None, placeholder="header", step=0.1, key="voxel"
            ),
            contrast=sign.selectbox(
                "Contrast", list(CONTRASTS), format_func=CONTRASTS.get, key="contrast"
            ),
            tilt_min_deg=low.number_input(
                "Tilt from (°)", value=None, placeholder="unknown", step=1.0, key="tilt_min"
            ),
            tilt_max_deg=high.number_input(
                "to (°)", value=None, placeholder="unknown", step=1.0, key="tilt_max"
            ),
            report=st.checkbox("Make the report afterwards", value=True, key="report"),
        )
        faults = wish_faults(wish)
        is_usable = False
        if name is not None:
            file = by_name[name]
            is_small = file.n_bytes <= CHECKED_AT_ONCE_BYTES
            acquisition = [fault for fault in faults if not fault.startswith("Donor")]
            if acquisition:
                st.html(markup.bullet_list(acquisition))
            elif is_small or st.toggle(f"Check the file (reads {file.n_bytes / 1e9:.1f} GB)"):
                neutral = Wish(
                    wish.name,
                    "",
                    wish.voxel_size_angst,
                    wish.contrast,
                    wish.tilt_min_deg,
                    wish.tilt_max_deg,
                )
                try:
                    facts, findings = checked(neutral, file.n_bytes)
                    is_usable = all(flag.level != "error" for flag in findings)
                    if any(flag.code == "simulated" for flag in findings):
                        st.html(f'<span class="tdx-simulated">{SIMULATED}</span>')
                    st.html(facts + markup.flag_list(findings))
                except PipelineError as error:
                    st.html(markup.bullet_list([str(error)]))
            else:
                is_usable = True
        if st.button(
            "Queue analysis", type="primary", disabled=name is None or not is_usable, key="queue"
        ):
            if faults:
                st.html(markup.bullet_list(faults))
            else:
                number = queue_analysis(store, root, wish)
                st.toast(f"Job {number} queued: {name}")

with side:
    st.html('<div class="tdx-sub" style="margin-top:0">Jobs</div>')
    show_worker_hint()
    show_jobs(store)

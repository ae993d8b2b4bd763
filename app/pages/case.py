"""One case: result, tomograms in the viewer, measurements, reports."""

from pathlib import Path

import streamlit as st

from app import markup
from app.case_data import case_view, shown_tomogram, voxel_wanted
from app.correction_panel import show_correction_panel
from app.frame import show_empty, show_title
from app.job_panel import show_report_panel
from app.viewer import Jump, case_address, show_viewer, viewer_data
from app.volumes import volume_key
from app.web_site import current_store
from engine.errors import PipelineError
from engine.io.analysis_files import read_filaments, read_instances

store = current_store()
names = [row.donor for row in store.donors()]
if not names:
    show_title("Case")
    show_empty("No donors yet", "Choose a tomogram under New analysis first.")
    st.stop()


def open_case(step: int = 0) -> None:
    """Put the chosen donor, or its neighbour on the list, into the address."""
    position = (names.index(st.session_state.donor) + step) % len(names)
    st.session_state.donor = names[position]
    st.query_params.from_dict({"donor": names[position]})


wanted = st.query_params.get("donor")
if wanted is not None and wanted not in names:
    show_title("Case")
    show_empty("No such donor", f"The store holds no donor named {wanted}. Open the worklist.")
    st.stop()
if wanted is not None and st.session_state.get("donor") != wanted:
    st.session_state.donor = wanted
st.session_state.setdefault("donor", names[0])
donor = st.session_state.donor
view = case_view(store, donor)

title, choice, before, after = st.columns([6, 3, 0.6, 0.6], vertical_alignment="bottom")
with title:
    show_title(f"Case {donor}", simulated=view.simulated)
choice.selectbox("Donor", names, key="donor", on_change=open_case, label_visibility="collapsed")
before.button("◀", on_click=open_case, args=(-1,), help="Previous case", width="stretch")
after.button("▶", on_click=open_case, args=(1,), help="Next case", width="stretch")

has_result = view.report is not None and view.report.prediction.probability is not None
result, drawing, report = st.columns([5, 3.6, 2.2] if has_result else [8.6, 0.01, 2.2])
with result:
    if view.report is not None:
        st.html(markup.headline(view.report))
    else:
        show_empty("No result", view.no_report)
with drawing:
    if has_result:
        st.html(markup.probability_card(view.report))
with report:
    show_report_panel(store, view)

ids = [row.tomogram_id for row in view.tomograms]
opened = shown_tomogram(view, st.query_params.get("tomogram"))
st.html('<div class="tdx-sub">Tomograms</div>')
if len(ids) > 1:
    picked = st.segmented_control(
        "Tomogram",
        ids,
        default=opened.tomogram_id,
        key=f"tomogram-{donor}",
        required=True,
        label_visibility="collapsed",
    )
    opened = shown_tomogram(view, picked)
if opened is not None and opened.analysis_folder is not None:
    folder = Path(opened.analysis_folder)
    try:
        data = viewer_data(
            volume_key(folder),
            opened.analysis_key,
            read_instances(folder),
            read_filaments(folder),
            case_address(donor, opened.tomogram_id),
        )
        voxel = voxel_wanted(st.query_params.get("at"))
        show_viewer(data, Jump(ticket=str(voxel), voxel=voxel) if voxel else None)
        show_correction_panel(folder)
    except PipelineError as error:
        show_empty("This analysis cannot be shown", str(error))
elif opened is not None:
    show_empty(
        f"{opened.tomogram_id}: {opened.state}",
        "The pictures appear here once the tomogram is analysed.",
        "tomodx cohort run",
    )
else:
    show_empty("No tomogram", "This donor has no tomogram yet. Choose one under New analysis.")

if view.report is not None:
    current = opened.tomogram_id if opened is not None and len(ids) > 1 else None
    st.html('<div class="tdx-sub">Measurements against the reference cohort</div>')
    for role, heading in markup.ROLE_TITLES.items():
        rows = view.report.rows(role)
        if rows:
            with st.expander(heading, expanded=role == "model"):
                st.html(markup.measurement_table(rows, view.report.panel, current))
    quality, missing = st.columns(2)
    with quality:
        st.html('<div class="tdx-sub">Quality</div>')
        if view.report.flags:
            st.html(markup.flag_list(view.report.flags))
        else:
            st.html('<p class="tdx-quiet">No doubts were raised.</p>')
    with missing:
        st.html('<div class="tdx-sub">Not assessable</div>')
        absent = [f"{label}: {reason}" for label, reason in view.report.not_assessable]
        st.html(markup.bullet_list(absent) if absent else '<p class="tdx-quiet">Nothing.</p>')
    with st.expander("Reference, model and limits"):
        st.html(
            markup.facts(
                [
                    ("Reference cohort", view.report.reference_description),
                    ("Model", f"{view.report.panel.title} {view.report.panel.version}"),
                    ("Model file SHA-256", view.report.model.sha256),
                    ("Software", f"TomoDx {view.report.software_version}"),
                ]
            )
            + markup.bullet_list(view.report.limits)
        )

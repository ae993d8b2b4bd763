"""Worklist: every donor of the store with state, doubts and result."""

import streamlit as st

from app import markup
from app.frame import show_empty, show_title
from app.page_data import STATE_WORDS, worklist
from app.web_site import current_store

rows = worklist(current_store())
show_title(
    "Worklist",
    "Donors in this store. Open one to see its tomograms, measurements and report.",
    simulated=any(row.simulated for row in rows),
)
if not rows:
    show_empty(
        "No donors yet",
        "Choose a tomogram under New analysis, import a cohort manifest, or make a simulated case:",
        "tomodx demo",
    )
    st.stop()

search, states, group = st.columns([3, 4, 2], vertical_alignment="bottom")
text = search.text_input("Find a donor", placeholder="Pseudonym", key="find")
present = [state for state in STATE_WORDS if any(row.state == state for row in rows)]
chosen = states.pills(
    "State", present, selection_mode="multi", format_func=STATE_WORDS.get, key="states"
)
# Off at first: who reads a case should not know the group beforehand.
show_group = group.toggle("Show group", value=False, key="show_group")
shown = [
    row for row in rows if text.lower() in row.donor.lower() and (not chosen or row.state in chosen)
]
if shown:
    st.html(markup.worklist_table(shown, show_group=show_group))
    st.caption(f"{len(shown)} of {len(rows)} donors")
else:
    show_empty("No donor matches", "Clear the search or choose other states.")

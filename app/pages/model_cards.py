"""Models: cards of the networks and of the diagnostic model, hashes checked."""

import streamlit as st

from app.case_data import shipped_reference
from app.frame import show_empty, show_title
from app.model_cards import diagnostic_card, network_card
from diagnostics.panels import panel_named
from engine.errors import PipelineError
from models.registry import list_models

show_title(
    "Models",
    "Everything that a result rests on besides the tomogram. Files are checked against their "
    "hashes when they are loaded.",
)
st.html('<div class="tdx-sub">Diagnostic model</div>')
try:
    _, locked = shipped_reference()
    st.html(diagnostic_card(locked, panel_named(locked.panel)))
except PipelineError as error:
    show_empty("No diagnostic model", str(error))

st.html('<div class="tdx-sub">Networks</div>')
try:
    cards = list_models()
except (PipelineError, FileNotFoundError) as error:
    cards = []
    show_empty("The networks cannot be read", str(error))
else:
    if not cards:
        show_empty(
            "No network is installed",
            "Tomograms cannot be analysed until one is trained or installed:",
            "tomodx train coarse",
        )
columns = st.columns(max(1, min(2, len(cards))))
for index, card in enumerate(cards):
    columns[index % len(columns)].html(network_card(card))

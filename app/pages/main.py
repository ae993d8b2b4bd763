"""The script that Streamlit runs at every interaction: which pages there are, and their frame."""

import streamlit as st

from app.frame import ICON_FILE, PAGES, show_frame

st.set_page_config(page_title="TomoDx", page_icon=str(ICON_FILE), layout="wide")
pages = [
    st.Page(page.file, title=page.title, icon=page.icon, default=page.is_default) for page in PAGES
]
chosen = st.navigation(pages, position="top")
show_frame()
chosen.run()

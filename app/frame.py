"""What every page has: the list of pages, the notice at the top, the style."""

from dataclasses import dataclass
from functools import lru_cache
from html import escape

import streamlit as st

from app.viewer import STATIC_FOLDER

RESEARCH_USE = "Research use only. Not for diagnosis, screening decisions or treatment."
SIMULATED = "Simulated data"
# A picture of our own: a Material icon would be fetched from elsewhere by the browser.
ICON_FILE = STATIC_FOLDER / "icon.svg"
LOGO_FILE = STATIC_FOLDER / "logo.svg"


@dataclass(frozen=True)
class PageFile:
    """A page: its file in `app/pages`, its name in the menu.

    Streamlit puts the folder of the pages first on the module path: a page may not be called like
    a package (`models.py` would hide our `models`).
    """

    file: str
    title: str
    icon: str
    is_default: bool = False


PAGES = (
    PageFile("worklist.py", "Worklist", ":material/list_alt:", is_default=True),
    PageFile("case.py", "Case", ":material/person_search:"),
    PageFile("cohort.py", "Cohort", ":material/groups:"),
    PageFile("new_analysis.py", "New analysis", ":material/add_circle:"),
    PageFile("model_cards.py", "Models", ":material/schema:"),
)


@lru_cache(maxsize=1)
def _style() -> str:
    return (STATIC_FOLDER / "pages.css").read_text(encoding="utf-8")


def show_frame() -> None:
    """Style and research-use notice, on top of every page."""
    st.html(f"<style>{_style()}</style>")
    st.logo(str(LOGO_FILE), size="large")
    st.html(f'<div class="tdx-notice" role="note">{RESEARCH_USE}</div>')


def show_title(title: str, note: str = "", *, simulated: bool = False) -> None:
    """Title of a page, with the mark of simulated data where they are.

    Parameters
    ----------
    title, note
        Plain text; the note is one line on what the page is for.
    simulated
        True where anything on the page is simulated.
    """
    mark = f' <span class="tdx-simulated">{SIMULATED}</span>' if simulated else ""
    line = f'<p class="tdx-lead">{escape(note)}</p>' if note else ""
    st.html(f'<div class="tdx-title"><h1>{escape(title)}{mark}</h1>{line}</div>')


def show_empty(title: str, text: str, command: str = "") -> None:
    """Fill an empty place with what would be there and how to get it."""
    code = f"<pre>{escape(command)}</pre>" if command else ""
    st.html(
        f'<div class="tdx-empty"><strong>{escape(title)}</strong><p>{escape(text)}</p>{code}</div>'
    )

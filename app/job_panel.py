"""Panels that queue jobs and follow them: reports on the case page, all jobs on New analysis."""

import shlex
from collections.abc import Sequence
from html import escape
from urllib.parse import urlencode

import streamlit as st

from app import markup
from app.case_data import CaseView
from app.viewer import case_address
from app.web_site import current_site
from cohorts.store import Job, ReportRow, Store

WORKER_HINT = "Jobs wait until a worker runs. Start one in a terminal:"
JOB_WORDS = {
    "queued": "Queued",
    "running": "Running",
    "done": "Done",
    "failed": "Failed",
    "cancelled": "Cancelled",
}


KIND_WORDS = {"analyze": "Analysis", "report": "Report"}


def report_links(report: ReportRow) -> str:
    """Links that download the files of a report, and one that opens it."""

    def address(name: str, **further: str) -> str:
        query = {"donor": report.donor, "report": str(report.report_id), **further}
        return escape(f"/api/report/{name}?{urlencode(query)}", quote=True)

    return (
        '<div class="tdx-downloads">'
        f'<a class="first" href="{address("report.pdf")}" target="_blank" download>PDF</a>'
        f'<a href="{address("report.html")}" target="_blank" download>HTML</a>'
        f'<a href="{address("report.json")}" target="_blank" download>JSON</a>'
        f'<a href="{address("report.html", inline="1")}" target="_blank">Open</a></div>'
    )


def active_jobs(jobs: Sequence[Job], kind: str, donor: str) -> list[Job]:
    """Jobs of one kind for one donor that wait or run."""
    return [
        job
        for job in jobs
        if job.kind == kind
        and job.payload.get("donor") == donor
        and job.state in ("queued", "running")
    ]


def show_report_panel(store: Store, view: CaseView) -> None:
    """Offer the newest report and a button that asks for a new one."""
    st.html('<div class="tdx-sub" style="margin-top:0">Report</div>')
    donor = view.donor.donor
    if view.stored_reports:
        newest = view.stored_reports[0]
        note = f"made {newest.created_at:%Y-%m-%d %H:%M} UTC"
        if view.is_outdated:
            note += ". Tomograms have been added since: make it again."
        st.html(report_links(newest) + f'<span class="tdx-quiet">{escape(note)}</span>')
    else:
        st.html('<span class="tdx-quiet">There is no report of this case yet.</span>')
    if active_jobs(store.jobs(), "report", donor):
        _follow_report(store, donor)
    elif view.features is not None:
        label = "Make the report again" if view.stored_reports else "Make report"
        if st.button(label, key=f"report-{donor}"):
            store.enqueue_job("report", {"donor": donor})
            st.rerun()


@st.fragment(run_every="2s")
def _follow_report(store: Store, donor: str) -> None:
    """Show the progress of a report being made; load the page anew when it is there."""
    jobs = active_jobs(store.jobs(), "report", donor)
    if not jobs:
        st.rerun()
    job = jobs[-1]
    st.progress(job.progress, text=f"Report: {JOB_WORDS[job.state].lower()}")
    show_worker_hint()


def show_worker_hint() -> None:
    """Say how to start a worker where this application runs none."""
    if not current_site().has_worker:
        st.caption(WORKER_HINT)
        st.code(worker_command(), language=None)


def worker_command() -> str:
    """Give the command that starts a worker for this application's store and data root."""
    site = current_site()
    store = f" --store {shlex.quote(site.settings.store)}" if site.settings.store else ""
    return f"tomodx{store} worker --data-root {shlex.quote(str(site.data_root))}"


@st.fragment(run_every="2s")
def show_jobs(store: Store, limit: int = 20) -> None:
    """List jobs, newest first, with progress, log and cancel."""
    jobs = store.jobs()
    if not jobs:
        st.html('<p class="tdx-quiet">No jobs yet.</p>')
        return
    for job in jobs[:limit]:
        _show_job(store, job)
    if len(jobs) > limit:
        st.caption(f"{len(jobs) - limit} older jobs are not listed.")


def _show_job(store: Store, job: Job) -> None:
    payload = job.payload
    donor = str(payload.get("donor") or "")
    what = str(payload.get("path") or payload.get("tomogram_id") or "")
    link = escape(case_address(donor), quote=True)
    name_of_donor = escape(donor)
    if job.state == "done" and donor:
        name_of_donor = f'<a href="{link}" target="_self">{name_of_donor}</a>'
    with st.container(border=True):
        name, bar, act = st.columns([4, 4, 1.2], vertical_alignment="center")
        name.html(
            f"{markup.chip(JOB_WORDS[job.state], job.state)} "
            f"<b>{escape(KIND_WORDS.get(job.kind, job.kind))}</b> {name_of_donor}"
            f'<br><span class="tdx-quiet">{escape(what)} asked for '
            f"{job.created_at:%Y-%m-%d %H:%M} UTC</span>"
        )
        if job.state in ("queued", "running"):
            bar.progress(job.progress, text=f"{100 * job.progress:.0f} %")
            stop = act.button(
                "Stopping" if job.cancel_requested else "Cancel",
                key=f"cancel-{job.job_id}",
                disabled=job.cancel_requested,
            )
            if stop:
                store.cancel_job(job.job_id)
                st.rerun(scope="fragment")
        if job.log:
            with st.expander("Log", expanded=job.state == "failed"):
                st.code(job.log.rstrip(), language=None, wrap_lines=True)

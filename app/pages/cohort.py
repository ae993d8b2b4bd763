"""Cohort: how groups differ, and how well the model does on donors it has not seen."""

import streamlit as st

from app import cohort_charts, markup
from app.cohort_data import reference_cohort, store_cohort
from app.frame import show_empty, show_title
from app.web_site import current_store
from diagnostics.model_validation import LABELS
from diagnostics.report_text import probability_text
from engine.errors import PipelineError

QUIET = {"displayModeBar": False}

try:
    reference_view, reference, model, panel = reference_cohort()
except PipelineError as error:
    show_title("Cohort")
    show_empty("No reference cohort", str(error))
    st.stop()
own_view = store_cohort(current_store())

sources = {"reference": "Reference cohort", "store": "Donors in this store"}
source = "reference"
view = reference_view
title, choice = st.columns([5, 3], vertical_alignment="bottom")
if own_view.donors:
    source = choice.segmented_control(
        "Cohort",
        list(sources),
        default="reference",
        required=True,
        format_func=sources.get,
        label_visibility="collapsed",
        key="cohort",
    )
    view = reference_view if source == "reference" else own_view
with title:
    show_title("Cohort", simulated=view.simulated)
if source == "reference":
    sizes = ", ".join(
        f"{panel.group_label(size.name)}: {size.n_donors} donors, {size.n_tomograms} tomograms"
        for size in reference.groups(panel.groups)
    )
    st.html(f'<p class="tdx-lead">{markup.plain(reference.description)} {markup.plain(sizes)}.</p>')

features = view.features(panel)
st.html('<div class="tdx-sub">Groups</div>')
st.caption("One point is the mean of one donor's tomograms. Diamond: group mean, 95 % interval.")
by_name = {feature.name: feature for feature in features}
first = [name for name in panel.features if name in by_name]
chosen = st.multiselect(
    "Measurements",
    list(by_name),
    default=first,
    format_func=lambda name: by_name[name].label,
    label_visibility="collapsed",
    key=f"features-{source}",
)
columns = st.columns(2)
for index, name in enumerate(chosen):
    chart = cohort_charts.strip_chart(by_name[name], view.by_group(name))
    columns[index % 2].plotly_chart(chart, config=QUIET, key=f"strip-{source}-{name}")

if source == "store":
    st.caption("Test differences and validate a model of your own donors on the command line:")
    st.code("tomodx cohort compare\ntomodx cohort validate", language=None)
    st.stop()

summary = model.validation
positive = panel.positive_group
label = panel.group_label(positive)
st.html('<div class="tdx-sub">Model validation</div>')
accuracy = summary.accuracy
right, curve, points = st.columns([3, 4, 4])
with right:
    st.html(
        f'<div class="tdx-big">{accuracy.correct} of {accuracy.n}</div>'
        "<p>donors predicted right, each by a model that never saw the donor: "
        f"{accuracy.value:.0%} (95 % interval {accuracy.low:.0%} to {accuracy.high:.0%}).</p>"
    )
    counts = cohort_charts.confusion(summary.predictions, positive, model.threshold)
    st.html(
        markup.table(
            ["", f"Read as {label.lower()}", "Read as control"],
            [
                [
                    f"<b>{markup.plain(label)}</b>",
                    str(counts.true_positive),
                    str(counts.false_negative),
                ],
                ["<b>Controls</b>", str(counts.false_positive), str(counts.true_negative)],
            ],
        )
    )
with curve:
    st.plotly_chart(cohort_charts.roc_chart(summary, positive), config=QUIET)
with points:
    labels = {group: panel.group_label(group) for group in panel.groups}
    chart = cohort_charts.probability_chart(summary, labels, model.threshold)
    st.plotly_chart(chart, config=QUIET)

figures = [
    [
        markup.plain(LABELS.get(item.name, item.name)),
        cohort_charts.figure_text(item),
        f'<span class="tdx-quiet">{markup.plain(item.method)}</span>',
    ]
    for item in summary.figures
]
if summary.permutation_p is not None:
    figures.append(["Labels permuted among donors", f"p = {summary.permutation_p:.3g}", ""])
with st.expander("All figures with their intervals", expanded=True):
    st.html(markup.table(["Figure", "Value", "Method"], figures))

with st.expander("Every donor"):
    rows = []
    for item in sorted(summary.predictions, key=lambda one: (one.group, one.donor)):
        is_positive = item.probability >= model.threshold
        is_right = is_positive == (item.group == positive)
        rows.append(
            [
                markup.plain(item.donor),
                markup.plain(panel.group_label(item.group)),
                f'<span class="tdx-number">{probability_text(item.probability)}</span>',
                markup.plain(label if is_positive else "Control"),
                "right" if is_right else markup.chip("wrong", "warning"),
            ]
        )
    st.html(
        markup.table(["Donor", "Group", f"Probability of {label.lower()}", "Read as", ""], rows)
    )
with st.expander("Assumptions and model file"):
    st.html(
        markup.bullet_list(reference.assumptions)
        + markup.facts(
            [
                ("Panel", f"{panel.title}, version {panel.version}"),
                ("Classifier", model.classifier_name),
                ("Training table SHA-256", model.training_sha256),
                ("Model SHA-256", model.sha256),
            ]
        )
    )

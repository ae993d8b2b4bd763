"""What the models page shows: cards of the shipped networks and of the diagnostic model."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from app import markup
from app.cohort_charts import figure_text
from app.frame import SIMULATED
from app.palette import class_label
from diagnostics.features.table import feature_named
from diagnostics.locked_model import LockedModel
from diagnostics.model_validation import LABELS
from diagnostics.panels.rules import Panel
from models.registry import ModelCard

TASK_WORDS = {
    "coarse": "Organelles and cell regions, coarse sampling",
    "fine": "Membranes, microtubule cores and more, fine sampling",
    "pseudo_structures": "Random protein-like shapes, a null of template matching",
    "classification": "Names of subtomograms, and features that tell them apart",
}
CLASSIFIER_WORDS = {"lda": "Linear discriminant", "firth": "Logistic regression, Firth's penalty"}


def network_card(card: ModelCard) -> str:
    """Describe one network: what it does, on what it learned, how it did, its limits."""
    outputs = " ".join(markup.chip(class_label(name), "info") for name in card.outputs)
    draws = card.task == "pseudo_structures"
    heading = "Drawn against known structures" if draws else "Held-out simulation"
    facts = [
        ("Makes" if draws else "Reads", f"voxels of {card.voxel_size_nm:g} nm"),
        ("Size", f"{card.n_parameters:_} weights, {card.size_mb:.1f} MB".replace("_", " ")),
        *training_facts(card.training),
        ("SHA-256", card.sha256),
    ]
    return (
        f'<article class="tdx-card"><h3>{escape(card.name)}</h3>'
        f'<p class="tdx-quiet">{escape(TASK_WORDS.get(card.task, card.task))}</p>'
        f'<p>{outputs}</p>{markup.facts(facts)}<div class="tdx-sub">{heading}</div>'
        f"{metric_table(card.metrics)}"
        f'<div class="tdx-sub">Limits</div>{markup.bullet_list(card.limits)}'
        f'<div class="tdx-sub">Made by</div><pre class="tdx-code">{escape(card.command)}</pre>'
        "</article>"
    )


def training_facts(training: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Say what a network learned from; fields that a card lacks are left out."""
    pool = training.get("pool", {})
    found = []
    if "n_tomograms" in pool:
        text = f"{pool['n_tomograms']} simulated tomograms"
        if "families" in pool:
            text += f", families {' and '.join(map(str, pool['families']))}"
        found.append(("Trained on", text))
    if "structures" in training:
        known = [class_label(name) for name in training["structures"]["densities"].values()]
        drawn = training["structures"]["n_assemblies"]
        shown = [*known, f"{drawn} random complexes"] if drawn else known
        found.append(("Trained on simulated", ", ".join(shown)))
    if "epochs" in training and "per_class" in training:
        each = "" if not training["renewed"] else ", new ones each time"
        found.append(
            ("Training", f"{training['epochs']} times {training['per_class']} a class{each}")
        )
    if "steps" in training and "batch" in training:
        found.append(("Training", f"{training['steps']} steps of {training['batch']} patches"))
    if "seed" in training:
        found.append(("Seed", str(training["seed"])))
    return found


def metric_table(metrics: Mapping[str, float]) -> str:
    """Print Dice and other figures of a card."""
    rows = [
        [escape(_figure_label(name)), f'<span class="tdx-number">{value:.3f}</span>']
        for name, value in metrics.items()
    ]
    return markup.table(["Figure", "Value"], rows)


def _figure_label(name: str) -> str:
    """Print `dice_alpha_granule` as `Dice, alpha granule`."""
    kind, _, of = name.partition("_")
    kind = kind.replace("-", " ")
    return f"{kind.capitalize()}, {of.replace('_', ' ')}" if of else kind.capitalize()


def diagnostic_card(model: LockedModel, panel: Panel) -> str:
    """Describe the locked model of a panel: use, features, validation, hashes."""
    accuracy = model.validation.accuracy
    features = ", ".join(feature_named(name).label.lower() for name in model.features)
    facts = [
        ("Method", CLASSIFIER_WORDS.get(model.classifier_name, model.classifier_name)),
        ("Features", features),
        ("Threshold", f"{model.threshold:g}"),
        ("Trained on", f"{model.n_donors} donors{' (simulated)' if model.simulated else ''}"),
        (
            "Donors predicted right",
            f"{accuracy.correct} of {accuracy.n} "
            f"({accuracy.value:.0%}, 95 % interval {accuracy.low:.0%} to {accuracy.high:.0%}), "
            "each left out in turn",
        ),
        *(
            (LABELS.get(item.name, item.name), figure_text(item))
            for item in model.validation.figures
            if item.name in ("sensitivity", "specificity", "auc")
        ),
        ("Software", f"TomoDx {model.software_version}"),
        ("Training table SHA-256", model.training_sha256),
        ("SHA-256", model.sha256),
    ]
    mark = f' <span class="tdx-simulated">{SIMULATED}</span>' if model.simulated else ""
    return (
        f'<article class="tdx-card"><h3>{escape(panel.title)}, version '
        f"{escape(panel.version)}{mark}</h3><p>{escape(panel.intended_use)}</p>"
        f"{markup.facts(facts)}{_statements(panel)}</article>"
    )


def _statements(panel: Panel) -> str:
    lines: Sequence[str] = [f"{item.printed} ({item.source})" for item in panel.statements]
    return f'<div class="tdx-sub">What the panel rests on</div>{markup.bullet_list(lines)}'

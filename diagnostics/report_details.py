"""The parts of a report behind its first page."""

from diagnostics.model_figures import contribution_plot
from diagnostics.model_validation import shown_figures
from diagnostics.prediction import Contribution
from diagnostics.report_blocks import (
    Bullets,
    Captioned,
    Column,
    Facts,
    Figures,
    Grid,
    Paragraphs,
    Part,
    Slices,
)
from diagnostics.report_text import interval_text, percent, with_unit
from diagnostics.report_values import CaseReport, TomogramEvidence
from engine.data.labels import ROUND_CRISTA_POOR
from engine.data.measurements import Measurement
from engine.data.organelles import Organelle

MAX_LISTED = 12
STATE_WORDS = {ROUND_CRISTA_POOR: "round, crista-poor"}


def model_part(report: CaseReport) -> Part:
    """What the probability rests on, and how the model did on donors it had not seen."""
    prediction, model, panel = report.prediction, report.model, report.panel
    labels = {row.feature.name: row.feature for row in report.features}
    blocks: list[Paragraphs | Grid | Figures | Bullets] = []
    if prediction.withheld:
        blocks.append(Bullets(prediction.withheld, ("Withheld",) * len(prediction.withheld)))
    picture = contribution_plot(report)
    if picture is not None:
        caption = "Bars: how far each feature moves the model. Lines: 95 % interval of measurement."
        blocks.append(Figures((Captioned(picture, caption),)))
        columns = (
            Column("Feature", 34),
            Column("This case", 16, "right"),
            Column("Midway between groups", 20, "right"),
            Column("Log-odds (95 % interval)", 30, "right"),
        )
        rows = tuple(
            (
                labels[part.feature].label,
                with_unit(labels[part.feature], part.value),
                with_unit(labels[part.feature], part.midpoint),
                _log_odds_text(part),
            )
            for part in prediction.contributions
        )
        blocks.append(Grid(columns, rows, "Contribution of each feature to the log-odds"))
        total = prediction.midpoint_log_odds + sum(p.log_odds for p in prediction.contributions)
        blocks.append(
            Paragraphs(
                (
                    f"The contributions add to {signed(prediction.midpoint_log_odds)}, the "
                    f"log-odds midway between the groups, and give {signed(total)}.",
                )
            )
        )
    if prediction.typicality:
        parts = [
            f"{_class_label(item.group, report)}: {percent(item.p_value)}"
            for item in prediction.typicality
        ]
        text = "Donors of each group expected at least as far from its centre as this case: "
        blocks.append(Paragraphs((text + "; ".join(parts) + ".",)))
    figure_columns = (
        Column("Leaving one donor out", 34),
        Column("Value", 14, "right"),
        Column("95 % interval", 22, "right"),
        Column("How", 30),
    )
    blocks.append(
        Grid(
            figure_columns,
            shown_figures(model.validation),
            f"How the model did on the {model.n_donors} donors of {report.reference_name}",
        )
    )
    blocks.append(Paragraphs((f"Intended use of the panel. {panel.intended_use}",)))
    return Part("What the model's result rests on", "model", tuple(blocks))


def _log_odds_text(part: Contribution) -> str:
    if part.low is None or part.high is None:
        return f"{signed(part.log_odds)} (interval not known)"
    return f"{signed(part.log_odds)} ({signed(part.low)} to {signed(part.high)})"


def single_case_part(report: CaseReport) -> Part:
    """The case against the control donors, feature by feature."""
    columns = (
        Column("Feature", 36),
        Column("Distance from the mean of controls, in their standard deviations", 26, "right"),
        Column("Controls expected below this case", 26, "right"),
        Column("p", 12, "right"),
    )
    rows = []
    for row in report.features:
        compared = row.single_case
        if compared is None or row.role == "recording":
            continue
        effect = f"{signed(compared.effect)}\n{signed(compared.effect_low)} to "
        below = (
            f"{percent(compared.percent_below / 100)}\n{percent(compared.percent_below_low / 100)}"
        )
        rows.append(
            (
                row.feature.label,
                effect + signed(compared.effect_high),
                f"{below} to {percent(compared.percent_below_high / 100)}",
                "< 0.001" if compared.p_value < 0.001 else f"{compared.p_value:.3f}",
            )
        )
    text = (
        "Test of Crawford and Howell, two-sided, with 95 % intervals; p is not corrected for the "
        f"number of features ({len(rows)})."
    )
    grid = Grid(columns, tuple(rows), "Single case against control donors")
    blocks = (Paragraphs((text,)), grid) if rows else (Paragraphs(("No feature to compare.",)),)
    return Part("This case against the control donors", "controls", blocks)


def signed(value: float) -> str:
    """`+1.2`, `−0.4`."""
    return f"{value:+.2f}".replace("-", "−")


def _class_label(name: str, report: CaseReport) -> str:
    return report.panel.group_label(name) if name in report.panel.groups else name.capitalize()


def tomograms_part(report: CaseReport) -> Part:
    """Every feature in every tomogram."""
    ids = [tomogram for tomogram, _ in report.provenances]
    columns = (Column("Feature", 36), *[Column(name, 64 / len(ids), "right") for name in ids])
    rows = []
    for row in report.features:
        found = dict(row.per_tomogram)
        cells = [_cell(report, row.feature.name, found.get(name)) for name in ids]
        rows.append((row.feature.label, *cells))
    grid = Grid(columns, tuple(rows), "Value and 95 % interval in each tomogram")
    return Part("Tomogram by tomogram", "tomograms", (grid,))


def _cell(report: CaseReport, name: str, measured: Measurement | None) -> str:
    feature = next(row.feature for row in report.features if row.feature.name == name)
    if measured is None:
        return "not measured"
    if measured.value is None:
        return f"not assessable\n{measured.not_assessable}"
    limits = interval_text(feature, measured.low, measured.high)
    return f"{with_unit(feature, measured.value)}\n{limits}"


def evidence_part(report: CaseReport) -> Part:
    """Slices and object ids, so that a finding can be looked up in the tomogram."""
    blocks: list[Paragraphs | Slices | Facts | Grid] = [
        Paragraphs(
            (
                "Each object below has its id in instances.mrc, instances.csv and filaments.csv of "
                "the tomogram's analysis, and its position in nanometre from the first voxel.",
            )
        )
    ]
    for item in report.evidence:
        blocks.append(Facts((("Tomogram", item.tomogram_id), *item.facts)))
        # A wide picture shows the key slice of the first page again, plain and marked.
        images = tuple(one for one in item.images if one.wide) or item.images
        if images:
            blocks.append(Slices(images))
        if any(one.organelle_class == "mitochondrion" for one in item.organelles):
            blocks.append(_mitochondria(item))
        if item.filaments:
            blocks.append(_microtubules(item))
    return Part("Evidence", "evidence", tuple(blocks))


def _mitochondria(item: TomogramEvidence) -> Grid:
    found = [one for one in item.organelles if one.organelle_class == "mitochondrion"]
    found.sort(key=lambda one: -one.volume_um3)
    columns = (
        Column("Mitochondrion", 18),
        Column("Volume (µm³)", 16),
        Column("z, y, x (nm)", 20),
        Column("Cut by the border", 14),
        Column("Confidence", 12),
        Column("State", 20),
    )
    rows = [
        (
            f"instance {one.instance_id}",
            f"{one.volume_um3:.4f}",
            ", ".join(f"{position / 10:.0f}" for position in one.centroid_angst),
            "yes" if one.touches_border else "no",
            percent(one.confidence),
            _state(one),
        )
        for one in found[:MAX_LISTED]
    ]
    return Grid(columns, tuple(rows), _listed("Mitochondria", item, len(found), "largest"))


def _state(one: Organelle) -> str:
    """In words, with its probability; a dash where none was told."""
    if one.state is None or one.state_probability is None:
        return "–"
    return f"{STATE_WORDS.get(one.state, one.state)}, {percent(one.state_probability)}"


def _microtubules(item: TomogramEvidence) -> Grid:
    found = sorted(item.filaments, key=lambda one: -one.length_nm)
    columns = (
        Column("Microtubule", 18),
        Column("Length (nm)", 16),
        Column("Ends cut by the border", 26),
        Column("Confidence", 40),
    )
    rows = [
        (
            f"filament {one.filament_id}",
            f"{one.length_nm:.0f}",
            str(int(one.starts_at_border) + int(one.ends_at_border)),
            percent(one.confidence),
        )
        for one in found[:MAX_LISTED]
    ]
    return Grid(columns, tuple(rows), _listed("Microtubules", item, len(found), "longest"))


def _listed(what: str, item: TomogramEvidence, n: int, first: str) -> str:
    text = f"{what} of {item.tomogram_id}: {n}"
    return text if n <= MAX_LISTED else f"{text}, the {MAX_LISTED} {first} listed"


def cohort_part(report: CaseReport) -> Part:
    """Who the case is compared with."""
    columns = (
        Column("Group", 50),
        Column("Donors", 25, "right"),
        Column("Tomograms", 25, "right"),
    )
    rows = tuple(
        (report.panel.group_label(group.name), str(group.n_donors), str(group.n_tomograms))
        for group in report.reference_groups
    )
    blocks: list[Paragraphs | Grid | Bullets] = [
        Paragraphs((report.reference_description,)),
        Grid(columns, rows, f"Groups of {report.reference_name}"),
    ]
    if report.reference_assumptions:
        marks = ("Assumption",) * len(report.reference_assumptions)
        blocks.append(Bullets(report.reference_assumptions, marks))
    return Part("Reference cohort", "cohort", tuple(blocks))


def rules_part(report: CaseReport) -> Part:
    """Clinical statements with source and status, and the work the panel follows."""
    statements = report.panel.statements
    columns = (Column("Statement", 58), Column("Source", 28), Column("Status", 14))
    rows = tuple((one.text, one.source, one.status) for one in statements)
    text = f"The panel follows {report.panel.citation}, doi {report.panel.doi}."
    grid = Grid(columns, rows, "Statements that the panel rests on")
    return Part("Clinical background", "background", (Paragraphs((text,)), grid))


def versions_part(report: CaseReport) -> Part:
    """Software, rules, model, networks and inputs by hash."""
    facts = [
        ("TomoDx", report.software_version),
        ("Panel", f"{report.panel.name} {report.panel.version}"),
        ("Reference table", report.reference_sha256),
        ("Locked model", report.model.sha256),
        *[(f"Network {file.name}", file.sha256) for file in report.network_files],
    ]
    for tomogram, origin in report.provenances:
        facts.append((f"{tomogram}: parameters", origin.parameters_sha256))
        facts += [(f"{tomogram}: {file.name}", file.sha256) for file in origin.inputs]
        facts.append((f"{tomogram}: analysed by", f"TomoDx {origin.software_version}"))
    return Part("Versions and hashes (SHA-256)", "versions", (Facts(tuple(facts), mono=True),))

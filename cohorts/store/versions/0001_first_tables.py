"""The first tables."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "donor",
        sa.Column("donor", sa.String(length=80), nullable=False),
        sa.Column("group_name", sa.String(length=200), nullable=True),
        sa.Column("site", sa.String(length=200), nullable=True),
        sa.Column("covariates", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("donor", name=op.f("pk_donor")),
    )
    op.create_table(
        "job",
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("progress", sa.Float(), nullable=False),
        sa.Column("log", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("owner", sa.String(length=200), nullable=True),
        sa.Column("lease_until", sa.Float(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_job")),
    )
    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_job_state"), ["state"], unique=False)

    op.create_table(
        "step",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("tomogram_id", sa.String(length=250), nullable=True),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("owner", sa.String(length=200), nullable=True),
        sa.Column("lease_until", sa.Float(), nullable=True),
        sa.Column("log", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_step")),
    )
    with op.batch_alter_table("step", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_step_tomogram_id"), ["tomogram_id"], unique=False)

    op.create_table(
        "analysis",
        sa.Column("step_key", sa.String(length=64), nullable=False),
        sa.Column("tomogram_id", sa.String(length=250), nullable=False),
        sa.Column("folder", sa.Text(), nullable=False),
        sa.Column("flags", sa.JSON(), nullable=False),
        sa.Column("provenance", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["step_key"], ["step.key"], name=op.f("fk_analysis_step_key")),
        sa.PrimaryKeyConstraint("step_key", name=op.f("pk_analysis")),
    )
    with op.batch_alter_table("analysis", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_analysis_tomogram_id"), ["tomogram_id"], unique=False)

    op.create_table(
        "artifact",
        sa.Column("step_key", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=250), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("n_bytes", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["step_key"], ["step.key"], name=op.f("fk_artifact_step_key")),
        sa.PrimaryKeyConstraint("step_key", "name", name=op.f("pk_artifact")),
    )
    op.create_table(
        "report",
        sa.Column("report_id", sa.Integer(), nullable=False),
        sa.Column("donor", sa.String(length=80), nullable=False),
        sa.Column("folder", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("supersedes", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["donor"], ["donor.donor"], name=op.f("fk_report_donor")),
        sa.ForeignKeyConstraint(
            ["supersedes"], ["report.report_id"], name=op.f("fk_report_supersedes")
        ),
        sa.PrimaryKeyConstraint("report_id", name=op.f("pk_report")),
    )
    with op.batch_alter_table("report", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_report_donor"), ["donor"], unique=False)

    op.create_table(
        "measurement",
        sa.Column("step_key", sa.String(length=64), nullable=False),
        sa.Column("feature", sa.String(length=120), nullable=False),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("unit", sa.String(length=20), nullable=False),
        sa.Column("low", sa.Float(), nullable=True),
        sa.Column("high", sa.Float(), nullable=True),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("not_assessable", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["step_key"], ["analysis.step_key"], name=op.f("fk_measurement_step_key")
        ),
        sa.PrimaryKeyConstraint("step_key", "feature", name=op.f("pk_measurement")),
    )
    op.create_table(
        "tomogram",
        sa.Column("tomogram_id", sa.String(length=250), nullable=False),
        sa.Column("donor", sa.String(length=80), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("voxel_size_angst", sa.Float(), nullable=True),
        sa.Column("tilt_min_deg", sa.Float(), nullable=True),
        sa.Column("tilt_max_deg", sa.Float(), nullable=True),
        sa.Column("contrast", sa.String(length=10), nullable=False),
        sa.Column("covariates", sa.JSON(), nullable=False),
        sa.Column("file_sha256", sa.String(length=64), nullable=True),
        sa.Column("file_bytes", sa.BigInteger(), nullable=True),
        sa.Column("file_modified_ns", sa.BigInteger(), nullable=True),
        sa.Column("analysis_key", sa.String(length=64), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["analysis_key"], ["analysis.step_key"], name=op.f("fk_tomogram_analysis_key")
        ),
        sa.ForeignKeyConstraint(["donor"], ["donor.donor"], name=op.f("fk_tomogram_donor")),
        sa.PrimaryKeyConstraint("tomogram_id", name=op.f("pk_tomogram")),
        sa.UniqueConstraint("donor", "path", name=op.f("uq_tomogram_donor")),
    )
    with op.batch_alter_table("tomogram", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_tomogram_donor"), ["donor"], unique=False)


def downgrade() -> None:
    """Undo."""
    with op.batch_alter_table("tomogram", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_tomogram_donor"))

    op.drop_table("tomogram")
    op.drop_table("measurement")
    with op.batch_alter_table("report", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_report_donor"))

    op.drop_table("report")
    op.drop_table("artifact")
    with op.batch_alter_table("analysis", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_analysis_tomogram_id"))

    op.drop_table("analysis")
    with op.batch_alter_table("step", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_step_tomogram_id"))

    op.drop_table("step")
    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_job_state"))

    op.drop_table("job")
    op.drop_table("donor")

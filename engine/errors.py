"""Anticipated failures: one sentence for the user, identifiers as fields for the log."""


class PipelineError(Exception):
    """A failure that TomoDx foresees; `str(error)` is one line fit for a user.

    Parameters
    ----------
    message
        What was expected, what was found, what to do.
    **fields
        Identifiers (tomogram, path, step), kept in `fields`.
    """

    exit_status = 1

    def __init__(self, message: str, **fields: object) -> None:
        super().__init__(message)
        self.fields = fields


class BadInputError(PipelineError, ValueError):
    """Input or arguments that cannot be used: exit status 2."""

    exit_status = 2


class MissingFileError(PipelineError, FileNotFoundError):
    """A path that should be a readable file is not: exit status 2."""

    exit_status = 2


class OutputNotWritableError(PipelineError, PermissionError):
    """The output folder cannot be made or written: exit status 2."""

    exit_status = 2


class MissingPackageError(PipelineError, ImportError):
    """An optional package is asked for and not installed: exit status 1."""


class VoxelSizeMismatchError(BadInputError):
    """Two volumes that must share a sampling do not."""


class ModelFileError(BadInputError):
    """A network file that is absent, altered (hash) or not ours."""

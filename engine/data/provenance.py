"""Where a result comes from: software, parameters, inputs, models, seed."""

import hashlib
import json
from dataclasses import asdict, dataclass, is_dataclass


def parameters_digest(parameters: object) -> str:
    """SHA-256 (hex) of a dataclass or JSON-ready value, independent of key order."""
    plain = (
        asdict(parameters)
        if is_dataclass(parameters) and not isinstance(parameters, type)
        else parameters
    )
    text = json.dumps(plain, sort_keys=True, default=str, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class FileDigest:
    """A file by name (never its folder) and SHA-256 (hex)."""

    name: str
    sha256: str


@dataclass(frozen=True)
class Provenance:
    """What produced a value.

    Attributes
    ----------
    software_version
        Of TomoDx.
    parameters_sha256
        From `parameters_digest`.
    inputs, models
        Files read and network files used.
    seed
        None where nothing was drawn.
    simulated
        True where any input is simulated; every page and report then says so.
    """

    software_version: str
    parameters_sha256: str
    inputs: tuple[FileDigest, ...] = ()
    models: tuple[FileDigest, ...] = ()
    seed: int | None = None
    simulated: bool = False

"""What is offered to be done with a load: only what makes sense for it, each with what it will do."""

from __future__ import annotations

from ducklift.web.views.loads import LoadRow
from ducklift.web.views.states import LoadState

_NO_LOADS = (LoadState.RESET, LoadState.SWEPT)
LOAD = ("load", "Load its package", "The package that lies in the lake is loaded; the source is not read again.")
REEXTRACT = (
    "reextract",
    "Extract again",
    "The same slice is read from the source again, and what comes takes the place of this load. What it no longer gives is gone then.",
)
ANEW = ("reextract", "Read its slice", "The slice that failed is read from the source again, by the choices that its run was started with.")
RETRY = ("quarantine", "Retry quarantine", "The quarantined records of this load are tried again; those that pass now come into the table.")


def actions_of(load: LoadRow) -> list[tuple[str, str, str]]:
    """Return name, label and explanation of each action."""
    if load.state in _NO_LOADS or load.superseded_by:
        return []
    offers = [LOAD] if load.pending else []
    if load.rows_quarantined:
        offers.append(RETRY)
    return [*offers, REEXTRACT if load.manifest_path is not None else ANEW]

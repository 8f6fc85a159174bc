"""Which tone a state has; its icon and its word are the state's own (`ducklift.web.views.states`)."""

from __future__ import annotations

from collections.abc import Mapping

from ducklift.web.drawing import Tone
from ducklift.web.views.loads import Fate, Step
from ducklift.web.views.states import LoadState, TableState

TABLE_TONES: Mapping[TableState, Tone] = {
    TableState.UNREADABLE: "bad",
    TableState.FAILING: "bad",
    TableState.LATE: "warn",
    TableState.WAITING: "idle",
    TableState.UNTARGETED: "idle",
    TableState.FRESH: "ok",
}
LOAD_TONES: Mapping[LoadState, Tone] = {
    LoadState.FAILED: "bad",
    LoadState.GAP: "bad",
    LoadState.QUARANTINED: "warn",
    LoadState.WARNED: "warn",
    LoadState.LOADED: "ok",
    LoadState.EMPTY: "idle",
    LoadState.SUPERSEDED: "idle",
    LoadState.RESET: "info",
    LoadState.SWEPT: "info",
}
FATE_TONES: Mapping[Fate, Tone] = {
    "inserted": "ok",
    "updated": "info",
    "unchanged": "idle",
    "deduplicated": "extra",
    "quarantined": "warn",
}
STEP_TONES: Mapping[Step, Tone] = {"extract": "info", "upload": "extra", "load": "ok"}

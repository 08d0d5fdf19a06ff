"""The label space: 13 observations, 4 statuses, and how several mentions of one observation merge.

The order of both tuples is the order of the model's outputs and of `manifest.json`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

OBSERVATIONS: Final = (
    "enlarged_cardiomediastinum",
    "cardiomegaly",
    "lung_opacity",
    "lung_lesion",
    "edema",
    "consolidation",
    "pneumonia",
    "atelectasis",
    "pneumothorax",
    "pleural_effusion",
    "pleural_other",
    "fracture",
    "support_devices",
)
STATUSES: Final = ("not_mentioned", "positive", "negative", "uncertain")
NO_FINDING: Final = "no_finding"
NOT_MENTIONED, POSITIVE, NEGATIVE, UNCERTAIN = range(4)

OBSERVATION_INDEX: Final = {name: index for index, name in enumerate(OBSERVATIONS)}
STATUS_INDEX: Final = {name: index for index, name in enumerate(STATUSES)}

# Over several mentions positive beats uncertain beats negative (guide, "The status of each").
_STRENGTH: Final = (0, 3, 1, 2)

Row = tuple[int, ...]
"""One status index per observation, in the order of `OBSERVATIONS`."""

EMPTY_ROW: Final[Row] = (NOT_MENTIONED,) * len(OBSERVATIONS)


def row_from_labels(labels: Mapping[str, str]) -> Row:
    """Turns `{"edema": "positive"}` into a row; `no_finding` is derived and therefore ignored.

    Raises `ValueError` on a name or a status outside the label space: a typo must not become "not mentioned".
    """
    row = list(EMPTY_ROW)
    for name, status in labels.items():
        if name == NO_FINDING:
            continue
        if name not in OBSERVATION_INDEX or status not in STATUS_INDEX:
            raise ValueError(f"unknown label {name}={status}")
        row[OBSERVATION_INDEX[name]] = STATUS_INDEX[status]
    return tuple(row)


def labels_from_row(row: Iterable[int]) -> dict[str, str]:
    """The inverse of `row_from_labels`; what is not mentioned is left out."""
    return {name: STATUSES[status] for name, status in zip(OBSERVATIONS, row, strict=True) if status != NOT_MENTIONED}


def merge_rows(rows: Iterable[Row]) -> Row:
    """Labels of a text made of parts: per observation the strongest status of any part."""
    merged = list(EMPTY_ROW)
    for row in rows:
        for index, status in enumerate(row):
            if _STRENGTH[status] > _STRENGTH[merged[index]]:
                merged[index] = status
    return tuple(merged)


def no_finding(row: Row) -> bool:
    """No Finding is derived: nothing but Support Devices is positive or uncertain."""
    devices = OBSERVATION_INDEX["support_devices"]
    return all(status not in (POSITIVE, UNCERTAIN) for index, status in enumerate(row) if index != devices)

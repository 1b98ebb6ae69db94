"""Rows of the report: on how many checkpoints a finding is shown to hold."""

import pytest

from mechtests.report.cells import Cell, Column, Row
from tests import documents


@pytest.mark.parametrize(
    ("e_values", "many"),
    [
        ([83.0] * 4, 4),
        ([83.0, 83.0, 0.0, 0.0], 2),  # the mean of the three least is 27.7, and that of the four 41.5
        ([83.0, 0.0, 0.0, 0.0], 1),
        ([19.0] * 4, 0),
        ([1000.0, 0.0, None], 1),
        ([None, None], 0),
    ],
)
def test_a_finding_holds_on_as_many_checkpoints_as_its_e_values_show_together(e_values, many):
    (record, *_) = documents.of_every_verdict()["claims"]
    cells = {
        str(number): Cell(record | {"combined_e_value": e}, Column(str(number), None))
        for number, e in enumerate(e_values)
    }
    assert Row(record, cells).holds_on_at_least == many

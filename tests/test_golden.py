"""What the scripts gave before the house was redrawn, they give still: bars and files to the bit, numbers to rounding.

The cases, and how each is compared, are in golden/record.py; what they gave, in golden/golden.json and arrays.npz.
"""

import sys

import numpy as np
import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "tests" / "golden"))

import record

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def golden():
    return record.load()


def test_all_cases_were_recorded_and_no_others(golden):
    assert {key.split("/")[0] for key in golden} == set(record.CASES)
    assert sum(path.stat().st_size for path in record.GOLDEN.glob("*.*")) < 1.5e6


@pytest.mark.parametrize("case", record.CASES)
def test_a_case_gives_what_was_recorded(case, golden):
    wrong = record.differences(case, golden, record.compute(case))
    assert not wrong, "\n".join(wrong)


def test_whatever_is_recorded_is_compared(golden):
    """A value a little off is found, whichever it is, and so is one that is missing or new."""
    now = record.OLD_TO_NEW
    for key, value in golden.items():
        case = key.split("/")[0]
        mine = {now.get(name, name): value for name, value in golden.items() if name.startswith(f"{case}/")}
        if "/_" in key:
            continue
        if isinstance(value, np.ndarray):
            other = value.copy()
            other.flat[np.abs(value).argmax()] *= 0.99 if value.dtype.kind == "f" else 0
        else:
            other = value * 1.01 + 1e-3 if isinstance(value, float) else "another"
        assert len(record.differences(case, golden, mine | {now.get(key, key): other})) == 1, key
    assert record.differences("bars_at", golden, {}) and record.differences("bars_at", {}, {"bars_at/bars": 1})

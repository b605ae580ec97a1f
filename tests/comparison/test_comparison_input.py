"""Comparisons answer bad input before any training."""

import numpy as np
import pytest
from comparisons import INITIAL, Recorder, lenet, plain

from skclr import compare_schedules


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"candidates": {}}, ValueError, "candidates must be a dict"),
        ({"candidates": [plain()]}, ValueError, "candidates must be a dict"),
        ({"candidates": {1: plain()}}, TypeError, "strings for names"),
        ({"candidates": {"svm": object()}}, TypeError, "'svm' must be a CLRLeNetClassifier"),
        ({"candidates": {"cold": lenet("constant", max_lr=-1)}}, ValueError, "'cold'.*max_lr"),
        ({"seeds": 0}, ValueError, "seeds must be at least 1"),
        ({"seeds": []}, ValueError, "at least one"),
        ({"seeds": [1, 1]}, ValueError, "all be different"),
        ({"seeds": [0.5]}, ValueError, "seeds must be integers"),
        ({"y": None}, ValueError, "X has no labels"),
        ({"y": [0, 1]}, ValueError, "X has 120 samples, and 2 labels"),
        ({"X_test": np.zeros((80, 5, 5))}, ValueError, "fitted on images of shape"),
        ({"y_test": np.full(80, 12)}, ValueError, "y_test has labels"),
        ({"store": "no such folder/runs.csv"}, ValueError, "there is no folder"),
    ],
)
def test_bad_input_is_answered_before_any_training(changed, error, message, split):
    given = dict(zip(("X", "y", "X_test", "y_test"), split, strict=True))
    given["candidates"] = {"one": lenet("constant", callbacks=[Recorder()])}
    with pytest.raises(error, match=message):
        compare_schedules(**given | changed)
    assert not INITIAL

"""A store in the locales of several machines."""

import os
import subprocess
import sys

import pytest

from skclr import ScheduleComparison

COMPARE = """
import numpy as np
from skclr import CLRLeNetClassifier, compare_schedules

X, y = np.random.default_rng(0).random((20, 28, 28), "float32"), np.arange(20) % 2
net = CLRLeNetClassifier(max_epochs=1)
for seeds in (1, 2):
    compare_schedules({"gr\\xf6\\xdfer": net}, X, y, X, y, seeds=seeds, store="runs.csv")
"""


@pytest.mark.slow
def test_the_name_of_a_candidate_is_kept_in_a_locale_without_its_letters(tmp_path):
    ascii_only = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    subprocess.run(
        [sys.executable, "-c", COMPARE], check=True, cwd=tmp_path, env=os.environ | ascii_only
    )
    kept = ScheduleComparison.from_csv(tmp_path / "runs.csv")
    assert kept.runs["candidate"].tolist() == ["größer", "größer"]

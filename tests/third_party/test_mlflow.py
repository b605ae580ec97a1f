"""MLflow saves the classifier in its format of skops, and serves it, as the guide says."""

import re
import textwrap
from pathlib import Path

import pytest
import skops.io
from numpy.testing import assert_array_equal

from skclr import CLRLeNetClassifier

PAGE = Path(__file__).parents[2] / "docs" / "user_guide" / "deploying.rst"


def code_on_the_page():
    """Return the one block of code of the guide that is no doctest."""
    text = PAGE.read_text(encoding="utf-8")
    (block,) = re.findall(r"^\.\. code-block:: python\n\n((?:(?: {3}.*)?\n)+)", text, re.M)
    return textwrap.dedent(block)


def test_mlflow_saves_and_serves_without_a_pickle(two_classes, program, tmp_path, monkeypatch):
    mlflow_sklearn = program("mlflow.sklearn")
    if not PAGE.exists():
        pytest.skip("the documentation is not here")
    X, y = two_classes
    clf = CLRLeNetClassifier(max_epochs=1, random_state=0).fit(X, y)
    trusted = skops.io.get_untrusted_types(data=skops.io.dumps(clf))
    monkeypatch.chdir(tmp_path)
    names = {"clf": clf, "X_test": X, "trusted": trusted}
    exec(code_on_the_page(), names)
    assert_array_equal(names["served"].predict(X), clf.predict(X))
    loaded = mlflow_sklearn.load_model("clothes")
    assert_array_equal(loaded.predict_proba(X), clf.predict_proba(X))

"""mapie around the classifier: sets of labels that hold the true one as often as promised."""

import numpy as np

from skclr import CLRLeNetClassifier


def coverage(sets, y):
    return sets[np.arange(len(y)), y, 0].mean()


def test_a_fitted_classifier_is_conformalized_on_rows_of_pixels(fashion, program):
    mapie = program("mapie.classification")
    X, y = fashion
    clf = CLRLeNetClassifier(random_state=0).fit(X[:200], y[:200])
    rows = X.reshape(len(X), -1)
    conformal = mapie.SplitConformalClassifier(estimator=clf, confidence_level=0.9, prefit=True)
    conformal.conformalize(rows[200:], y[200:])
    labels, sets = conformal.predict_set(rows[200:])
    assert (labels == clf.predict(X[200:])).all()
    assert coverage(sets, y[200:]) >= 0.9  # on the rows that it was made with


def test_folds_are_trained_on_images(fashion, program):
    mapie = program("mapie.classification")
    X, y = fashion
    clf = CLRLeNetClassifier(random_state=0)
    conformal = mapie.CrossConformalClassifier(estimator=clf, confidence_level=0.9, cv=3)
    conformal.fit_conformalize(X, y)
    _, sets = conformal.predict_set(X)
    assert coverage(sets, y) > 0.8

"""Samplers of imbalanced-learn in front of the classifier, which work on rows."""

import numpy as np
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GridSearchCV

from skclr import CLRLeNetClassifier


def imbalanced(X, y):
    """Return all boots as rows, and a few trousers."""
    rare = np.flatnonzero(y == 1)[:8]
    chosen = np.sort(np.concatenate([np.flatnonzero(y == 9), rare]))
    return X[chosen].reshape(len(chosen), -1), y[chosen]


def test_a_pipeline_trains_on_as_many_of_each_class(fashion, program):
    pipeline = program("imblearn.pipeline")
    sampling = program("imblearn.over_sampling")
    X, y = imbalanced(*fashion)
    clf = CLRLeNetClassifier(batch_size=16, max_epochs=2, random_state=0)
    pipe = pipeline.make_pipeline(sampling.RandomOverSampler(random_state=0), clf).fit(X, y)
    n_boots = (y == 9).sum()
    n_seen = -(-2 * n_boots // 16) * 2  # updates of two epochs
    assert len(pipe[-1].history_frame("batch")) == n_seen
    assert balanced_accuracy_score(y, pipe.predict(X)) > 0.9


def test_a_search_goes_over_sampler_and_schedule(fashion, program):
    pipeline = program("imblearn.pipeline")
    sampling = program("imblearn.over_sampling")
    X, y = imbalanced(*fashion)
    steps = [
        ("sampler", sampling.SMOTE(k_neighbors=2, random_state=0)),
        ("clf", CLRLeNetClassifier(batch_size=16, max_epochs=1, random_state=0)),
    ]
    grid = {"sampler__k_neighbors": [1, 2], "clf__schedule": ["triangular", "one_cycle"]}
    search = GridSearchCV(
        pipeline.Pipeline(steps), grid, cv=2, scoring="balanced_accuracy", error_score="raise"
    )
    assert search.fit(X, y).best_score_ > 0.9

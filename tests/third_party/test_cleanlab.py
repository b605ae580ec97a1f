"""cleanlab finds wrong labels by the probabilities of the classifier."""

import numpy as np
import pytest

from skclr import CLRLeNetClassifier


@pytest.fixture
def wrongly_labelled(two_classes):
    X, y = two_classes
    labels = (y == 9).astype(np.int64)
    wrong = np.array([3, 17, 41, 52])
    labels[wrong] = 1 - labels[wrong]
    return X, labels, wrong


def test_wrong_labels_are_found_and_left_out_of_the_training(wrongly_labelled, program):
    classification = program("cleanlab.classification")
    X, labels, wrong = wrongly_labelled
    clf = CLRLeNetClassifier(batch_size=8, max_epochs=5, max_lr=0.02, random_state=0)
    cleaning = classification.CleanLearning(clf, cv_n_folds=3, seed=0)
    issues = cleaning.find_label_issues(X, labels)
    found = np.flatnonzero(issues["is_label_issue"])
    assert len(set(wrong) & set(found)) >= 3  # of the four
    assert len(found) <= 8
    cleaning.fit(X, labels, label_issues=issues)
    right = labels.copy()
    right[wrong] = 1 - right[wrong]
    assert (cleaning.predict(X) == right).mean() > 0.9

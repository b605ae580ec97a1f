"""skorch's callback that sets a module's input dimension from the data."""

import pytest
from classifiers import Flat
from skorch.callbacks import InputShapeSetter

from skclr import CLRLeNetClassifier


class Sized(Flat):
    """A linear classifier that is told how many values a sample has."""

    def __init__(self, input_dim=1, n_classes=10):
        super().__init__(n_classes=n_classes)
        self.linear = type(self.linear)(input_dim, n_classes)


@pytest.mark.parametrize(
    "callback",
    [InputShapeSetter(), InputShapeSetter, ("shape", InputShapeSetter("in_channels"))],
    ids=["instance", "class", "named"],
)
def test_without_a_function_of_its_own_it_is_refused_before_training(two_classes, callback):
    clf = CLRLeNetClassifier(callbacks=[callback])
    with pytest.raises(ValueError, match=r"InputShapeSetter.*input_dim_fn.*in_channels"):
        clf.fit(*two_classes)
    assert not hasattr(clf, "classes_")


def test_with_a_function_of_its_own_it_works(two_classes):
    setter = InputShapeSetter(input_dim_fn=lambda dataset: 32 * 32)
    clf = CLRLeNetClassifier(Sized, callbacks=[setter], max_epochs=2, random_state=0)
    clf.fit(*two_classes).partial_fit(*two_classes)
    assert clf.module_.linear.in_features == 32 * 32
    assert clf.score(*two_classes) > 0.8

"""Same seed, same bits, and generators that are left alone."""

import random

import numpy as np
import pytest
import torch
from classifiers import Flat, bits, global_states, in_a_fresh_process, lenet
from torch import nn

from skclr import CLRLeNetClassifier
from skclr.augmentation import RandomShiftFlip


def quick(**params):
    return CLRLeNetClassifier(
        **({"module": Flat, "max_epochs": 2, "max_lr": 0.01, "random_state": 0} | params)
    )


def draws_everywhere(images):
    """An augmentation that asks the generators of torch, NumPy and Python."""
    shift = random.random() + np.random.random()
    return images + 0.1 * torch.randn_like(images) + 0.01 * shift


def randomly_trained(random_state):
    return lenet(random_state=random_state, augmentation=draws_everywhere, validation_fraction=0.2)


def test_an_int_gives_the_same_bits_each_time(two_classes):
    X, y = two_classes
    first = bits(randomly_trained(7).fit(X, y), X)
    clf = randomly_trained(7)
    assert bits(clf.fit(X, y), X) == first
    assert bits(clf.fit(X, y), X) == first
    assert bits(randomly_trained(8).fit(X, y), X) != first


def test_a_random_state_instance_goes_on_from_fit_to_fit(two_classes):
    X, y = two_classes
    clf = randomly_trained(np.random.RandomState(7))
    first, second = bits(clf.fit(X, y), X), bits(clf.fit(X, y), X)
    assert first != second
    again = randomly_trained(np.random.RandomState(7))
    assert [bits(again.fit(X, y), X), bits(again.fit(X, y), X)] == [first, second]


def test_none_draws_on_the_generator_of_numpy(two_classes):
    X, y = two_classes
    kept = np.random.get_state()
    try:
        clf = randomly_trained(None)
        np.random.seed(7)
        first, second = bits(clf.fit(X, y), X), bits(clf.fit(X, y), X)
        assert first != second
        np.random.seed(7)
        assert bits(clf.fit(X, y), X) == first
    finally:
        np.random.set_state(kept)


@pytest.mark.parametrize("random_state", [0, np.random.RandomState(0), None], ids=str)
def test_global_generators_are_left_alone(two_classes, random_state):
    X, y = two_classes
    before = global_states()
    clf = randomly_trained(random_state).fit(X, y)
    clf.partial_fit(X, y)
    clf.predict(X)
    clf.set_params(module__activation=nn.ReLU)
    after = global_states()
    changed = {name for name in before if before[name] != after[name]}
    # None means NumPy's own generator to scikit-learn, and so it is drawn from
    assert changed == ({"numpy"} if random_state is None else set())


@pytest.mark.parametrize("n_threads", [2, 4])
def test_the_number_of_threads_does_not_matter_and_is_left_alone(fashion, n_threads):
    X, y = fashion
    expected = bits(randomly_trained(0).set_params(batch_size=200).fit(X, y), X)
    torch.set_num_threads(n_threads)
    try:
        clf = randomly_trained(0).set_params(batch_size=200).fit(X, y)
        assert bits(clf, X) == expected
        assert torch.get_num_threads() == n_threads
    finally:
        torch.set_num_threads(1)


TRAIN_AND_TELL = """
import hashlib, sys
import numpy as np
from skclr import CLRLeNetClassifier
from skclr.augmentation import RandomShiftFlip
data = np.load(sys.argv[1])
X, y = data["X"], data["y"]
clf = CLRLeNetClassifier(max_epochs=2, random_state=7, augmentation=RandomShiftFlip(),
                         validation_fraction=0.2).fit(X, y)
print(hashlib.sha256(clf.predict_proba(X).tobytes()).hexdigest())
"""


@pytest.mark.slow
def test_a_fresh_process_gives_the_same_bits(fashion, tmp_path):
    X, y = fashion
    np.savez(tmp_path / "data.npz", X=X, y=y)
    clf = CLRLeNetClassifier(
        max_epochs=2, random_state=7, augmentation=RandomShiftFlip(), validation_fraction=0.2
    )
    expected = bits(clf.fit(X, y), X)
    assert in_a_fresh_process(TRAIN_AND_TELL, tmp_path / "data.npz") == [expected]

"""Images that are brought to another size than that of LeNet-5, for networks of one's own."""

import io
import pickle

import numpy as np
import pytest
import torch
from classifiers import NAMES, weights
from numpy.testing import assert_allclose, assert_array_equal
from skorch.callbacks import Callback, InputShapeSetter
from torch import nn
from torch.utils.data import Dataset
from torchvision.transforms.v2.functional import pad, resize

from skclr import (
    CLRLeNetClassifier,
    LeNet5,
    compare_schedules,
    lr_candidates_test,
    lr_range_test,
)
from skclr._training import _network
from skclr.augmentation import RandomShiftFlip
from skclr.batches import ImagePreparation

SEEN = []


class Any(nn.Module):
    """A small convolutional network that takes images from 9 x 9 pixels on."""

    def __init__(self, in_channels=1, n_classes=10):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, 4, 9)
        self.linear = nn.Linear(4, n_classes)

    def forward(self, images):
        SEEN.append(images.detach().clone())
        return self.linear(self.conv(images).relu().mean((2, 3)))


class Sized(nn.Module):
    """A linear classifier that has to know the size of its images."""

    def __init__(self, in_channels=1, n_classes=10, image_size=28):
        super().__init__()
        height, width = image_size if isinstance(image_size, tuple) else (image_size, image_size)
        self.image_size = image_size
        self.linear = nn.Linear(in_channels * height * width, n_classes)

    def forward(self, images):
        return self.linear(images.flatten(1))


@pytest.fixture(autouse=True)
def _nothing_seen():
    SEEN.clear()


def own(module=Any, **params):
    given = {"max_epochs": 1, "max_lr": 0.01, "random_state": 0, "image_size": 48}
    return CLRLeNetClassifier(module, **(given | params))


def seen_in_prediction(clf, X):
    SEEN.clear()
    clf.predict(X)
    return torch.cat(SEEN).cpu().numpy()


# ---------------------------------------------------------------- what the network sees


def test_smaller_images_are_padded_in_the_middle(two_classes):
    X, y = two_classes
    clf = own(standardize=False).fit(X, y)
    assert_array_equal(seen_in_prediction(clf, X), pad(torch.from_numpy(X), [10] * 4)[:, None])


def test_larger_images_are_resized_as_torchvision_does(two_classes):
    X, y = two_classes
    large = np.kron(X, np.ones((1, 4, 4))).astype(np.float32)
    clf = own(standardize=False).fit(large, y)
    expected = resize(torch.from_numpy(large)[:, None], [48, 48], antialias=True)
    assert_allclose(seen_in_prediction(clf, large), expected, atol=1e-3)


def test_height_and_width_may_differ(two_classes):
    X, y = two_classes
    clf = own(standardize=False, image_size=(30, 40)).fit(X, y)
    expected = pad(torch.from_numpy(X), [6, 1, 6, 1])[:, None]
    assert_array_equal(seen_in_prediction(clf, X), expected)


@pytest.mark.parametrize("augmentation", [None, RandomShiftFlip()])
@pytest.mark.parametrize("size", [16, np.int64(48), (20, 64)])
def test_training_and_its_augmentation_are_of_that_size(two_classes, size, augmentation):
    X, y = two_classes
    colour = np.repeat(X[:, None], 3, axis=1)
    own(image_size=size, augmentation=augmentation, validation_fraction=0.2).fit(colour, y)
    expected = size if isinstance(size, tuple) else (size, size)
    assert {tuple(images.shape[1:]) for images in SEEN} == {(3, *expected)}


def test_images_of_a_dataset_become_those_of_an_array(two_classes):
    X, y = two_classes

    class OneByOne(Dataset):
        def __len__(self):
            return len(X)

        def __getitem__(self, index):
            return X[index], y[index]

    assert_array_equal(weights(own().fit(OneByOne())), weights(own().fit(X, y)))


def test_a_size_of_32_given_as_a_pair_is_the_default(two_classes):
    X, y = two_classes
    expected = CLRLeNetClassifier(max_epochs=1, random_state=0).fit(X, y)
    clf = CLRLeNetClassifier(image_size=(32, 32), max_epochs=1, random_state=0).fit(X, y)
    assert_array_equal(weights(clf), weights(expected))


@pytest.mark.parametrize(("size", "told"), [(32, 32), (48, 48), ((24, 24), 24), ((20, 30),) * 2])
def test_a_module_that_asks_for_the_size_is_told(two_classes, size, told):
    assert own(Sized, image_size=size).fit(*two_classes).module_.image_size == told
    assert own(Sized, image_size=size).initialize().module_.image_size in (size, told)


def test_a_network_built_for_another_size_before_any_data_is_built_anew(two_classes):
    clf = own(Sized).initialize().set_params(image_size=20)
    assert_array_equal(
        weights(clf.partial_fit(*two_classes)),
        weights(own(Sized, image_size=20).fit(*two_classes)),
    )


def test_large_images_are_answered_a_few_at_a_time(two_classes):
    X, y = two_classes
    many = np.tile(X, (10, 1, 1))
    clf = own(image_size=128).fit(X, y)
    SEEN.clear()
    proba = clf.predict_proba(many)
    assert max(len(images) for images in SEEN) * 128**2 <= 256 * 32**2
    assert_allclose(proba, np.tile(clf.predict_proba(X), (10, 1)), atol=1e-6)


# ---------------------------------------------------------------- refusals


def refused(clf, data, message):
    """Look that fit raises this before any training, and leaves the classifier as it was."""
    before = dict(vars(clf))
    with pytest.raises(ValueError, match=message):
        clf.fit(*data)
    assert dict(vars(clf)) == before
    assert not hasattr(clf, "classes_")


@pytest.mark.parametrize("size", [16, 64, (32, 16)])
@pytest.mark.parametrize("module", [LeNet5, LeNet5(), LeNet5(3, 7)])
def test_lenet_with_another_size_is_refused(two_classes, size, module):
    message = "LeNet5 takes images of 32 x 32 pixels alone: give a module of your own"
    refused(CLRLeNetClassifier(module, image_size=size), two_classes, message)


@pytest.mark.parametrize("size", [True, (), (32,), (32, 0), (1.5, 32), (8, 8, 8), ("a", "b")])
def test_what_is_no_size_is_refused(two_classes, size):
    refused(own(image_size=size), two_classes, r"image_size must be a positive integer, or a tuple")
    with pytest.raises(ValueError, match="size must be a positive integer"):
        ImagePreparation((1, 8, 8), size=size)


class Asserting(Any):
    def forward(self, images):
        assert images.shape[2] >= 20, "too small for me"
        return super().forward(images)


@pytest.mark.parametrize("module", [Any, Any(1, 2), Asserting, nn.Sequential(nn.Linear(3, 2))])
def test_a_size_that_the_network_cannot_take_is_refused_before_the_data_are_read(module):
    class Unread(Dataset):
        targets = np.arange(40) % 2

        def __len__(self):
            return 40

        def __getitem__(self, index):
            if index > 1:
                pytest.fail("more was read than an image of each class")
            return np.zeros((30, 30)), index

    for size in (8, (8, 40)):
        message = rf"cannot take.*\(2, 1, {np.ravel(size)[0]}, .*image_size sets.*torch says: \w"
        refused(own(module, image_size=size), (Unread(),), message)


def test_a_module_whose_own_size_is_another_is_refused(two_classes):
    refused(own(Sized, module__image_size=30), two_classes, r"cannot take.*\(2, 1, 48, 48\)")


def test_a_comparison_refuses_it_before_any_training(two_classes):
    X, y = two_classes
    candidates = {"good": own(), "bad": own(image_size=4)}
    with pytest.raises(ValueError, match=r"Candidate 'bad': The network cannot take"):
        compare_schedules(candidates, X, y, X, y, seeds=1)
    assert all(not images.any() for images in SEEN)  # no training, and none of the images


def test_the_global_generators_and_the_net_are_as_before_the_trial(two_classes):
    class Drawing(Any):
        def __init__(self, in_channels=1, n_classes=10):
            super().__init__(in_channels, n_classes)
            self.n_calls = 0

        def forward(self, images):
            self.n_calls += 1
            return super().forward(images) + 0 * torch.rand(())

    module = Drawing(1, 2)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    clf = own(module, batch_size=60).fit(*two_classes)
    assert torch.equal(torch.get_rng_state(), before)
    assert module.n_calls == 0
    assert clf.module_.n_calls == 2  # an update, and a look at its outcome


@pytest.mark.parametrize("as_class", [False, True])
def test_a_callback_may_set_up_the_network_when_training_begins(two_classes, as_class):
    class Own(Callback):
        def on_train_begin(self, net, **kwargs):
            if net.module_.image_size != 48:
                net.set_params(module__image_size=48)

    setter = Own if as_class else InputShapeSetter("image_size", input_dim_fn=lambda data: 48)
    clf = own(Sized, module__image_size=10, callbacks=[setter]).fit(*two_classes)
    assert clf.module_.linear.in_features == 48 * 48


# ---------------------------------------------------------------- trainings that go on


def test_another_size_takes_effect_with_a_new_fit(two_classes):
    X, y = two_classes
    clf = own(warm_start=True).fit(X, y)
    proba = clf.predict_proba(X)
    clf.set_params(image_size=40)
    assert_array_equal(clf.predict_proba(X), proba)
    for method in (clf.partial_fit, clf.fit):
        with pytest.raises(ValueError, match=r"takes effect with a new fit.* 48 x 48"):
            method(X, y)
    assert_array_equal(clf.predict_proba(X), proba)
    SEEN.clear()
    clf.set_params(warm_start=False).fit(X, y)
    assert {images.shape[-1] for images in SEEN} == {40}


def test_a_training_that_goes_on_sees_the_same_size(two_classes):
    X, y = two_classes
    clf = own().fit(X, y).set_params(image_size=(48, 48)).partial_fit(X, y)
    assert {images.shape[-1] for images in SEEN} == {48}
    assert len(clf.history) == 2


def test_a_checkpoint_of_another_size_is_refused(two_classes, tmp_path):
    file = tmp_path / "training.safetensors"
    clf = own(checkpoint=file).fit(*two_classes)
    again = own(checkpoint=file).fit(*two_classes)
    assert_array_equal(weights(again), weights(clf))
    with pytest.raises(ValueError, match="image_size is 48 there and 40 here"):
        own(checkpoint=file, image_size=40).fit(*two_classes)


# ---------------------------------------------------------------- saving


def saved(clf):
    file = io.BytesIO()
    clf.save_params(f_params=file, use_safetensors=True)
    file.seek(0)
    return file


@pytest.mark.parametrize("size", [48, (20, 40)])
def test_a_file_makes_a_classifier_of_the_same_size(two_classes, size):
    X, y = two_classes
    clf = own(Sized, image_size=size).fit(X, NAMES[y])
    loaded = own(Sized, image_size=size)
    loaded.load_params(f_params=saved(clf), use_safetensors=True)
    assert_array_equal(loaded.predict_proba(X), clf.predict_proba(X))
    assert len(loaded.partial_fit(X, NAMES[y]).history) == 1
    copied = pickle.loads(pickle.dumps(clf))
    assert_array_equal(copied.predict_proba(X), clf.predict_proba(X))


def test_a_file_of_another_size_is_refused(two_classes):
    X, y = two_classes
    clf, other = own().fit(X, y), own(image_size=40).fit(X, y)
    proba = other.predict_proba(X)
    with pytest.raises(ValueError, match=r"image_size=\(48, 48\), and this one has image_size=40"):
        other.load_params(f_params=saved(clf), use_safetensors=True)
    assert_array_equal(other.predict_proba(X), proba)


def test_a_state_pickled_before_there_were_sizes_is_of_32():
    state = CLRLeNetClassifier(Any, max_epochs=1, random_state=0)
    X = np.random.RandomState(0).randint(0, 255, (20, 28, 28), np.uint8)
    state.fit(X, np.arange(20) % 2)
    proba = state.predict_proba(X)
    del state._prediction.__dict__["image_size"], state.__dict__["image_size"]
    again = pickle.loads(pickle.dumps(state))
    assert again.image_size == 32
    assert_array_equal(again.predict_proba(X), proba)
    again.partial_fit(X, np.arange(20) % 2)


def test_the_network_is_traced_and_exported_for_images_of_that_size(two_classes):
    X, y = two_classes
    clf = own(Sized, image_size=(24, 40)).fit(X, y)
    prepare = ImagePreparation(
        clf.image_shape_, clf.pixel_mean_, clf.pixel_std_, size=clf.image_size
    )
    images, module = prepare(torch.from_numpy(X[:, None])), clf.module_.eval()
    sizes = ({0: torch.export.Dim("n")},)
    exported = torch.export.export(module, (images[:5],), dynamic_shapes=sizes).module()
    for network in (exported, torch.jit.trace(module, images[:5])):
        assert_array_equal(clf.classes_[network(images).argmax(1)], clf.predict(X))


# ---------------------------------------------------------------- searches for the rate


def test_range_tests_and_comparisons_see_that_size(two_classes):
    X, y = two_classes
    lr_range_test(own(), X, y, n_iter=10, n_repeats=1, min_lr=1e-5, max_lr=1e-4, random_state=0)
    lr_candidates_test(own(), X, y, lrs=[0.01, 0.1], epochs=1, random_state=0)
    comparison = compare_schedules({"one": own(), "two": own()}, X, y, X, y, seeds=1)
    assert comparison.runs["status"].tolist() == ["ok", "ok"]
    assert {images.shape[-1] for images in SEEN} == {48}


def test_images_as_small_as_those_of_lenet_are_answered_as_many_at_a_time_as_before():
    for size in (16, 32, (16, 64)):
        clf = own(image_size=size).fit(np.zeros((20, 8, 8)), np.arange(20) % 2)
        assert clf.get_params_for("iterator_valid")["batch_size"] == _network.INFERENCE_BATCH_SIZE

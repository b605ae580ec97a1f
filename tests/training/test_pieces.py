"""A batch in pieces: where it is cut, and that neither pieces nor threads change the model."""

import threading
import time

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.testing import assert_allclose, assert_array_equal
from torch import nn

from skclr import CLRLeNetClassifier, LeNet5
from skclr._process import one_thread, side_by_side
from skclr._training._pieces import cut, draw_nothing, fewest_to_share, is_mean_of_pieces
from skclr.augmentation import RandomShiftFlip

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _threads_put_back():
    n_threads = torch.get_num_threads()
    yield
    torch.set_num_threads(n_threads)


def sizes(n, **kwargs):
    return [part.stop - part.start for part in cut(n, CPU, **kwargs)]


# ---------------------------------------------------------------- where a batch is cut


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("n", [0, 1, 2, 31, 32, 33, 64, 255, 256, 257, 513, 1000, 4096])
def test_pieces_cover_the_batch_in_order_and_stay_small(n, shared):
    parts = cut(n, CPU, shared=shared)
    covered = [index for part in parts for index in range(n)[part]]
    assert covered == list(range(n))
    assert max(sizes(n, shared=shared)) <= 256
    assert max(sizes(n, shared=shared)) - min(sizes(n, shared=shared)) <= 1


def test_pieces_that_are_shared_come_in_pairs_unless_they_would_be_tiny():
    assert sizes(64, shared=True) == [32, 32]
    assert sizes(64, shared=False) == [64]
    assert sizes(600, shared=True) == [150] * 4
    assert sizes(63, shared=True) == [63]
    assert len(cut(4096, torch.device("cuda"), shared=False)) == 1


def test_a_network_that_shares_its_blocks_is_given_one_piece_up_to_the_largest():
    by_blocks, by_pieces = LeNet5(engine="numba"), LeNet5()
    fewest = fewest_to_share(by_blocks)
    assert [sizes(n, shared=True, fewest=fewest) for n in (64, 256, 257)] == [
        [64], [256], [128, 129],
    ]  # fmt: skip
    by_blocks.engine = "torch"
    for other in (by_blocks, by_pieces, nn.Linear(2, 2)):
        assert fewest_to_share(other) == 64


def test_what_is_shared_within_something_shared_is_computed_in_turn():
    torch.set_num_threads(3)
    seen = []

    def outer(place):
        inner = side_by_side(lambda item: (item, threading.get_ident()), range(4))
        seen.append(len({thread for _, thread in inner}))
        return [item for item, _ in inner]

    with one_thread():
        assert side_by_side(outer, range(6)) == [[0, 1, 2, 3]] * 6
        assert seen == [1] * 6
        with pytest.raises(ZeroDivisionError):
            side_by_side(lambda item: side_by_side(lambda part: 1 // part, [1, 0]), range(6))
        together = threading.Barrier(3, timeout=60)
        assert side_by_side(lambda item: together.wait() >= 0, range(3)) == [True] * 3


def test_pieces_of_large_images_hold_no_more_pixels_down_to_a_few_images():
    assert sizes(256, shared=False, image_size=(64, 64)) == [64] * 4
    assert sizes(256, shared=False, image_size=(32, 64)) == [128] * 2
    assert sizes(64, shared=True, image_size=(512, 512)) == [16] * 4
    assert sizes(256, shared=False, image_size=(8, 8)) == [256]
    assert len(cut(512, torch.device("cuda"), shared=False, image_size=(128, 128))) == 2


# ---------------------------------------------------------------- threads


def test_side_by_side_answers_in_order_whoever_is_done_first():
    torch.set_num_threads(3)
    seen = set()

    def slowest_first(number):
        seen.add(threading.current_thread())
        time.sleep(0.05 / (1 + number))
        return number**2, torch.get_num_threads(), torch.is_grad_enabled()

    with one_thread(), torch.no_grad():
        answers = side_by_side(slowest_first, range(6))
    assert answers == [(number**2, 1, False) for number in range(6)]
    assert len(seen) == 3
    assert torch.get_num_threads() == 3


def test_an_error_in_another_thread_is_raised():
    torch.set_num_threads(2)

    def fail(number):
        if threading.current_thread() is not threading.main_thread():
            raise ArithmeticError("in a piece")
        time.sleep(0.05)

    with one_thread(), pytest.raises(ArithmeticError, match="in a piece"):
        side_by_side(fail, range(4))


def test_outside_of_a_training_and_with_one_thread_nothing_is_started():
    before = threading.active_count()
    assert side_by_side(lambda number: threading.active_count(), [1, 2]) == [before] * 2
    torch.set_num_threads(1)
    with one_thread():
        assert side_by_side(lambda number: threading.active_count(), [1, 2]) == [before] * 2


class Dropping(nn.Sequential):
    """A network of one's own that draws random numbers."""

    def __init__(self, n_classes=10):
        super().__init__(nn.Flatten(), nn.Dropout(0.5), nn.Linear(1024, n_classes))


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"batch_size": 300},
        {"augmentation": RandomShiftFlip()},
        {"augmentation": lambda images: images + torch.rand(len(images), 1, 1, 1)},
        {"module": Dropping},
        {"module__activation": nn.ReLU},
    ],
    ids=["default", "large batch", "augmented", "own augmentation", "dropout", "ReLU"],
)
def test_the_number_of_threads_changes_no_bit(fashion, params):
    models = []
    for n_threads in (1, 2, 4):
        torch.set_num_threads(n_threads)
        clf = CLRLeNetClassifier(**({"max_epochs": 1, "random_state": 0} | params)).fit(*fashion)
        state = [value.flatten() for value in clf.module_.state_dict().values()]
        models.append(np.concatenate([torch.cat(state), clf.predict_proba(fashion[0]).ravel()]))
    assert_array_equal(models[1], models[0])
    assert_array_equal(models[2], models[0])


# ---------------------------------------------------------------- the same update


def plain_lenet(state, images):
    """LeNet-5 from torch's own functions, C5 as a convolution."""
    maps = F.avg_pool2d(torch.tanh(F.conv2d(images, state["conv1.weight"], state["conv1.bias"])), 2)
    maps = F.avg_pool2d(torch.tanh(F.conv2d(maps, state["conv2.weight"], state["conv2.bias"])), 2)
    kernel = state["fc1.weight"].view(120, 16, 5, 5)
    features = torch.tanh(F.conv2d(maps, kernel, state["fc1.bias"])).flatten(1)
    features = torch.tanh(F.linear(features, state["fc2.weight"], state["fc2.bias"]))
    return F.linear(features, state["fc3.weight"], state["fc3.bias"])


@pytest.mark.parametrize("batch_size", [64, 400])
def test_an_epoch_is_that_of_a_plain_loop_over_whole_batches(fashion, batch_size):
    X, y = fashion
    rate = 0.02
    clf = CLRLeNetClassifier(
        schedule="constant",
        max_lr=rate,
        batch_size=batch_size,
        max_epochs=1,
        random_state=0,
        iterator_train__shuffle=False,
    )
    clf.fit(X, y)
    state = fresh_weights(clf)
    images = F.pad(torch.from_numpy(X).float()[:, None], (2, 2, 2, 2))
    images = (images - clf.pixel_mean_[0]) / clf.pixel_std_[0]
    optimizer = torch.optim.SGD(state.values(), lr=rate, momentum=0.9)
    n_batches = -(-len(X) // batch_size)
    for batch in range(n_batches):
        part = slice(len(X) * batch // n_batches, len(X) * (batch + 1) // n_batches)
        loss = F.cross_entropy(plain_lenet(state, images.float()[part]), torch.from_numpy(y)[part])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for name, value in clf.module_.state_dict().items():
        assert_allclose(value, state[name].detach(), atol=2e-6)


def fresh_weights(clf):
    """Return the weights that a training of the same seed begins with."""
    drawn = {}
    untrained = CLRLeNetClassifier(**clf.get_params(deep=False))

    def stop(images):
        drawn.update(untrained.module_.state_dict())
        raise InterruptedError

    X = np.zeros((20, 28, 28), np.uint8)
    X[::2] = 1
    with pytest.raises(InterruptedError):
        untrained.set_params(augmentation=stop).fit(X, np.arange(20) % 10)
    return {name: value.clone().requires_grad_() for name, value in drawn.items()}


# ---------------------------------------------------------------- what may be cut or shared


def test_only_modules_that_draw_nothing_are_computed_at_the_same_time():
    assert draw_nothing(LeNet5(), nn.CrossEntropyLoss())
    assert draw_nothing(nn.Sequential(nn.Flatten(), nn.Linear(1024, 10)))
    assert not draw_nothing(LeNet5(activation=nn.RReLU))
    assert not draw_nothing(nn.Sequential(nn.Flatten(), nn.Dropout(0.1)))
    assert not draw_nothing(Dropping())
    hooked = LeNet5()
    hooked.conv1.register_forward_hook(lambda module, args, output: None)
    assert not draw_nothing(hooked)
    with torch.autocast("cpu"):
        assert not draw_nothing(LeNet5())


@pytest.mark.parametrize("layer", ["activation", "activation3", "conv2", "fc3"])
@pytest.mark.parametrize(
    "kind", ["forward_hook", "forward_pre_hook", "full_backward_hook", "full_backward_pre_hook"]
)
def test_modules_with_hooks_are_not_computed_at_the_same_time(kind, layer):
    net = LeNet5()
    hook = getattr(getattr(net, layer), f"register_{kind}")(lambda *args: None)
    assert not draw_nothing(net)
    hook.remove()
    assert draw_nothing(net)


def test_a_batch_is_cut_only_where_its_loss_is_a_mean_over_samples():
    assert is_mean_of_pieces(nn.CrossEntropyLoss(), LeNet5())
    assert not is_mean_of_pieces(nn.CrossEntropyLoss(reduction="sum"), LeNet5())
    assert not is_mean_of_pieces(nn.CrossEntropyLoss(weight=torch.ones(10)), LeNet5())
    assert not is_mean_of_pieces(nn.CrossEntropyLoss(ignore_index=2), LeNet5())
    assert not is_mean_of_pieces(nn.CrossEntropyLoss(), nn.Sequential(nn.BatchNorm2d(1)))

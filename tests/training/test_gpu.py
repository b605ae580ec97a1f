"""Trainings on a GPU: as on the CPU, and recorded or not with the same numbers."""

import io
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from skorch.callbacks import Callback
from torch import nn
from torch.utils.data import DataLoader
from trainings_to_record import TRAININGS, KeepGradients, WatchGraphs, numbers_of, trained

from skclr import CLRLeNetClassifier, compare_schedules, lr_range_test
from skclr._training import _captures, _graphs, _pieces
from skclr.batches import ImageDataset, _on_device

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

PLAIN = {"max_epochs": 2, "batch_size": 32, "random_state": 0}
AS_ON_THE_CPU = [
    "default", "triangular", "batch doubling", "shifts and flips", "own augmentation",
    "weights of samples", "label smoothing", "held out", "decay", "average", "frozen for a while",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _exact(monkeypatch):
    """Convolve with all digits and always the same, and record what comes a third time."""
    kept = torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic
    torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic = False, True
    monkeypatch.setattr(_graphs, "_TIMES_BEFORE", 2)
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic = kept


def without_graphs(monkeypatch):
    monkeypatch.setattr(_graphs, "has_graphs", lambda device: False)


def losses_of(clf):
    return [row["train_loss"] for epoch in clf.history_ for row in epoch["batches"]
            if "train_loss" in row]  # fmt: skip


def assert_same_training(own, other, atol=1e-5):
    """Compare weights, updates and epochs; print whether the bits of the weights are the same."""
    (weights, epochs, updates), (others, other_epochs, other_updates) = map(
        numbers_of, (own, other)
    )
    print("same bits:", all(torch.equal(weights[name], others[name]) for name in weights))
    for name, value in weights.items():
        assert_allclose(value, others[name], atol=atol, err_msg=name)
    assert_allclose(np.array(updates, float), np.array(other_updates, float), 1e-3, atol)
    scores, others = (np.array(rows, float)[:, :4] for rows in (epochs, other_epochs))
    assert_allclose(scores, others, rtol=1e-3, atol=0.02)  # an image or two


# ---------------------------------------------------------------- the same numbers


@pytest.mark.parametrize("name", TRAININGS)
def test_recorded_updates_are_those_without_recording(fashion, name, monkeypatch):
    recorded, n_launches = trained(*fashion, *TRAININGS[name], device="cuda")
    without_graphs(monkeypatch)
    plain, none = trained(*fashion, *TRAININGS[name], device="cuda")
    assert none == 0
    assert n_launches > 5
    assert_same_training(recorded, plain)


@pytest.mark.parametrize("name", AS_ON_THE_CPU)
def test_a_training_is_that_of_the_cpu(fashion, name):
    on_gpu, n_launches = trained(*fashion, *TRAININGS[name], device="cuda")
    on_cpu, _ = trained(*fashion, *TRAININGS[name])
    assert n_launches > 5
    assert next(on_gpu.module_.parameters()).is_cuda
    assert_same_training(on_gpu, on_cpu, atol=2e-3)
    assert_allclose(on_gpu.predict_proba(fashion[0]), on_cpu.predict_proba(fashion[0]), atol=5e-3)


def test_a_batch_in_several_pieces_is_recorded_as_a_whole(fashion, monkeypatch):
    monkeypatch.setattr(_pieces, "_LARGEST_ELSEWHERE", 48)
    parameters = {"batch_size": 100, "max_epochs": 4}
    recorded, n_launches = trained(*fashion, parameters, {}, device="cuda")
    without_graphs(monkeypatch)
    plain, _ = trained(*fashion, parameters, {}, device="cuda")
    assert n_launches > 5
    assert_same_training(recorded, plain)


def test_gradients_and_scores_that_callbacks_keep_stay_as_they_were(fashion, monkeypatch):
    kept = []
    for _ in range(2):
        keep = KeepGradients()
        trained(*fashion, {"callbacks": [keep]}, {}, device="cuda")
        kept.append([tensor.detach().cpu() for tensor in keep.gradients_ + keep.scores_])
        without_graphs(monkeypatch)
    for own, expected in zip(*kept, strict=True):
        assert_allclose(own, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("module", "records"),
    [
        (nn.Sequential(nn.Flatten(), nn.Dropout(0.2), nn.Linear(1024, 10)), False),
        (nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(1024, 10)), False),
        (nn.Sequential(nn.Flatten(), nn.Linear(1024, 10)), True),
    ],
    ids=["dropout", "batch normalization", "dense"],
)
def test_a_network_of_ones_own_is_trained(fashion, module, records):
    clf, n_launches = trained(*fashion, {"module": module}, {}, device="cuda")
    assert (n_launches > 0) is records
    assert np.isfinite(losses_of(clf)).all()
    assert clf.predict(fashion[0]).shape == fashion[1].shape


# ---------------------------------------------------------------- images on the GPU


class Look(Callback):
    """Notes where the images of the batches are."""

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        self.are_there_ = set()

    def on_batch_end(self, net, batch=None, training=None, **kwargs):
        self.are_there_.add((bool(training), batch[0].is_cuda))


@pytest.mark.parametrize("name", ["held out", "weights of samples", "shifts and flips"])
def test_images_that_do_not_fit_give_the_same(fashion, name, monkeypatch):
    parameters, of_fit = TRAININGS[name]
    fitted, seen = [], []
    for _ in range(2):
        look = Look()
        fitted.append(trained(*fashion, parameters | {"callbacks": [look]}, of_fit, device="cuda"))
        seen.append(look.are_there_)
        monkeypatch.setattr(_on_device, "free_memory", lambda device: 0)
    assert {there for _, there in seen[0]} == {True}
    assert {there for _, there in seen[1]} == {False}
    assert_same_training(fitted[0][0], fitted[1][0], atol=1e-7)


def test_a_memory_map_stays_on_the_disk(fashion, tmp_path):
    X, y = fashion
    np.save(tmp_path / "X.npy", X)
    look = Look()
    clf = CLRLeNetClassifier(**PLAIN, device="cuda", callbacks=[look])
    clf.fit(np.load(tmp_path / "X.npy", mmap_mode="r"), y)
    assert look.are_there_ == {(True, False)}
    in_memory = CLRLeNetClassifier(**PLAIN, device="cuda").fit(X, y)
    assert_same_training(clf, in_memory)


def test_no_memory_of_the_gpu_is_left_behind(fashion):
    allocated = []
    for _ in range(3):
        clf, n_launches = trained(*fashion, {}, {}, device="cuda")
        assert n_launches > 5
        del clf
        torch.cuda.synchronize()
        allocated.append(torch.cuda.memory_allocated())
    assert allocated[2] <= allocated[1]


def test_the_generator_of_the_gpu_is_left_as_it_was(fashion):
    torch.cuda.manual_seed(3)
    state = torch.cuda.get_rng_state()
    trained(*fashion, TRAININGS["shifts and flips"][0], {}, device="cuda")
    assert torch.equal(torch.cuda.get_rng_state(), state)


# ---------------------------------------------------------------- what else a classifier does


def test_labels_that_are_words(fashion):
    X, y = fashion
    words = np.array([f"class {label}" for label in y])
    clf = CLRLeNetClassifier(**PLAIN, device="cuda").fit(X, words)
    numbers = CLRLeNetClassifier(**PLAIN, device="cuda").fit(X, y)
    assert_same_training(clf, numbers)
    assert set(clf.predict(X)) <= set(words)


def test_a_training_goes_on(fashion):
    once = CLRLeNetClassifier(**PLAIN, schedule="triangular", step_size=1, device="cuda")
    once.set_params(max_epochs=4).fit(*fashion)
    twice = CLRLeNetClassifier(**PLAIN, schedule="triangular", step_size=1, device="cuda")
    twice.fit(*fashion).partial_fit(*fashion)
    assert_same_training(twice, once)


class Crash(Callback):
    """Ends a training in the middle of its third epoch."""

    only_watches = True

    def on_batch_end(self, net, training=None, **kwargs):
        if training and (len(net.history), len(net.history[-1]["batches"])) == (3, 7):
            raise ArithmeticError("a crash")


@pytest.mark.parametrize("augmented", [False, True])
def test_a_checkpoint_is_gone_on_with(fashion, tmp_path, augmented):
    name = "shifts and flips" if augmented else "weights of samples"
    parameters, of_fit = TRAININGS[name]
    given = PLAIN | parameters | {"device": "cuda", "max_epochs": 4}
    file = {"checkpoint": tmp_path / "training.safetensors", "checkpoint_every": 0.25}
    whole = CLRLeNetClassifier(**given).fit(*fashion, **of_fit)
    with pytest.raises(ArithmeticError, match="a crash"):
        CLRLeNetClassifier(**given, **file, callbacks=[Crash()]).fit(*fashion, **of_fit)
    again = CLRLeNetClassifier(**given, **file).fit(*fashion, **of_fit)
    assert_same_training(again, whole)


def test_saved_weights_are_loaded_on_the_cpu(fashion):
    X, y = fashion
    clf = CLRLeNetClassifier(**PLAIN, device="cuda").fit(X, y)
    file = io.BytesIO()
    clf.save_params(f_params=file, use_safetensors=True)
    file.seek(0)
    loaded = CLRLeNetClassifier()
    loaded.load_params(f_params=file, use_safetensors=True)
    assert next(loaded.module_.parameters()).device.type == "cpu"
    assert_allclose(loaded.predict_proba(X), clf.predict_proba(X), atol=1e-4)


def test_a_pickle_is_loaded_where_there_is_no_gpu(fashion, tmp_path):
    X, y = fashion
    clf = CLRLeNetClassifier(**PLAIN, schedule="triangular", device="cuda").fit(X, y)
    (tmp_path / "clf.pickle").write_bytes(pickle.dumps(clf))
    assert_array_equal(pickle.loads(pickle.dumps(clf)).predict(X), clf.predict(X))
    np.save(tmp_path / "X.npy", X)
    program = (
        "import pickle, sys, numpy as np, torch\n"
        "assert not torch.cuda.is_available()\n"
        "clf = pickle.load(open('clf.pickle', 'rb'))\n"
        "np.save('proba.npy', clf.predict_proba(np.load('X.npy')))"
    )
    paths = os.pathsep.join(map(os.path.abspath, sys.path))
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": paths}
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment, check=True)
    assert_allclose(np.load(tmp_path / "proba.npy"), clf.predict_proba(X), atol=1e-4)


def test_the_range_test(fashion):
    found = {
        device: lr_range_test(
            CLRLeNetClassifier(batch_size=32, device=device), *fashion, n_repeats=2, random_state=0
        )
        for device in ("cuda", "cpu")
    }
    n = len(found["cpu"].lrs) // 2  # before the loss explodes, where a digit makes a difference
    assert_array_equal(found["cuda"].lrs, found["cpu"].lrs)
    own, expected = (np.asarray(found[device].losses)[..., :n] for device in ("cuda", "cpu"))
    assert_allclose(own, expected, rtol=0.02)


def test_boundaries_that_are_measured(fashion):
    clf = CLRLeNetClassifier(
        base_lr="auto", max_lr="auto", schedule="triangular", device="cuda", random_state=0
    )
    assert clf.set_params(max_epochs=2).fit(*fashion).lr_range_.max_lr > 0


def test_schedules_are_compared(fashion):
    X, y = fashion
    some = {
        name: CLRLeNetClassifier(schedule=name, max_lr=0.05, step_size=1, device="cuda")
        for name in ("lr_halving", "batch_doubling")
    }
    some = {name: clf.set_params(max_epochs=2) for name, clf in some.items()}
    runs = compare_schedules(some, X[:300], y[:300], X[300:], y[300:], seeds=2).runs
    assert np.isfinite(runs["test_loss"]).all()


def test_a_data_set_and_a_data_loader(fashion):
    X, y = fashion
    dataset = ImageDataset(X[:, np.newaxis], y)
    own = CLRLeNetClassifier(**PLAIN, device="cuda").fit(dataset)
    arrays = CLRLeNetClassifier(**PLAIN, device="cuda").fit(X, y)
    assert_same_training(own, arrays)
    assert dataset.on_device is None
    clf = CLRLeNetClassifier(**PLAIN, device="cuda", iterator_train=DataLoader)
    assert np.isfinite(losses_of(clf.fit(X, y))).all()


@pytest.mark.parametrize("shape", [(28, 28), (784,), (48, 40), (32, 32, 3)])
@pytest.mark.parametrize("dtype", ["uint8", "float32", "int64"])
def test_images_of_all_kinds(shape, dtype):
    random = np.random.RandomState(0)
    X = random.randint(0, 255, (120, *shape)).astype(dtype)
    y = np.arange(120) % 3
    on_gpu, n_launches = trained(X, y, {"max_epochs": 6}, {}, device="cuda")
    on_cpu, _ = trained(X, y, {"max_epochs": 6}, {})
    assert n_launches > 5
    assert_allclose(losses_of(on_gpu), losses_of(on_cpu), rtol=1e-2)


def test_a_capture_that_fails_leaves_the_training_and_torch_as_they_were(fashion, monkeypatch):
    name = "shifts and flips"
    plain, _ = trained(*fashion, *TRAININGS[name], device="cuda")
    compute = _graphs.Recording._computed

    def waiting(self, step):
        loss, *rest = compute(self, step)
        if torch.cuda.is_current_stream_capturing():
            loss.item()
        return loss, *rest

    monkeypatch.setattr(_graphs.Recording, "_computed", waiting)
    with pytest.warns(RuntimeWarning, match="could not be recorded"):
        clf, n_launches = trained(*fashion, *TRAININGS[name], device="cuda")
    assert n_launches == 0
    assert _captures._failed
    assert_same_training(clf, plain)
    assert torch.cuda.current_stream() == torch.cuda.default_stream()
    assert torch.rand(5, device="cuda").isfinite().all()
    monkeypatch.undo()
    watch = WatchGraphs()
    CLRLeNetClassifier(max_epochs=8, batch_size=32, device="cuda", callbacks=[watch]).fit(*fashion)
    assert watch.n_launches_ > 5

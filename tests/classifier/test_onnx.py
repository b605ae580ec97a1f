"""A model of ONNX answers as the classifier does, from images as users have them."""

import json
import os
import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import torch
from classifiers import NAMES, Flat, bits, global_states, lenet, quick
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from torch import nn
from torch.utils.data import Subset, TensorDataset

import skclr
from skclr import CLRLeNetClassifier, load_fashion_mnist_sample
from skclr.augmentation import RandomShiftFlip


def session_of(clf, tmp_path, *args):
    clf.export_onnx(tmp_path / "model.onnx", *args)
    return onnxruntime.InferenceSession(tmp_path / "model.onnx")


def answers(session, X):
    return session.run(["label", "probabilities"], {"X": X})


def assert_agrees(session, clf, X):
    labels, probabilities = answers(session, X)
    assert_allclose(probabilities, clf.predict_proba(X), rtol=0, atol=1e-5)
    assert_array_equal(labels, clf.predict(X))


def test_labels_of_10_000_images_are_equal_and_probabilities_to_1e_5(tmp_path):
    X, y = load_fashion_mnist_sample(return_X_y=True)
    X_test, _ = load_fashion_mnist_sample(subset="test", return_X_y=True)
    clf = CLRLeNetClassifier(max_epochs=2, random_state=0).fit(X[:2000], y[:2000])
    images = np.concatenate([X_test, X, X[:3000, :, ::-1]])
    assert len(images) == 10_000
    assert_agrees(session_of(clf, tmp_path), clf, images)


# ---------------------------------------------------------------- what comes in

FORMS = {
    "images": lambda X: X,
    "rows": lambda X: X.reshape(len(X), -1),
    "rows of no square": lambda X: X.reshape(len(X), -1)[:, :780],
    "channels first": lambda X: X[:, None],
    "channels last": lambda X: X[..., None],
    "colour, channels first": lambda X: np.stack([X, 255 - X, X // 2], 1),
    "colour, channels last": lambda X: np.stack([X, 255 - X, X // 2], 3),
    "of 7x7": lambda X: X[:, ::4, ::4],
    "of 14x9": lambda X: X[:, ::2, ::3][:, :, :9],
    "of 32x32": lambda X: np.pad(X, [(0, 0), (2, 2), (2, 2)]),
    "of 33x33": lambda X: np.pad(X, [(0, 0), (2, 3), (2, 3)]),
    "of 84x56": lambda X: np.kron(X, np.ones((1, 3, 2), np.uint8)),
    "colour of 5x200": lambda X: np.kron(X[:, None, :5, :20], np.ones((1, 3, 1, 10), np.uint8)),
}


@pytest.mark.parametrize("form", FORMS)
def test_images_come_in_as_they_came_to_fit(fashion, tmp_path, form):
    X, y = fashion
    X = FORMS[form](X)
    clf = lenet().fit(X[:100], y[:100])
    session = session_of(clf, tmp_path)
    assert session.get_inputs()[0].shape == ["n", *X.shape[1:]]
    assert_agrees(session, clf, X)
    assert_agrees(session, clf, X[:1])


class Averaged(nn.Module):
    """A linear classifier that takes images of any size."""

    def __init__(self, in_channels=1, n_classes=10):
        super().__init__()
        self.pool = nn.AvgPool2d(4)
        self.linear = nn.Linear(in_channels, n_classes)

    def forward(self, images):
        return self.linear((self.pool(images) ** 2).mean((2, 3)))


@pytest.mark.parametrize("size", [16, 48, (20, 60), (64, 24)])
@pytest.mark.parametrize("form", ["rows", "of 7x7", "of 84x56", "colour, channels last"])
def test_images_are_brought_to_the_size_of_the_network(fashion, tmp_path, form, size):
    X, y = fashion
    X = FORMS[form](X[:60])
    clf = quick(module=Averaged, image_size=size, max_lr=0.1).fit(X, y[:60])
    assert_agrees(session_of(clf, tmp_path), clf, X)


@pytest.mark.parametrize(
    ("dtype", "standardize"),
    [
        ("bool", True),
        ("uint16", False),
        ("uint64", True),
        ("int8", True),
        ("int64", True),
        ("int64", False),
        ("float16", True),
        ("float32", True),
        ("float64", True),
        ("float64", False),
    ],
)
def test_images_may_be_of_any_dtype_of_onnx(two_classes, tmp_path, dtype, standardize):
    X, y = two_classes
    X = (X // 2).astype(dtype)
    clf = lenet(standardize=standardize, max_lr=0.001, base_lr=0.0001).fit(X, y)
    session = session_of(clf, tmp_path)
    assert_agrees(session, clf, X)


@pytest.mark.parametrize("form", ["images", "of 84x56"])
def test_pixels_that_float32_would_cut_keep_their_digits(two_classes, tmp_path, form):
    X, y = two_classes
    X = FORMS[form](X).astype(np.float64) + 1e9
    clf = lenet().fit(X, y)
    assert_agrees(session_of(clf, tmp_path), clf, X)


def test_a_dtype_that_onnx_has_not_comes_in_as_float64(two_classes, tmp_path):
    X, y = two_classes
    X = X.astype(np.longdouble)
    clf = lenet().fit(X, y)
    labels, _ = answers(session_of(clf, tmp_path), X.astype(np.float64))
    assert_array_equal(labels, clf.predict(X))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (lambda X: torch.from_numpy(X[:, None]).bfloat16(), lambda X: X[:, None].astype("f4")),
        (lambda X: pd.DataFrame(X.reshape(len(X), -1)), lambda X: X.reshape(len(X), -1)),
        (lambda X: X.tolist(), lambda X: X.astype(np.int64)),
        (lambda X: X.astype(">f4"), lambda X: X.astype("f4")),
        (list, lambda X: X),
    ],
    ids=["tensor", "frame", "nested lists", "other byte order", "list of images"],
)
def test_the_model_takes_arrays_of_what_came_to_fit_in_another_form(
    two_classes, tmp_path, given, expected
):
    X, y = two_classes
    clf = lenet().fit(given(X), y)
    assert_agrees(session_of(clf, tmp_path), clf, expected(X))


def test_a_data_set_that_is_read_lazily_gives_the_form_of_its_images(two_classes, tmp_path):
    X, y = two_classes
    clf = lenet().fit(TensorDataset(torch.from_numpy(X[:, None]), torch.from_numpy(y)))
    assert_agrees(session_of(clf, tmp_path), clf, X[:, None])


def test_images_of_pil_come_in_as_their_arrays_where_some_are_given(two_classes, tmp_path):
    X, y = two_classes
    X = np.stack([X, 255 - X, X // 2], 3)
    pictures = [Image.fromarray(image) for image in X]
    data = list(zip(pictures, y, strict=True))
    for some in (data, Subset(TensorDataset(*map(torch.from_numpy, (X, y))), range(len(y)))):
        clf = lenet().fit(some)
        assert_agrees(session_of(clf, tmp_path), clf, np.moveaxis(X, 3, 1))
        (tmp_path / "model.onnx").unlink()
        assert_agrees(session_of(clf, tmp_path, pictures[:1]), clf, X)
        (tmp_path / "model.onnx").unlink()


def test_another_form_is_that_of_images_that_are_given(two_classes, tmp_path):
    X, y = two_classes
    clf = lenet().fit(X, y)
    rows = X.reshape(len(X), -1).astype(np.float32)
    session = session_of(clf, tmp_path, rows[:1])
    assert session.get_inputs()[0].type == "tensor(float)"
    assert_agrees(session, clf, rows)
    with pytest.raises(ValueError, match="shape"):
        clf.export_onnx(tmp_path / "other.onnx", X[:, 1:])
    assert os.listdir(tmp_path) == ["model.onnx"]


# ---------------------------------------------------------------- what comes out

LABELS = {
    "int": lambda y: y,
    "int8": lambda y: y.astype(np.int8),
    "str": lambda y: np.where(y == 1, "trouser", "stövel"),
    "object": lambda y: np.where(y == 1, "trouser", "boot").astype(object),
    "bool": lambda y: y == 1,
    "float": lambda y: y.astype(float),
    "longdouble": lambda y: y.astype(np.longdouble),
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_are_those_of_the_user(two_classes, tmp_path, kind):
    X, y = two_classes
    clf = lenet().fit(X, LABELS[kind](y))
    session = session_of(clf, tmp_path)
    assert_agrees(session, clf, X)
    stored = session.get_modelmeta().custom_metadata_map
    assert json.loads(stored["classes"]) == clf.classes_.tolist()


def test_labels_that_onnx_has_no_type_for_become_text(two_classes, tmp_path):
    X, y = two_classes
    dates = np.where(y == 1, "2020-01-01", "2021-01-01").astype("datetime64[D]")
    clf = lenet().fit(X, dates)
    labels, _ = answers(session_of(clf, tmp_path), X)
    assert_array_equal(labels, clf.predict(X).astype(str))


def test_a_model_says_what_it_is_and_nothing_of_where_it_was_made(two_classes, tmp_path):
    X, y = two_classes
    lenet().fit(X, NAMES[y]).export_onnx(tmp_path / "model.onnx")
    model = onnx.load(tmp_path / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [entry.version for entry in model.opset_import] == [18]
    stored = {prop.key: prop.value for prop in model.metadata_props}
    assert stored == {"classes": '["boot", "trouser"]', "skclr_version": skclr.__version__}
    assert (model.producer_name, model.producer_version) == ("skclr", skclr.__version__)
    assert b".py" not in model.SerializeToString()
    assert [value.type.tensor_type.shape.dim[0].dim_param for value in model.graph.output] == [
        "n",
        "n",
    ]


def test_the_same_classifier_gives_the_same_file(two_classes, tmp_path):
    clf = lenet().fit(*two_classes)
    clf.export_onnx(tmp_path / "a.onnx")
    pickle.loads(pickle.dumps(clf)).export_onnx(tmp_path / "b.onnx")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


# ---------------------------------------------------------------- names in the graph

PUBLIC = ["X", "label", "probabilities"]


class Indexed(Flat):
    """Picks its scores by an index of its own, as `index` of torch."""

    def __init__(self, in_channels=1, n_classes=10):
        super().__init__(in_channels, n_classes)
        self.register_buffer("perm", torch.arange(n_classes).flip(0))

    def forward(self, images):
        return super().forward(images)[:, self.perm]


class Pooled(nn.Module):
    """Pools by adaptive averages of fields that overlap, for which torch indexes."""

    def __init__(self, in_channels=1, n_classes=10):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, 4, 3, stride=2)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.linear = nn.Linear(16, n_classes)

    def forward(self, images):
        return self.linear(self.pool(self.conv(images)).flatten(1))


class Named(Indexed):
    """Has layers, parameters and buffers of all names that the model has, too."""

    def __init__(self, in_channels=1, n_classes=10):
        super().__init__(in_channels, n_classes)
        for name in ("X", "label", "probabilities", "classes", "index"):
            self.register_module(name, nn.Linear(n_classes, n_classes))
        self.module = nn.Module()
        for name in ("X", "label", "n"):
            self.module.register_parameter(name, nn.Parameter(torch.rand(n_classes)))
        for name in ("probabilities", "index", "classes", "skclr/index"):
            self.module.register_buffer(name, torch.rand(n_classes))

    def forward(self, X):
        label = self.X(super().forward(X)) * self.module.X + self.module.label
        probabilities = self.label(label) * self.module.probabilities * self.module.n
        classes = self.probabilities(probabilities)[:, self.perm] * self.module.classes
        index = self.classes(classes)[:, self.perm] * self.module.index
        return self.index(index) * getattr(self.module, "skclr/index")


class Branching(Flat):
    """Has branches, which are graphs of their own in the model."""

    def forward(self, images):
        def label(index):
            return index * 2

        def probabilities(index):
            return index + index * 3

        return torch.cond(images.sum() > 0, label, probabilities, (super().forward(images),))


@pytest.mark.parametrize("module", [Indexed, Pooled, Named, Branching])
def test_any_names_in_a_network_go_with_those_of_the_model(two_classes, tmp_path, module):
    X, y = two_classes
    clf = quick(module=module, standardize=False, base_lr=1e-7, max_lr=1e-6).fit(X, y)
    session = session_of(clf, tmp_path)
    assert_agrees(session, clf, X)
    assert [part.name for part in session.get_inputs()] == PUBLIC[:1]
    assert [part.name for part in session.get_outputs()] == PUBLIC[1:]
    assert b".py" not in (tmp_path / "model.onnx").read_bytes()


@pytest.mark.parametrize("name", [*PUBLIC, "index", "classes"])
def test_whatever_torch_calls_a_value_the_model_answers(two_classes, tmp_path, monkeypatch, name):
    def export(*args, **kwargs):
        exported = exporting(*args, **kwargs)
        (scores,) = (node.outputs[0] for node in exported.model.graph if node.op_type == "Gemm")
        scores.name = name  # which the branches take, too
        return exported

    X, y = two_classes
    clf = quick(module=Branching).fit(X, y)
    exporting = torch.onnx.export
    monkeypatch.setattr(torch.onnx, "export", export)
    assert_agrees(session_of(clf, tmp_path), clf, X)


# ---------------------------------------------------------------- classifiers and their networks


class Layers(nn.Sequential):
    def __init__(self, in_channels=1, n_classes=10):
        super().__init__(
            nn.Conv2d(in_channels, 4, 3, stride=2),
            nn.BatchNorm2d(4),
            nn.Dropout(0.5),
            nn.Flatten(),
            nn.Linear(4 * 15 * 15, n_classes),
        )


class Probabilities(Layers):
    def forward(self, images):
        return torch.softmax(super().forward(images), 1)


class Tuple(Layers):
    def forward(self, images):
        return super().forward(images), images


class Half(Flat):
    def __init__(self, in_channels=1, n_classes=10):
        super().__init__(in_channels, n_classes)
        self.bfloat16()


class Double(Flat):
    def __init__(self, in_channels=1, n_classes=10):
        super().__init__(in_channels, n_classes)
        self.double()


class FirstOfTuple(nn.CrossEntropyLoss):
    def forward(self, answer, targets):
        return super().forward(answer[0], targets)


class Temperature:
    def __call__(self, scores):
        return torch.softmax(scores / 10, dim=-1)


NETWORKS = {
    "another activation": {"module__activation": nn.ReLU},
    "weights in an activation": {"module__activation": nn.PReLU},
    "probabilities": {"module": Probabilities, "criterion": nn.NLLLoss},
    "scores in a tuple": {"module": Tuple, "criterion": FirstOfTuple},
    "another nonlinearity": {"predict_nonlinearity": Temperature()},
    "scores": {"predict_nonlinearity": None},
    "float64": {"module": Double},
    "an instance": {"module": Flat(1, 2)},
    "an augmentation": {"augmentation": RandomShiftFlip()},
    "held-out samples": {"validation_fraction": 0.2},
}


@pytest.mark.parametrize("params", NETWORKS.values(), ids=NETWORKS)
def test_networks_and_parameters_of_ones_own_are_exported(two_classes, tmp_path, params):
    X, y = two_classes
    clf = lenet(**{"max_lr": 0.01, **params}).fit(X, y)
    before = bits(clf, X)
    session = session_of(clf, tmp_path)
    labels, probabilities = answers(session, X)
    assert_allclose(probabilities, clf.predict_proba(X), rtol=1e-5, atol=1e-5)
    assert_array_equal(labels, clf.predict(X))
    assert bits(clf, X) == before


class OwnNonlinearity(CLRLeNetClassifier):
    def _get_predict_nonlinearity(self):
        return Temperature()


class OtherwiseElsewhere(CLRLeNetClassifier):
    """Has methods of its own that no prediction uses."""

    def forward(self, *args, **kwargs):
        return super().forward(*args, **kwargs) * 2

    def predict_log_proba(self, X):
        return super().predict_log_proba(X) - 1

    def train_step_single(self, batch, **fit_params):
        return super().train_step_single(batch, **fit_params)


@pytest.mark.parametrize("kind", [OwnNonlinearity, OtherwiseElsewhere])
def test_a_subclass_that_predicts_as_the_model_does_is_exported(two_classes, tmp_path, kind):
    X, y = two_classes
    clf = kind(module=Flat, max_epochs=1, max_lr=0.01, random_state=0).fit(X, y)
    assert_agrees(session_of(clf, tmp_path), clf, X)


def test_a_network_in_bfloat16_computes_in_float32(two_classes, tmp_path):
    X, y = two_classes
    clf = quick(module=Half).fit(X, y)
    _, probabilities = answers(session_of(clf, tmp_path), X)
    assert probabilities.dtype == np.float32
    assert_allclose(probabilities, clf.predict_proba(X), atol=0.02)
    assert {weights.dtype for weights in clf.module_.parameters()} == {torch.bfloat16}


def test_a_compiled_network_is_exported_and_stays_compiled(two_classes, tmp_path):
    X, y = two_classes
    clf = lenet().fit(X, y)
    expected = clf.predict_proba(X)
    clf.module_.compile(backend="eager")
    _, probabilities = answers(session_of(clf, tmp_path), X)
    assert_allclose(probabilities, expected, atol=1e-5)
    assert clf._network.is_compiled


def test_a_loaded_classifier_and_one_that_learned_on_are_exported(two_classes, tmp_path):
    X, y = two_classes
    rows = X.reshape(len(X), -1).astype(np.float32)
    lenet().fit(rows, NAMES[y]).save_params(f_params=tmp_path / "m", use_safetensors=True)
    clf = lenet()
    clf.load_params(f_params=tmp_path / "m", use_safetensors=True)
    clf.partial_fit(X, NAMES[y]).trim_for_prediction()
    session = session_of(clf, tmp_path)
    assert session.get_inputs()[0].type == "tensor(float)"
    assert_agrees(session, clf, rows)


def test_an_export_changes_nothing_but_the_file(two_classes, tmp_path):
    X, y = two_classes
    clf = lenet().fit(X, y)
    clf.module_.train()
    before, state = pickle.dumps(clf), global_states()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clf.export_onnx(tmp_path / "model.onnx")
    assert global_states() == state
    assert pickle.dumps(clf) == before
    assert clf.module_.training


def test_threads_that_export_train_and_predict_take_turns(two_classes, tmp_path):
    X, y = two_classes
    clf = lenet().fit(X, y)
    expected = bits(clf, X)

    def work(place):
        clf.export_onnx(tmp_path / f"{place}.onnx")
        return bits(lenet().fit(X, y), X), bits(clf, X)

    with ThreadPoolExecutor(3) as threads:
        found = list(threads.map(work, range(6)))
    assert found == [(expected, expected)] * 6
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1

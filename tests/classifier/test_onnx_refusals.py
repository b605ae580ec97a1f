"""What cannot be exported to ONNX, or not be written, is answered with a sentence."""

import builtins
import os
from types import MethodType

import numpy as np
import pytest
import torch
from classifiers import Flat, quick
from sklearn.exceptions import NotFittedError
from test_files_of_before import unpickled

from skclr import CLRLeNetClassifier
from skclr.batches import is_encoded


@pytest.fixture(scope="module")
def clf(_fashion):
    X, y = _fashion
    return quick().fit(X[:60], y[:60])


def test_there_is_nothing_to_export_before_fit(tmp_path):
    with pytest.raises(NotFittedError):
        CLRLeNetClassifier().export_onnx(tmp_path / "model.onnx")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("missing", ["onnx", "onnxscript"])
def test_what_is_not_installed_is_named_with_what_brings_it(clf, tmp_path, monkeypatch, missing):
    def import_all_but_one(name, *args, **kwargs):
        if name == missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return imported(name, *args, **kwargs)

    imported = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", import_all_but_one)
    with pytest.raises(ImportError, match=rf"needs {missing}, .*pip install 'skclr\[onnx\]'"):
        clf.export_onnx(tmp_path / "model.onnx")
    assert os.listdir(tmp_path) == []


def test_a_file_that_exists_is_overwritten_only_if_that_is_wanted(clf, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="force=True"):
        clf.export_onnx(path)
    assert path.read_text() == "mine"
    clf.export_onnx(str(path), force=True)
    assert b"skclr_version" in path.read_bytes()
    assert os.listdir(tmp_path) == ["model.onnx"]


def test_a_link_that_leads_nowhere_is_not_replaced_either(clf, tmp_path):
    (tmp_path / "model.onnx").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError, match="force=True"):
        clf.export_onnx(tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").is_symlink()


@pytest.mark.parametrize("force", [False, True])
def test_a_folder_and_one_that_does_not_exist_are_named(clf, tmp_path, force):
    with pytest.raises(IsADirectoryError, match="is a folder"):
        clf.export_onnx(tmp_path, force=force)
    with pytest.raises(FileNotFoundError, match=r"There is no folder .*nowhere"):
        clf.export_onnx(tmp_path / "nowhere" / "model.onnx", force=force)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_what_was_there(clf, tmp_path, monkeypatch, call):
    def fail(*args):
        raise OSError(28, "No space left on device")

    path = tmp_path / "model.onnx"
    path.write_text("the former one")
    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match=r"could not be written \(No space left .*model\.onnx"):
        clf.export_onnx(path, force=True)
    assert path.read_text() == "the former one"
    assert os.listdir(tmp_path) == ["model.onnx"]


class ByValues(Flat):
    """Answers otherwise where pixels are of some value, which a graph cannot."""

    def forward(self, images):
        scores = super().forward(images)
        return scores if images.sum() > 0 else -scores


class OneByOne(Flat):
    """Goes through the images in Python, so that a graph is one for that many."""

    def forward(self, images):
        return torch.cat([super(OneByOne, self).forward(image[None]) for image in images])


class Unexportable(Flat):
    """Computes outside of torch."""

    def forward(self, images):
        return super().forward(torch.from_numpy(images.numpy().copy()))


@pytest.mark.parametrize("module", [ByValues, OneByOne, Unexportable])
def test_a_network_that_torch_cannot_export_is_named(two_classes, tmp_path, module, capsys):
    X, y = two_classes
    clf = quick(module=module).fit(X, y)
    with pytest.raises(ValueError, match=rf"{module.__name__} cannot be exported to ONNX\. torch"):
        clf.export_onnx(tmp_path / "model.onnx")
    assert os.listdir(tmp_path) == []
    assert capsys.readouterr() == ("", "")
    assert clf.predict(X).shape == y.shape


def doubled(name):
    """Return a method that answers twice what the classifier answers."""

    def method(self, *args, **kwargs):
        return getattr(super(CLRLeNetClassifier, self), name)(*args, **kwargs) * 2

    return method


def own_iterator(self, *args, **kwargs):
    for batch in super(CLRLeNetClassifier, self).forward_iter(*args, **kwargs):
        yield batch * 2


def own_dataset(self, X, y=None):
    if is_encoded(X):
        return X
    return super(CLRLeNetClassifier, self).get_dataset(np.asarray(X)[:, ::-1], y)


def own_batches(self, dataset, training=False):
    batches = super(CLRLeNetClassifier, self).get_iterator(dataset, training=training)
    return batches if training else [(images.flip(2), *rest) for images, *rest in batches]


OWN = {
    "infer": doubled("infer"),
    "evaluation_step": doubled("evaluation_step"),
    "forward_iter": own_iterator,
    "predict_proba": doubled("predict_proba"),
    "predict": doubled("predict"),
    "get_dataset": own_dataset,
    "get_iterator": own_batches,
    "classes_": property(lambda self: self._prediction.classes[::-1]),
}


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize("place", ["class", "mixin", "object"])
def test_a_method_on_the_way_to_the_labels_is_named(two_classes, tmp_path, name, place):
    if place == "object" and name == "classes_":
        pytest.skip("a property is of the class")
    bases = {
        "class": lambda: (type("Own", (CLRLeNetClassifier,), {name: OWN[name]}),),
        "mixin": lambda: (type("Mixin", (), {name: OWN[name]}), CLRLeNetClassifier),
        "object": lambda: (CLRLeNetClassifier,),
    }
    own = type("Sub", bases[place](), {})(module=Flat, max_epochs=1, max_lr=0.01).fit(*two_classes)
    if place == "object":
        vars(own)[name] = MethodType(OWN[name], own)
    with pytest.raises(ValueError, match=rf"^Sub has its own {name}, and a model of ONNX [^.]*\.$"):
        own.export_onnx(tmp_path / "model.onnx")
    assert os.listdir(tmp_path) == []


class Harmless(CLRLeNetClassifier):
    """Looks on, and answers as ever."""

    n_calls = 0

    def predict(self, X):
        self.n_calls += 1
        return super().predict(X)

    def infer(self, x, **kwargs):
        self.n_calls += 1
        return super().infer(x, **kwargs)

    def get_iterator(self, dataset, training=False):
        return super().get_iterator(dataset, training=training)


@pytest.mark.parametrize("form", ["images", "rows", "floats"])
@pytest.mark.parametrize("standardize", [True, False])
def test_methods_that_answer_as_the_model_are_exported(two_classes, tmp_path, form, standardize):
    X, y = two_classes
    X = {"images": X, "rows": X.reshape(len(X), -1), "floats": X / 255.0}[form]
    own = Harmless(module=Flat, max_epochs=1, max_lr=0.01, standardize=standardize).fit(X, y)
    own.export_onnx(tmp_path / "model.onnx")
    assert own.n_calls
    assert os.listdir(tmp_path) == ["model.onnx"]


def test_a_classifier_of_version_0_1_0_needs_images_to_tell_their_form(tmp_path):
    clf = unpickled("constant")
    with pytest.raises(ValueError, match="give some images as X"):
        clf.export_onnx(tmp_path / "model.onnx")
    assert os.listdir(tmp_path) == []
    images = np.zeros((1, *clf.image_shape_), np.uint8)
    clf.export_onnx(tmp_path / "model.onnx", images)
    assert os.listdir(tmp_path) == ["model.onnx"]

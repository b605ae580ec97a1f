"""A fitted classifier as a model of ONNX: from images as users have them to labels."""

from __future__ import annotations

import copy
import io
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from skclr._checkpoints import write_whole
from skclr._training import ImageClassifier, PredictionState
from skclr.batches import ExportablePreparation, InputShape
from skclr.exceptions import PixelScaleWarning

OPSET = 18  # of the operators of ONNX
_DTYPES = frozenset(  # of pixels and labels, which ONNX and torch both have
    ["bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64",
     "float16", "float32", "float64"]
)  # fmt: skip
_PUBLIC = ("X", "label", "probabilities")
# no operation has a name with a dot from torch, and no parameter one that begins like these
_OWN = {name: f"skclr.{name}" for name in (*_PUBLIC, "index", "classes")}
_PUBLISHED = {name: f"skclr.inner.{name}" for name in _PUBLIC} | {
    _OWN[name]: name for name in _PUBLIC
}
_N_COMPARED, _CLOSE = 32, 1e-3  # images, and probabilities, which autocast changes a little
_ON_THE_WAY = (  # from images to labels, where the model goes another way than the classifier
    "predict", "predict_proba", "forward_iter", "evaluation_step", "infer", "get_dataset",
    "get_iterator", "classes_", "_set_training", "_checked_images", "_network",
)  # fmt: skip


class _Graph(nn.Module):
    """What is exported: from images as they come in to classes and probabilities."""

    def __init__(
        self,
        prepare: ExportablePreparation,
        module: nn.Module,
        nonlinearity: Callable[[torch.Tensor], torch.Tensor],
    ):
        super().__init__()
        self.prepare = prepare
        self.module = module
        self.nonlinearity = nonlinearity

    def forward(self, X: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        answer = self.module(self.prepare(X))
        scores = answer[0] if isinstance(answer, tuple) else answer
        probabilities = self.nonlinearity(scores)
        return probabilities.argmax(1), probabilities


def imported_onnx() -> Any:
    """Return the module `onnx`, or raise ImportError where something for an export is missing."""
    try:
        import onnx
        import onnxscript  # noqa: F401 (torch needs it)
    except ImportError as error:
        raise ImportError(
            f"An export to ONNX needs {error.name}, which is not installed: "
            "python -m pip install 'skclr[onnx]'."
        ) from error
    return onnx


def check_target(path: Path, *, force: bool) -> None:
    """Raise OSError unless a file can be written there, without touching one that exists."""
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; name a file for the model.")
    if os.path.lexists(path) and not force:
        raise FileExistsError(
            f"{path} exists. Name another file for the model, or overwrite it with force=True."
        )
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {path.parent} for the model {path.name}.")


def write_model(path: Path, data: bytes) -> None:
    """Write the file of a model, whole or not at all."""
    try:
        write_whole(path, data)
    except OSError as error:
        raise OSError(
            error.errno, f"The model could not be written ({error.strerror})", str(path)
        ) from error


def to_onnx(net: ImageClassifier, state: PredictionState, form: InputShape) -> bytes:
    """Return a model of ONNX that does what `predict` and `predict_proba` do.

    Parameters
    ----------
    net : ImageClassifier
        Is fitted, and left as it is.
    state : PredictionState
        How images are prepared, and the labels.
    form : InputShape
        Tells shape and dtype of the images that the model takes.

    Raises
    ------
    ValueError
        If torch cannot export the network, or not for any number of images; if the form of the
        images is not known; if methods of the net's own have other answers.
    """
    if form.sample_shape is None:
        raise ValueError(
            "It is not known in which form X came to fit, since this classifier, or the file that "
            "it was loaded from, is of version 0.1.0: give some images as X."
        )
    module, nonlinearity = net.module_, net._get_predict_nonlinearity()
    prepare = ExportablePreparation(state.preparation(), form.sample_shape)
    dtype = form.dtype if form.dtype in _DTYPES else "float64"
    network = copy.deepcopy(module).to("cpu", torch.float32).eval()
    graph = _Graph(prepare, network, nonlinearity)
    _check_way_of_answers(net, graph, state, (form.sample_shape, dtype))
    images = torch.from_numpy(np.zeros((2, *form.sample_shape), dtype))
    try:
        model = _exported(graph, images)
        _finish(model, state.classes)
        return model.SerializeToString()
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"The network {type(module).__name__} cannot be exported to ONNX. torch says: {reason}"
        ) from error


def _check_way_of_answers(
    net: ImageClassifier, graph: nn.Module, state: PredictionState, form: tuple[tuple, str]
) -> None:
    """Raise ValueError where a subclass, or the object itself, answers in a way of its own.

    It may have methods of its own on the way, as to log, and answer random images as the model.
    """
    own = [
        name
        for name in _ON_THE_WAY
        if name in vars(net)
        or getattr(type(net), name, None) is not getattr(ImageClassifier, name, None)
    ]
    if not own:
        return
    shape, dtype = form
    images = _like_those_of_training(state, (_N_COMPARED, *shape), dtype)
    with torch.no_grad():
        indices, probabilities = (part.numpy() for part in graph(torch.from_numpy(images)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PixelScaleWarning)
        answers = net.predict(images), net.predict_proba(images)
    if not (
        np.array_equal(answers[0], state.classes[indices])
        and np.shape(answers[1]) == probabilities.shape
        and np.allclose(answers[1], probabilities, atol=_CLOSE)
    ):
        raise ValueError(
            f"{type(net).__name__} has its own {', '.join(own)}, and a model of ONNX would answer "
            "without it: let module or predict_nonlinearity do what it does."
        )


def _like_those_of_training(state: PredictionState, shape: tuple, dtype: str) -> np.ndarray:
    """Return random pixels that lie about those that were trained on, where these are known."""
    mean, std = state.pixel_mean, state.pixel_std
    middle, spread = (0.5, 0.5) if mean is None or std is None else (mean.mean(), std.mean())
    pixels = np.random.default_rng(0).normal(middle, spread, shape)
    kind = np.dtype(dtype)
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        pixels = pixels.round().clip(limits.min, limits.max)
    return pixels > middle if kind.kind == "b" else pixels.astype(kind)


def _exported(graph: nn.Module, images: torch.Tensor) -> Any:
    """Return what torch's exporter makes of a network, for any number of images."""
    sizes = ({0: torch.export.Dim("n")},)
    with torch.no_grad():
        with redirect_stderr(io.StringIO()):  # where torch fails, it prints pages
            program = torch.export.export(graph, (images,), dynamic_shapes=sizes)
        exported = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            input_names=[_OWN["X"]],
            output_names=[_OWN["index"], _OWN["probabilities"]],
            verbose=False,
        )
    assert exported is not None
    return exported.model_proto


def _finish(model: Any, classes: np.ndarray) -> None:
    """Let a model answer with labels in place of their indices, and say what it is."""
    onnx = imported_onnx()
    graph = model.graph
    for part in _with_inner(graph):
        _publish(part)
    labels = _labels(classes)
    graph.initializer.append(onnx.numpy_helper.from_array(labels, _OWN["classes"]))
    looked_up = [_OWN["classes"], _OWN["index"]]
    graph.node.append(onnx.helper.make_node("Gather", looked_up, ["label"], _OWN["label"]))
    kind = onnx.helper.np_dtype_to_tensor_dtype(labels.dtype)
    graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info("label", kind, ["n"]))
    for value in (graph.input[0], graph.output[1]):
        value.type.tensor_type.shape.dim[0].dim_param = "n"
    model.producer_name, model.producer_version = "skclr", _own_version()
    onnx.helper.set_model_props(
        model, {"skclr_version": _own_version(), "classes": json.dumps(labels.tolist())}
    )
    onnx.checker.check_model(model, full_check=True)


def _with_inner(graph: Any) -> Iterator[Any]:
    """Yield a graph and those in its nodes, such as the branches of a condition."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                yield from _with_inner(inner)


def _publish(graph: Any) -> None:
    """Give the public names to what they are for alone, and leave out where it was made."""
    del graph.value_info[:]
    for node in graph.node:
        node.input[:] = [_PUBLISHED.get(name, name) for name in node.input]
        node.output[:] = [_PUBLISHED.get(name, name) for name in node.output]
    values = (*graph.input, *graph.output, *graph.initializer)
    for value in values:
        value.name = _PUBLISHED.get(value.name, value.name)
    for part in (graph, *graph.node, *values):
        del part.metadata_props[:]  # lines of the program that exported it


def _labels(classes: np.ndarray) -> np.ndarray:
    """Return labels in a dtype of ONNX: as they are, or as text."""
    if classes.dtype.name in _DTYPES:
        return classes
    if classes.dtype.kind == "f":  # of more than 64 bits
        return classes.astype(np.float64)
    return classes.astype(str).astype(object)


def _own_version() -> str:
    # of the package, which imports this room and is not imported by it
    return sys.modules[__name__.partition(".")[0]].__version__

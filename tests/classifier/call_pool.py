"""What calls in any order are made with: data, parameters and files, good and bad."""

import tempfile
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.datasets import load_digits
from skorch.callbacks import Callback
from torch import nn

from skclr import CLRLeNetClassifier
from skclr.augmentation import RandomShiftFlip
from skclr.callbacks import CycleAverage, StopTraining

N = 30  # images


class Tiny(nn.Module):
    """A network of a few hundred weights with the parameters of LeNet5."""

    def __init__(self, in_channels=1, n_classes=10, activation=nn.ReLU):
        super().__init__()
        self.pool = nn.AvgPool2d(4)
        self.activation = activation()
        self.linear = nn.Linear(in_channels * 64, n_classes)

    def forward(self, images):
        return self.linear(self.activation(self.pool(images)).flatten(1))


class Wider(Tiny):
    """A network that has a layer more."""

    def __init__(self, in_channels=1, n_classes=10, activation=nn.ReLU):
        super().__init__(in_channels, n_classes, activation)
        self.last = nn.Linear(n_classes, n_classes)

    def forward(self, images):
        return self.last(super().forward(images))


class Raising(Callback):
    """Raise at a moment of the training, with a sentence of its own."""

    def __init__(self, hook="on_epoch_end"):
        self.hook = hook

    def _raise(self, hook):
        if hook == self.hook:
            raise ValueError(f"A user's callback does not like {hook}.")

    def initialize(self):
        self._raise("initialize")
        return self

    def on_train_begin(self, net, **kwargs):
        self._raise("on_train_begin")

    def on_batch_end(self, net, training=None, **kwargs):
        self._raise("on_batch_end")

    def on_epoch_end(self, net, **kwargs):
        self._raise("on_epoch_end")

    def on_train_end(self, net, **kwargs):
        self._raise("on_train_end")


class Stopping(Callback):
    """End the training after its first batch, or before any."""

    def __init__(self, hook="on_batch_end", error=StopTraining):
        self.hook, self.error = hook, error

    def _stop(self, hook):
        if hook == self.hook:
            raise self.error

    def on_epoch_begin(self, net, **kwargs):
        self._stop("on_epoch_begin")

    def on_batch_end(self, net, training=None, **kwargs):
        self._stop("on_batch_end")


def falling(t):
    return 0.01 / (1 + t)


def growing(epoch):
    return 8 + 4 * epoch


def no_number(t):
    return float("nan")


def unchanged(images):
    return images


def cropped(images):
    return images[..., :8, :8]


def refusing(images):
    raise ValueError("A user's augmentation does not like these images.")


class Data(NamedTuple):
    """Images and labels, and whether a net that has seen no others must take them."""

    X: Any
    y: Any
    good: bool


def _data():
    digits, labels = load_digits(n_class=3, return_X_y=True)
    X, y = digits[:N].reshape(N, 8, 8), labels[:N]
    wide = np.tile(X, (1, 2, 2))[:, :12, :12]
    colour = np.stack([X, X.transpose(0, 2, 1), X[:, ::-1]], axis=1)
    names = np.array(["zero", "one", "two"])
    hole, endless = X.copy(), X.copy()
    hole[3, 4, 4], endless[3, 4, 4] = np.nan, np.inf
    two = np.flatnonzero(y < 2)
    good = {
        "digits": (X, y),
        "rows": (X.reshape(N, 64), y),
        "two classes": (X[two], y[two]),
        "two classes, half": (X, y // 2),
        "strings": (X, names[y]),
        "booleans": (X, y == 1),
        "12 x 12": (wide, y),
        "colour": (colour.astype(np.float32), y),
        "channels last": (colour.transpose(0, 2, 3, 1), names[y]),
        "bytes": (X.astype(np.uint8), y),
        "lists": (X[:9].tolist(), y[:9].tolist()),
        "tensors": (torch.as_tensor(X), torch.as_tensor(y)),
        "frame": (pd.DataFrame(X.reshape(N, 64)).add_prefix("p"), pd.Series(y)),
        "other frame": (pd.DataFrame(X.reshape(N, 64)).add_prefix("q"), pd.Series(y)),
        "all alike": (np.ones_like(X), y),
    }
    bad = {
        "NaN": (hole, y),
        "infinity": (endless, y),
        "huge": (X * 1e300, y),
        "no images": (X[:0], y[:0]),
        "one image": (X[:1], y[:1]),
        "three images": (X[:3], y[:3]),
        "one class": (X, np.zeros(N, int)),
        "too few labels": (X, y[:-1]),
        "missing labels": (X, None),
        "labels with NaN": (X, np.where(y == 0, np.nan, y)),
        "numbers for labels": (X, y + 0.5),
        "labels in two columns": (X, np.stack([y, y], axis=1)),
        "mixed labels": (X, np.array([0, "a", None] * 10, dtype=object)),
        "words": (np.full((N, 4), "a"), y),
        "objects": (np.full((N, 4), object(), dtype=object), y),
        "complex": (X.astype(complex), y),
        "two channels": (colour[:, :2], y),
        "one number": (1.0, y),
        "a vector": (X[:, 0, 0], y),
        "five axes": (X[:, None, None], y),
        "ragged": ([[1.0, 2.0], [3.0]], [0, 1]),
        "nothing": (None, None),
        "text": ("images", "labels"),
        "no pixels": (np.empty((N, 0)), y),
    }
    return {name: Data(*pair, True) for name, pair in good.items()} | {
        name: Data(*pair, False) for name, pair in bad.items()
    }


DATA = _data()
# weights of so many samples, and whether every net must take them
WEIGHTS: dict[str, tuple[Any, bool]] = {
    "alike": (np.ones, True),
    "rising": (lambda n: np.arange(1.0, n + 1), True),
    "some": (lambda n: np.arange(n) % 3, False),
    "the first": (lambda n: np.arange(n) == 0, False),
    "zeros": (np.zeros, False),
    "negative": (lambda n: -np.ones(n), False),
    "NaN": (lambda n: np.full(n, np.nan), False),
    "one too few": (lambda n: np.ones(n - 1), False),
    "table": (lambda n: np.ones((n, 2)), False),
    "number": (lambda n: 2.0, False),
    "words": (lambda n: ["heavy"] * n, False),
    "word": (lambda n: "balanced", False),
}
GOOD_DATA = [name for name, data in DATA.items() if data.good]
BAD_DATA = [name for name, data in DATA.items() if not data.good]

# Each parameter's values that cannot be the reason of an error, and those that can.
VALUES: dict[str, tuple[list, list]] = {
    "module": ([Tiny, Wider], ["Tiny", None]),
    "schedule": (
        ["constant", "triangular", "triangular2", "exp_range", "one_cycle", "lr_halving", "cosine",
    "cosine_restarts",
         "batch_doubling", falling, None],
        ["nonsense", no_number, 3],
    ),
    "base_lr": ([1e-3, 1e-4], [5.0, 0.0, "low", None]),
    "max_lr": ([0.01, 0.1], [1e6, 1e37, -1.0, float("nan"), float("inf"), "high"]),
    "step_size": ([1, 2.5], [0, "long"]),
    "gamma": ([0.9, 1.0], [2.0]),
    "batch_size": ([8, 16, 100], [0, 2.5, "all"]),
    "max_batch_size": ([4096], [8, 0]),
    "batch_schedule": ([None], ["doubling", "noise", growing, no_number, "tripling", 8]),
    "momentum": ([0.5, 0.9], [0.0, 1.5]),
    "weight_decay": ([0.0, 0.01], [-1.0]),
    "max_epochs": ([1, 2], [0, "3"]),
    "augmentation": (
        [None, unchanged, RandomShiftFlip(shift=0.1, flip=True)],
        [cropped, refusing, "flip"],
    ),
    "image_size": ([32], [40, (32, 40), 0, (32,), "wide"]),
    "standardize": ([True, False], ["no"]),
    "validation_fraction": ([None], [0.2, 0.5, 0.01, 0.99, 2.0, "half"]),
    "class_weight": ([None, "balanced"], [{0: 1, 1: 2, 2: 0}, {}, {0: -1, 1: 2}, "balance", 3]),
    "random_state": ([0, 1], ["seed", -1]),
    "warm_start": ([False], [True, "yes"]),
    "callbacks": (
        [None, [], "disable", [Stopping()], [("named", Stopping()), ("named_too", Callback)],
         [CycleAverage(0.5)], [("average", CycleAverage(1, start=1)), Stopping()]],
        [
            *([Raising(hook)] for hook in ("initialize", "on_train_begin", "on_batch_end")),
            *([Raising(hook)] for hook in ("on_epoch_end", "on_train_end")),
            [Stopping("on_epoch_begin")],
            [Stopping("on_batch_end", KeyboardInterrupt)],
            [("twice", Callback()), ("twice", Callback())],
            [Raising],
            [CycleAverage()],
            [CycleAverage(0.5), Raising("on_epoch_end")],
            ["nonsense"],
            "nonsense",
        ],
    ),
    "device": (["cpu"], ["nowhere", 3]),
    "criterion": ([nn.CrossEntropyLoss], ["entropy"]),
    "optimizer": ([torch.optim.SGD, torch.optim.Adam], ["sgd"]),
    "predict_nonlinearity": (["auto"], [None, "nonsense"]),
    "optimizer__nesterov": ([], [True, False]),
    "optimizer__nonsense": ([], [1]),
    "optimizer__lr": ([], [0.05, -1.0]),
    "module__activation": ([nn.ReLU, nn.Tanh], []),
    "module__n_classes": ([], [2, 3, 5]),
    "module__in_channels": ([], [1, 3]),
    "module__nonsense": ([], [1]),
    "criterion__label_smoothing": ([0.0, 0.1], []),
    "criterion__nonsense": ([], [1]),
    "iterator_train__drop_last": ([False], [True]),
    "iterator_train__shuffle": ([True, False], []),
    "iterator_train__batch_size": ([8, 16], [0, "all"]),
    "iterator_train__nonsense": ([], [1]),
    "iterator_valid__batch_size": ([8], [0]),
    "callbacks__print_log": ([], [None]),
    "callbacks__train_acc": ([], [None, 3]),
    "callbacks__nonsense": ([], [None]),
    "callbacks__lr_schedule": ([], [None]),
    "nonsense": ([], [1]),
    "lr": ([], [0.1]),
    "dataset": ([], [None]),
    "nonsense__nonsense": ([], [1]),
}  # fmt: skip


def new(**params):
    """Return an unfitted classifier that trains in milliseconds."""
    given = {"module": Tiny, "batch_size": 16, "max_epochs": 1, "random_state": 0}
    return CLRLeNetClassifier(**(given | params))


def saved(clf, part="f_params", safe=False):
    """Return what a classifier writes into a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        clf.save_params(**{part: path}, use_safetensors=safe)
        return path.read_bytes()


class File(NamedTuple):
    """Bytes, and as what they are loaded."""

    data: bytes
    part: str = "f_params"
    safe: bool = False


@cache
def files():
    """Return files of nets of several shapes, whole and broken."""
    found = {}
    for name in ("digits", "two classes", "strings", "12 x 12", "colour", "frame"):
        clf = new().fit(*DATA[name][:2])
        found[name] = File(saved(clf))
        found[f"{name}, safetensors"] = File(saved(clf, safe=True), safe=True)
    adam = new(module=Wider, optimizer=torch.optim.Adam).fit(*DATA["digits"][:2])
    for owner, clf in {"SGD": new().fit(*DATA["digits"][:2]), "Adam": adam}.items():
        for part in ("f_optimizer", "f_history", "f_criterion"):
            found[f"{part} of {owner}"] = File(saved(clf, part), part)
    found["wider"] = File(saved(adam))
    found["wider, safetensors"] = File(saved(adam, safe=True), safe=True)
    safe, unsafe = found["digits, safetensors"].data, found["digits"].data
    classes = b"[0, 1, 2]"
    for name, other in {"no such class": b'[0, 1,"a"]', "classes twice": b"[0, 1, 1]"}.items():
        changed = safe.replace(classes.replace(b" ", b""), other[: len(classes)])
        changed = changed.replace(classes, other[: len(classes)])
        found[name] = File(changed, safe=True)
    broken = {
        "cut": (unsafe[:-40], safe[:-40]),
        "cut early": (unsafe[:100], safe[:100]),
        "empty": (b"", b""),
        "zeros": (b"\0" * 400, b"\0" * 400),
        "text": (b"no model at all\n", b"no model at all\n"),
        "exchanged": (safe, unsafe),
    }
    for name, (as_pickle, as_safe) in broken.items():
        found[name] = File(as_pickle)
        found[f"{name}, safetensors"] = File(as_safe, safe=True)
        for part in ("f_optimizer", "f_history"):
            found[f"{name} as {part}"] = File(as_pickle, part)
    return found

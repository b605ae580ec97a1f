"""Calls in any order, with good and bad input: an error is clear, and changes nothing.

``SKCLR_SEQUENCES=2000 python -m pytest tests/classifier/test_call_sequences.py`` tries 2,000
sequences, other ones each time; without it the same few are tried.
"""

import os
import pickle
import re
import tempfile
import traceback
import warnings
from pathlib import Path

import numpy as np
import pytest
import sklearn
import skorch
import torch
from call_pool import (
    BAD_DATA,
    DATA,
    GOOD_DATA,
    VALUES,
    WEIGHTS,
    File,
    N,
    files,
    new,
    saved,
)
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils._param_validation import InvalidParameterError
from skorch.exceptions import NotInitializedError

import skclr
from skclr import DivergenceError

GIVEN = os.environ.get("SKCLR_SEQUENCES")
SETTINGS = settings(
    max_examples=int(GIVEN or 60),
    stateful_step_count=15,
    derandomize=not GIVEN,
    database=None,
    deadline=None,
    phases=(Phase.generate, Phase.shrink),
    print_blob=False,
    suppress_health_check=list(HealthCheck),
)
KINDS = (ValueError, TypeError, NotFittedError, DivergenceError, InvalidParameterError,
         NotInitializedError)  # fmt: skip
# whose sentences are good, but for those that hold one of the words below
SPEAKERS = (
    *(Path(module.__file__).parent for module in (skclr, sklearn, skorch)),
    Path(torch.__file__).parent / "optim",
    Path(__file__).parent,
)
FOREIGN = (
    "Something went wrong",
    "open an issue",
    "has no attribute",
    "NoneType",
    "object is not",
    "not subscriptable",
    "unsupported operand",
    "shapes cannot be multiplied",
    "positional argument",
    "can't convert",
    "to have shape",
    "must be Tensor",
    "not supported between",
)
FITTED = ("classes_", "n_features_in_", "feature_names_in_", "image_shape_", "pixel_mean_",
          "pixel_std_", "base_lr_", "max_lr_")  # fmt: skip
LOOKED_AT = ("digits", "rows", "12 x 12", "colour", "frame", "other frame")


def check_error(error):
    """Fail unless an error is of a kind that is promised, with a sentence for the user."""
    assert type(error) in KINDS, repr(error)
    text = str(error).partition(" torch says: ")[0]
    assert len(text) > 15, repr(error)
    assert not [words for words in FOREIGN if words in text], repr(error)
    speaker = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
    good = isinstance(error, NotFittedError) or "unexpected keyword argument" in text
    assert good or any(speaker.is_relative_to(folder) for folder in SPEAKERS), (speaker, error)


def error_of(call):
    """Return the error in which a call ends, or None."""
    try:
        call()
    except Exception as error:
        return error
    return None


def outcome(call):
    """Return what a call returns, or its error as text."""
    try:
        return call()
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def tensors_of(value):
    """Return a state, with the bytes of its tensors in their place."""
    if isinstance(value, dict):
        return {key: tensors_of(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [tensors_of(item) for item in value]
    return value.numpy().tobytes() if isinstance(value, torch.Tensor) else value


def described(params):
    """Return parameters as text, without the addresses of objects, of which a copy has others."""
    return {name: re.sub(" at 0x[0-9a-f]+", "", repr(value)) for name, value in params.items()}


def look(clf):
    """Return all that a user can see of a classifier, in a form that can be compared."""
    parts = {name: getattr(clf, name, None) for name in ("module_", "optimizer_", "criterion_")}
    return {
        "parameters": described(clf.get_params(deep=False)),
        "fitted": {name: repr(getattr(clf, name, "missing")) for name in FITTED},
        "initialized": clf.initialized_,
        "kinds": {name: type(part) for name, part in parts.items()},
        "states": {name: tensors_of(part.state_dict()) for name, part in parts.items() if part},
        "history": repr(clf.history_.to_list() if clf.history_ is not None else None),
        "callbacks": [name for name, _ in getattr(clf, "callbacks_", ())],
        "attributes": sorted(name for name in vars(clf) if not name.startswith("_")),
        "answers": {
            name: outcome(lambda X=DATA[name].X: clf.predict_proba(X).tobytes())
            for name in LOOKED_AT
        },
    }


def what_comes_of(pickled):
    """Return what a pickled classifier learns next: that depends on all of its hidden state."""

    def learn():
        loaded = pickle.loads(pickled)
        loaded.set_params(
            schedule="constant", max_lr=0.01, callbacks=None, augmentation=None, warm_start=False
        ).partial_fit(*DATA["digits"][:2])
        return tensors_of(loaded.module_.state_dict()), loaded.history_frame("batch").to_csv()

    return outcome(learn)


GOOD_VALUES = [(name, value) for name, (good, _) in VALUES.items() for value in good]
OTHER_VALUES = [(name, value) for name, (_, other) in VALUES.items() for value in other]
good_data = st.sampled_from(GOOD_DATA)
any_data = st.one_of(good_data, good_data, st.sampled_from(BAD_DATA))
good_values = st.sampled_from(range(len(GOOD_VALUES))).map(GOOD_VALUES.__getitem__)
other_values = st.sampled_from(range(len(OTHER_VALUES))).map(OTHER_VALUES.__getitem__)
methods = st.sampled_from(["predict", "predict_proba", "score"])


class CallsInAnyOrder(RuleBasedStateMachine):
    """A classifier on which everything is called, with everything."""

    written = Bundle("written")

    def __init__(self):
        super().__init__()
        self._warnings = warnings.catch_warnings()
        self._warnings.__enter__()
        warnings.simplefilter("ignore")
        self._folder = tempfile.TemporaryDirectory()

    def teardown(self):
        self._folder.cleanup()
        self._warnings.__exit__(None, None, None)

    @initialize()
    def begin(self):
        self.become(new())

    def become(self, clf, *, fitted=False):
        self.clf, self.fitted, self.trained_on = clf, fitted, None
        self.doubtful = set()  # the names of parameters that may be the reason of an error

    def attempt(self, call, *, must_succeed=False, changes=True):
        """Call, and tell whether that succeeded; if not, everything has to be as it was."""
        before, twin = look(self.clf), pickle.dumps(self.clf)
        error = error_of(call)
        if error is not None:
            assert not must_succeed, repr(error)
            check_error(error)
            assert what_comes_of(pickle.dumps(self.clf)) == what_comes_of(twin), repr(error)
        if error is not None or not changes:
            assert look(self.clf) == before, repr(error)
        return error is None

    # ---------------------------------------------------------------- training

    @rule(
        name=any_data,
        validated_on=st.one_of(st.none(), st.none(), st.none(), any_data),
        weighed=st.one_of(st.none(), st.sampled_from(sorted(WEIGHTS))),
    )
    def fit(self, name, validated_on, weighed):
        data = DATA[name]
        given = {}
        if validated_on is not None:
            given = {"X_val": DATA[validated_on].X, "y_val": DATA[validated_on].y}
        sure = data.good and not given and not self.doubtful
        if weighed is not None:
            make, is_good = WEIGHTS[weighed]
            given["sample_weight"] = make(len(data.y) if data.good else N)
            sure = sure and is_good
        if self.attempt(lambda: self.clf.fit(data.X, data.y, **given), must_succeed=sure):
            self.fitted, self.trained_on = True, name
            if not self.clf.warm_start:
                assert_array_equal(self.clf.classes_, np.unique(data.y))
                assert len(self.clf.history_frame()) <= self.clf.max_epochs

    @rule(name=any_data, classes=st.sampled_from([None, None, [0, 1, 2], [0, 1], "text", 3]))
    def partial_fit(self, name, classes):
        data = DATA[name]
        sure = self.trained_on == name and classes is None and not self.doubtful
        n_before = len(self.clf.history_) if self.clf.initialized_ and self.fitted else 0
        if self.attempt(
            lambda: self.clf.partial_fit(data.X, data.y, classes=classes), must_succeed=sure
        ):
            self.fitted, self.trained_on = True, name
            assert len(self.clf.history_) > n_before

    @rule()
    def build(self):
        self.attempt(lambda: self.clf.initialize(), must_succeed=not self.doubtful)

    # ---------------------------------------------------------------- parameters

    @rule(given=st.lists(good_values, min_size=1, max_size=3))
    def set_good_params(self, given):
        self.set(dict(given), set())

    @rule(
        given=st.lists(good_values, max_size=1),
        others=st.lists(other_values, min_size=1, max_size=2),
    )
    def set_other_params(self, given, others):
        self.set(dict([*given, *others]), {name for name, _ in others})

    def set(self, params, doubtful):
        sure = not doubtful and not self.doubtful
        if self.attempt(lambda: self.clf.set_params(**params), must_succeed=sure):
            self.doubtful = (self.doubtful - params.keys()) | doubtful
            assert {name: self.clf.get_params()[name] for name in params} == params

    @rule()
    def begin_anew(self):
        self.become(new())

    # ---------------------------------------------------------------- use

    @precondition(lambda self: self.fitted)
    @rule(name=any_data, method=methods)
    def use(self, name, method):
        data = DATA[name]
        given = (data.X, data.y) if method == "score" else (data.X,)
        if given[1:] and name == "mixed labels":  # scikit-learn's metrics sort them
            return
        sure = name == self.trained_on and not self.doubtful
        self.attempt(lambda: getattr(self.clf, method)(*given), must_succeed=sure, changes=False)

    # ---------------------------------------------------------------- copies and files

    @rule(kept=st.booleans())
    def copy_unfitted(self, kept):
        copied = clone(self.clf)
        assert described(copied.get_params()) == described(clone(copied).get_params())
        assert look(copied)["parameters"] == look(self.clf)["parameters"]
        if kept:
            doubtful = self.doubtful
            self.become(copied)
            self.doubtful = doubtful

    @precondition(lambda self: "device" not in self.doubtful)
    @rule()
    def copy(self):
        before = look(self.clf)
        self.clf = pickle.loads(pickle.dumps(self.clf))
        assert look(self.clf) == before

    @rule(
        target=written,
        part=st.sampled_from(["f_params", "f_params", "f_optimizer", "f_history", "f_criterion"]),
        safe=st.booleans(),
    )
    def save(self, part, safe):
        safe = safe and part == "f_params"
        result = []
        self.attempt(
            lambda: result.append(saved(self.clf, part, safe)),
            must_succeed=self.fitted and part == "f_params",
            changes=False,
        )
        return File(result[0] if result else b"", part, safe)

    @rule(name=st.deferred(lambda: st.sampled_from(sorted(files()))))
    def load(self, name):
        self.load_file(files()[name])

    @rule(file=written)
    def load_what_was_written(self, file):
        self.load_file(file)

    def load_file(self, file):
        path = Path(self._folder.name) / "file"
        path.write_bytes(file.data)
        if self.attempt(
            lambda: self.clf.load_params(**{file.part: path}, use_safetensors=file.safe)
        ):
            self.trained_on = None
            self.fitted = self.fitted or (file.safe and file.part == "f_params")

    # ---------------------------------------------------------------- what always holds

    @invariant()
    def is_fitted_or_is_not(self):
        if not hasattr(self, "clf"):
            return
        clf = self.clf
        assert hasattr(clf, "classes_") == hasattr(clf, "n_features_in_") == self.fitted
        assert clf.__sklearn_is_fitted__() == self.fitted
        X = np.zeros((2, *(clf.image_shape_ if self.fitted else (8, 8))))
        if not self.fitted:
            for call in (clf.predict, clf.predict_proba, lambda X: clf.history_frame()):
                with pytest.raises(NotFittedError):
                    call(X)
            return
        assert len(clf.history_frame()) == len(clf.history_)
        error = error_of(lambda: clf.predict_proba(X))
        if error is not None:
            assert self.doubtful, repr(error)
            check_error(error)
            return
        proba = clf.predict_proba(X)
        assert proba.shape == (2, len(clf.classes_))
        assert set(clf.predict(X)) <= set(clf.classes_)
        if clf.predict_nonlinearity == "auto":
            assert_allclose(proba.sum(axis=1), 1, atol=1e-5)


TestCallsInAnyOrder = CallsInAnyOrder.TestCase
TestCallsInAnyOrder.settings = SETTINGS

"""A call that fails changes nothing, and one that is interrupted keeps what was learned."""

import io
import signal

import numpy as np
import pytest
import torch
from classifiers import lenet, quick, weights
from numpy.testing import assert_array_equal
from sklearn.exceptions import NotFittedError
from skorch.callbacks import Callback
from torch import nn

from skclr import DivergenceError
from skclr.callbacks import StopTraining


class Failing(Callback):
    """Raise at a moment of the training."""

    def __init__(self, hook, error=RuntimeError):
        self.hook, self.error = hook, error

    def on_train_begin(self, net, **kwargs):
        self._raise_at("on_train_begin")

    def on_batch_end(self, net, training=None, **kwargs):
        self._raise_at("on_batch_end")

    def on_epoch_end(self, net, **kwargs):
        self._raise_at("on_epoch_end")

    def on_train_end(self, net, **kwargs):
        self._raise_at("on_train_end")

    def _raise_at(self, hook):
        if hook == self.hook:
            raise self.error("it had to fail")


class Diverging(nn.Module):
    """Scores that soon exceed every float."""

    def __init__(self, in_channels=1, n_classes=10):
        super().__init__()
        self.linear = nn.Linear(in_channels * 32 * 32, n_classes)

    def forward(self, images):
        return self.linear(images.flatten(1)).exp().exp()


def is_unfitted(clf, X):
    for use in (clf.predict, clf.predict_proba, lambda X: clf.history_frame()):
        with pytest.raises(NotFittedError):
            use(X)
    return not hasattr(clf, "classes_") and not hasattr(clf, "n_features_in_")


def everything(clf, X):
    fitted = {name: getattr(clf, name) for name in ("classes_", "n_features_in_", "max_lr_")}
    return {
        "parameters": {name: repr(value) for name, value in clf.get_params(deep=False).items()},
        "fitted": {name: np.asarray(value).tolist() for name, value in fitted.items()},
        "weights": weights(clf).tobytes(),
        "momentum": [
            state["momentum_buffer"].cpu().numpy().tobytes()
            for state in clf.optimizer_.state_dict()["state"].values()
        ],
        "history": clf.history_frame("batch").to_csv(),
        "probabilities": clf.predict_proba(X).tobytes(),
    }


HOOKS = ["on_train_begin", "on_batch_end", "on_epoch_end", "on_train_end"]


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_first_fit_that_fails_leaves_an_unfitted_net(two_classes, hook, method):
    X, y = two_classes
    clf = quick(callbacks=[Failing(hook)])
    with pytest.raises(RuntimeError, match="it had to fail"):
        getattr(clf, method)(X, y)
    assert is_unfitted(clf, X)


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("method", ["fit", "partial_fit", "warm fit"])
def test_a_later_call_that_fails_leaves_the_net_as_it_was(two_classes, fashion, hook, method):
    X, y = two_classes
    clf = quick(warm_start=method == "warm fit").fit(X, y)
    clf.set_params(callbacks=[Failing(hook)])
    before = everything(clf, X)
    other = fashion if method == "fit" else (X[:50], y[:50])
    with pytest.raises(RuntimeError, match="it had to fail"):
        getattr(clf, method.split()[-1])(*other)
    assert everything(clf, X) == before


def test_what_is_learned_after_a_failed_call_is_what_would_have_been_without_it(two_classes):
    X, y = two_classes
    undisturbed = quick(validation_fraction=0.2).fit(X, y).partial_fit(X, y)
    clf = quick(validation_fraction=0.2).fit(X, y).set_params(callbacks=[Failing("on_epoch_end")])
    with pytest.raises(RuntimeError):
        clf.partial_fit(X, y)
    clf.set_params(callbacks=None).partial_fit(X, y)
    assert_array_equal(weights(clf), weights(undisturbed))


def test_a_training_that_diverges_leaves_the_net_as_it_was(two_classes):
    X, y = two_classes
    with pytest.raises(DivergenceError):
        (clf := quick(module=Diverging, max_lr=1e4, schedule="constant")).fit(X, y)
    assert is_unfitted(clf, X)
    clf = quick().fit(X, y)
    before = weights(clf)
    clf.set_params(max_lr=1e37, schedule="constant", max_epochs=3)
    with pytest.raises(DivergenceError):
        clf.partial_fit(X, y)
    assert_array_equal(weights(clf), before)
    assert len(clf.history) == 1


def test_a_module_that_cannot_be_built_leaves_the_net_as_it_was(two_classes):
    X, y = two_classes
    clf = quick().fit(X, y)
    before = everything(clf, X)
    with pytest.raises(TypeError, match="width"):
        clf.set_params(module__width=3)
    assert everything(clf, X) == before


def saved(clf, **kwargs):
    file = io.BytesIO()
    clf.save_params(f_params=file, **kwargs)
    return file.getvalue()


@pytest.mark.parametrize("safe", [False, True])
def test_a_file_that_cannot_be_loaded_leaves_the_net_as_it_was(two_classes, fashion, safe):
    X, y = two_classes
    clf = quick().fit(X, y)
    whole = saved(lenet().fit(*fashion), use_safetensors=safe)
    before = everything(clf, X)
    for data in (whole, whole[:-40], whole[:200], b"", b"\x00" * 400):
        with pytest.raises(ValueError, match=r"does not fit this net|is no file of"):
            clf.load_params(f_params=io.BytesIO(data), use_safetensors=safe)
        assert everything(clf, X) == before
    with pytest.raises(FileNotFoundError):
        clf.load_params(f_params="there-is-no-such-file", use_safetensors=safe)
    assert everything(clf, X) == before


class Turned(nn.Module):
    """As many weights as the other network, in other shapes."""

    def __init__(self, in_channels=1, n_classes=10):
        super().__init__()
        self.linear = nn.Linear(8, n_classes)

    def forward(self, images):
        return self.linear(nn.functional.adaptive_avg_pool2d(images, (2, 4)).flatten(1))


@pytest.mark.parametrize("params", [{"module": Turned}, {"optimizer": torch.optim.Adam}])
def test_the_state_of_another_optimizer_is_refused(two_classes, params):
    X, y = two_classes
    file = io.BytesIO()
    quick(**params).fit(X, y).save_params(f_optimizer=file)
    clf = quick().fit(X, y)
    before = everything(clf, X)
    with pytest.raises(ValueError, match="does not fit this net"):
        clf.load_params(f_optimizer=io.BytesIO(file.getvalue()))
    assert everything(clf, X) == before
    clf.partial_fit(X, y)


def test_a_first_fit_that_is_interrupted_after_an_update_keeps_what_was_learned(two_classes):
    X, y = two_classes

    class Pressing(Callback):
        def on_batch_end(self, net, training=None, **kwargs):
            signal.raise_signal(signal.SIGINT)

    clf = quick(callbacks=[Pressing()])
    with pytest.raises(KeyboardInterrupt):
        clf.fit(X, y)
    assert len(clf.history_frame("batch")) == 1
    assert set(clf.predict(X)) <= set(y)


def test_a_first_fit_that_is_interrupted_before_any_update_leaves_an_unfitted_net(two_classes):
    X, y = two_classes

    class Pressing(Callback):
        def on_batch_begin(self, net, training=None, **kwargs):
            signal.raise_signal(signal.SIGINT)

    clf = quick(callbacks=[Pressing()])
    with pytest.raises(KeyboardInterrupt):
        clf.fit(X, y)
    assert is_unfitted(clf, X)


def _stop():
    raise KeyboardInterrupt


def _stop_by_our_exception():
    raise StopTraining


@pytest.mark.parametrize("stop", [_stop, _stop_by_our_exception])
def test_a_callback_may_end_training_through_a_function(two_classes, stop):
    class Stopping(Callback):
        def on_epoch_end(self, net, **kwargs):
            if len(net.history) == 2:
                stop()

    try:
        clf = quick(max_epochs=5, callbacks=[Stopping()]).fit(*two_classes)
    except KeyboardInterrupt:  # it would end all the tests
        pytest.fail("a callback's wish to stop came out as a keyboard interrupt")
    assert len(clf.history) == 2


def test_the_handler_of_an_interrupt_is_put_back(two_classes):
    before = signal.getsignal(signal.SIGINT)
    quick().fit(*two_classes)
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interrupt_that_has_a_handler_of_its_own_is_left_to_it(two_classes):
    heard = []
    before = signal.signal(signal.SIGINT, lambda *args: heard.append(args))

    class Pressing(Callback):
        def on_epoch_end(self, net, **kwargs):
            signal.raise_signal(signal.SIGINT)

    try:
        clf = quick(max_epochs=2, callbacks=[Pressing()]).fit(*two_classes)
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(heard) == len(clf.history) == 2


def test_initialize_then_a_failed_fit_then_partial_fit(two_classes):
    X, y = two_classes
    clf = quick().initialize()
    with pytest.raises(ValueError, match="at least two classes"):
        clf.fit(X, np.ones(len(X)))
    assert_array_equal(weights(clf.partial_fit(X, y)), weights(quick().fit(X, y)))


def test_initialize_then_a_fit_whose_building_fails_then_partial_fit(two_classes):
    X, y = two_classes

    class Unready(Callback):
        def initialize(self):
            raise ValueError("not now")

    clf = quick().initialize().set_params(callbacks=[Unready()])
    with pytest.raises(ValueError, match="not now"):
        clf.fit(X, y)
    clf.set_params(callbacks=None).partial_fit(X, y)
    assert_array_equal(weights(clf), weights(quick().fit(X, y)))


def test_compiling_a_fitted_net_takes_effect_with_the_next_training_only(two_classes):
    X, y = two_classes
    clf = lenet().fit(X, y)
    before = clf.predict_proba(X)
    assert_array_equal(clf.set_params(compile=True).predict_proba(X), before)


def test_parameters_of_an_iterator_can_be_set_on_a_fitted_net(two_classes):
    X, y = two_classes
    clf = quick(batch_size=50).fit(X, y).set_params(iterator_train__drop_last=True)
    clf.partial_fit(X, y)
    assert clf.history_frame()["n_updates"].tolist() == [2, 1]


def test_initial_weights_are_determined_by_random_state_alone():
    torch.manual_seed(1)
    first = weights(quick().initialize())
    torch.manual_seed(2)
    assert_array_equal(weights(quick().initialize()), first)


@pytest.mark.parametrize("method", ["partial_fit", "fit"])
def test_weights_loaded_into_an_initialized_net_are_trained_on(fashion, method):
    X, y = fashion
    file = io.BytesIO(saved(quick().fit(X, y)))
    clf = quick(warm_start=True, schedule="constant", max_lr=1e-12).initialize()
    clf.load_params(f_params=file)
    loaded = weights(clf)
    getattr(clf, method)(X, y)
    np.testing.assert_allclose(weights(clf), loaded, atol=1e-6)


def test_weights_loaded_for_other_classes_are_refused_and_kept(fashion, two_classes):
    file = io.BytesIO(saved(quick().fit(*fashion)))
    clf = quick().initialize()
    clf.load_params(f_params=file)
    loaded = weights(clf)
    with pytest.raises(ValueError, match="module__n_classes=2"):
        clf.partial_fit(*two_classes)
    assert_array_equal(weights(clf), loaded)


def test_weights_that_were_loaded_are_forgotten_by_initialize(fashion, two_classes):
    file = io.BytesIO(saved(quick().fit(*fashion)))
    clf = quick().initialize()
    clf.load_params(f_params=file)
    assert clf.initialize().partial_fit(*two_classes).classes_.tolist() == [1, 9]


def test_a_loaded_classifier_holds_out_the_same_samples(tmp_path):
    X = np.arange(100).repeat(64).reshape(100, 8, 8)
    y = np.arange(100) % 2
    seen = []

    class Watch(Callback):
        def on_batch_begin(self, net, batch=None, training=None, **kwargs):
            if training:
                seen.extend(batch[0][:, 0, 0, 0].tolist())

    params = {"validation_fraction": 0.5, "callbacks": [Watch()]}
    quick(**params).fit(X, y).save_params(f_params=tmp_path / "m.safetensors", use_safetensors=True)
    trained_on = set(seen)
    seen.clear()
    clf = quick(**params)
    clf.load_params(f_params=tmp_path / "m.safetensors", use_safetensors=True)
    clf.partial_fit(X, y)
    assert set(seen) == trained_on
    assert len(trained_on) == 50

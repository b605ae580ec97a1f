"""Files of safetensors that are broken or made up: one ValueError, and nothing changed."""

import io
import json
import random
import tracemalloc

import pytest
from classifiers import quick, weights
from numpy.testing import assert_array_equal
from skorch.callbacks import Checkpoint

ENTRIES = [
    "classes", "classes_dtype", "image_shape", "image_size", "n_features_in", "feature_names_in",
    "base_lr", "max_lr", "split_seed", "pixel_mean", "pixel_std", "sample_shape", "dtype",
]  # fmt: skip
NONSENSE = [
    [], {}, "x", -1, 0, 1e400, float("nan"), [1, 2], [[1]], {"a": 1}, True, 10**30, "<)8", [None],
    "<U99999999", [10**9] * 3, [1, 10**5, 10**5], list(range(20_000)),
]  # fmt: skip


@pytest.fixture
def saved(two_classes):
    file = io.BytesIO()
    quick().fit(*two_classes).save_params(f_params=file, use_safetensors=True)
    return file.getvalue()


def taken_apart(data):
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    return header, json.loads(header["__metadata__"]["skclr"]), data[8 + length :]


def put_together(header, described, tensors):
    header = {**header, "__metadata__": {"skclr": json.dumps(described)}}
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + tensors


def outcome(clf, data):
    """Return whether a file was loaded; a refusal has to be a ValueError."""
    try:
        clf.load_params(f_params=io.BytesIO(data), use_safetensors=True)
    except ValueError:
        return False
    return True


def is_untouched(clf):
    return not clf.initialized_ and not hasattr(clf, "classes_") and not hasattr(clf, "max_lr_")


@pytest.mark.parametrize("name", ["pixel_mean", "pixel_std"])
def test_statistics_that_single_precision_cannot_hold_are_refused(saved, name):
    header, described, tensors = taken_apart(saved)
    del described["digest"]
    described[name] = [1e39]
    clf = quick()
    assert not outcome(clf, put_together(header, described, tensors))
    assert is_untouched(clf)
    described[name] = [1e38]
    assert outcome(clf, put_together(header, described, tensors))


@pytest.mark.parametrize("entry", ENTRIES)
def test_made_up_values_are_refused_and_change_nothing(two_classes, saved, entry):
    header, described, tensors = taken_apart(saved)
    del described["digest"]  # whoever makes up a file can make up its digest, too
    fitted = quick(random_state=1).fit(*two_classes)
    before = weights(fitted), fitted.predict_proba(two_classes[0])
    without = {name: value for name, value in described.items() if name != entry}
    for changed in [without, *({**described, entry: value} for value in NONSENSE)]:
        data = put_together(header, changed, tensors)
        new = quick()
        tracemalloc.start()
        loaded = outcome(new, data)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 5_000_000 + 20 * len(data)
        if loaded:  # what stands there now is a value as good as another
            assert new.initialized_
            continue
        assert is_untouched(new)
        assert not outcome(fitted, data)
        assert_array_equal(weights(fitted), before[0])
        assert_array_equal(fitted.predict_proba(two_classes[0]), before[1])


def test_a_flipped_bit_anywhere_is_noticed(saved):
    rng = random.Random(0)
    for _ in range(200):
        data = bytearray(saved)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        clf = quick()
        assert not outcome(clf, bytes(data))
        assert is_untouched(clf)


def test_a_header_without_end_is_refused(saved):
    for depth in (100, 100_000):
        clf = quick()
        text = b"[" * depth
        assert not outcome(clf, len(text).to_bytes(8, "little") + text)
        assert is_untouched(clf)


def test_a_network_larger_than_the_file_is_never_built(saved):
    header, described, tensors = taken_apart(saved)
    del described["digest"]
    described |= {"classes": list(range(100_000)), "classes_dtype": "<i8"}
    clf = quick()
    with pytest.raises(ValueError, match=r"differ in linear.bias, linear.weight"):
        clf.load_params(
            f_params=io.BytesIO(put_together(header, described, tensors)), use_safetensors=True
        )


def test_a_checkpoint_in_safetensors_makes_a_classifier(fashion, tmp_path):
    X, y = fashion
    checkpoint = Checkpoint(
        monitor=None, f_params="p.safetensors", f_optimizer=None, f_criterion=None, f_history=None,
        dirname=tmp_path, use_safetensors=True,
    )  # fmt: skip
    clf = quick(callbacks=[checkpoint]).fit(X, y)
    loaded = quick()
    loaded.load_params(f_params=tmp_path / "p.safetensors", use_safetensors=True)
    assert_array_equal(loaded.predict_proba(X), clf.predict_proba(X))

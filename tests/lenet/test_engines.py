"""Which engine a network has, and what is said where it cannot have it."""

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import nn

from skclr.lenet import LeNet5, _kernels


@pytest.mark.parametrize("engine", ["Numba", "jax", None, 1, ["numba"], True])
def test_another_engine_is_refused(engine):
    with pytest.raises(ValueError, match="engine must be 'torch' or 'numba'"):
        LeNet5(engine=engine)


@pytest.mark.parametrize("engine", ["Numba", None])
def test_another_engine_is_refused_when_it_is_set_later(engine):
    net = LeNet5(engine="numba")
    with pytest.raises(ValueError, match="engine must be 'torch' or 'numba'"):
        net.engine = engine
    assert net.engine == "numba"
    with pytest.raises(ValueError, match="computes tanh"):
        LeNet5(activation=nn.ReLU).engine = "numba"


def test_the_engine_can_be_read_from_a_network():
    assert "engine='numba'" in repr(LeNet5(engine="numba"))
    assert "engine" not in repr(LeNet5())


def test_where_numba_is_told_to_compile_nothing_the_answers_are_the_same():
    program = (
        "import torch, numpy; from skclr.lenet import LeNet5, _kernels; "
        "row = numpy.full(16, 0.5, numpy.float32); _kernels._tanh(row); "
        "LeNet5(engine='numba'); print(float(row[0]))"
    )
    found = subprocess.check_output(
        [sys.executable, "-c", program], env=os.environ | {"NUMBA_DISABLE_JIT": "1"}, text=True
    )
    assert float(found) == pytest.approx(np.tanh(0.5), abs=1e-6)


def test_numba_and_another_activation_are_refused():
    with pytest.raises(ValueError, match="engine='numba' computes tanh"):
        LeNet5(activation=nn.ReLU, engine="numba")


def test_without_numba_one_sentence_tells_what_to_install(monkeypatch):
    net = LeNet5(engine="numba")
    monkeypatch.delitem(sys.modules, "skclr.lenet._kernels")
    monkeypatch.delattr("skclr.lenet._kernels")
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(ImportError, match=r"pip install 'skclr\[numba\]'"):
        LeNet5(engine="numba")
    with pytest.raises(ImportError, match="engine = 'torch'"):
        net(torch.zeros(1, 1, 32, 32))
    net.engine = "torch"
    assert net(torch.zeros(1, 1, 32, 32)).shape == (1, 10)


def test_where_nothing_can_be_kept_on_disk_it_compiles_all_the_same(monkeypatch):
    def refuse(self):
        raise RuntimeError("cannot cache function: no locator available")

    monkeypatch.setattr("numba.core.dispatcher.Dispatcher.enable_caching", refuse)
    spec = importlib.util.spec_from_file_location("kernels_without_cache", _kernels.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    row = np.full(16, 0.5, np.float32)
    module._tanh(row)
    assert_allclose(row, np.tanh(0.5), rtol=1e-6)

"""Which engine a network has, and what is said where it cannot have it."""

import errno
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import nn

import skclr
from skclr.lenet import LeNet5, _kernels
from skclr.lenet._keeping import compiler_of


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


@pytest.mark.parametrize("program", [
    "LeNet5(engine='numba')",
    "LeNet5().engine = 'numba'",
    "CLRLeNetClassifier(module__engine='numba').initialize()",
])  # fmt: skip
def test_where_numba_is_told_to_compile_nothing_one_sentence_says_so(program):
    program = f"from skclr import CLRLeNetClassifier; from skclr.lenet import LeNet5; {program}"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
        text=True,
        capture_output=True,
    )
    assert done.returncode == 1
    assert (
        "NUMBA_DISABLE_JIT is set: unset it, or set engine='torch'" in done.stderr.splitlines()[-1]
    )


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


@pytest.mark.parametrize("missing", ["a folder", "the source"])
def test_where_nothing_can_be_kept_on_disk_it_compiles_all_the_same(missing, monkeypatch):
    def refuse(*_):
        raise RuntimeError("cannot cache function: no locator available")

    def find_none(*_):
        raise FileNotFoundError("no such file")

    if missing == "a folder":
        monkeypatch.setattr("numba.core.dispatcher.Dispatcher.enable_caching", refuse)
    else:
        monkeypatch.setattr("pathlib.Path.read_bytes", find_none)
    spec = importlib.util.spec_from_file_location("kernels_without_cache", _kernels.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    totals = np.zeros(2, np.float32)
    module._sum_samples(np.ones(32, np.float32), totals)
    assert_allclose(totals, 16)


@pytest.mark.slow
def test_what_is_kept_on_disk_serves_until_any_of_its_code_changes(tmp_path):
    shutil.copytree(
        Path(skclr.__file__).parent,
        tmp_path / "skclr",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    layers = tmp_path / "skclr" / "lenet" / "_layers.py"
    program = (
        "import torch; from skclr.lenet import LeNet5, _kernels; torch.manual_seed(0); "
        "print(LeNet5(engine='numba')(torch.rand(1, 1, 32, 32)).abs().sum().item(), "
        "sum(_kernels.work.stats.cache_hits.values()))"
    )

    def run():
        printed = subprocess.check_output(
            [sys.executable, "-c", program],
            env=os.environ
            | {"PYTHONPATH": str(tmp_path), "NUMBA_CACHE_DIR": str(tmp_path / "kept")},
            text=True,
            cwd=tmp_path,
        )
        logits, hits = printed.split()
        return float(logits), int(hits)

    logits, hits = run()
    assert hits == 0
    assert run() == (logits, 1)
    layers.write_text(
        layers.read_text().replace("v.constant(0.25), total", "v.constant(0.5), total")
    )
    others, hits = run()
    assert (others != logits, hits) == (True, 0)


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="names processors of x86")
@pytest.mark.parametrize("processor", ["haswell", "x86-64"])
def test_a_processor_with_shorter_vectors_computes_the_same_up_to_rounding(processor, tmp_path):
    net, images = LeNet5(3, engine="numba"), torch.randn(40, 3, 32, 32)
    torch.save([net.state_dict(), images], tmp_path / "given.pt")
    program = (
        "import sys, torch; from skclr.lenet import LeNet5; net = LeNet5(3, engine='numba'); "
        "weights, images = torch.load('given.pt'); net.load_state_dict(weights); "
        "net(images).square().mean().backward(); "
        "torch.save([weight.grad for weight in net.parameters()], 'gradients.pt')"
    )
    subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ
        | {"NUMBA_CPU_NAME": processor, "NUMBA_CPU_FEATURES": "", "NUMBA_CACHE_DIR": str(tmp_path)},
        check=True,
        cwd=tmp_path,
    )
    net.engine = "torch"
    net(images).square().mean().backward()
    found = torch.load(tmp_path / "gradients.pt")
    for weight, gradient in zip(net.parameters(), found, strict=True):
        scale = float(weight.grad.abs().max())
        torch.testing.assert_close(gradient, weight.grad, rtol=0, atol=2e-5 * scale)


@pytest.mark.parametrize("damage", ["the index", "the code", "all, and no space"])
def test_what_is_kept_on_disk_may_be_damaged(damage, tmp_path, monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "kept"))
    file = tmp_path / "doubling.py"
    file.write_text("def double(number):\n    return 2 * number\n")

    def run():
        """Return what the function does, and how often it was found on disk."""
        spec = importlib.util.spec_from_file_location("doubling", file)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        compiled = compiler_of(str(file))(module.double)
        return compiled(21), sum(compiled.stats.cache_hits.values())

    def refuse(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    assert run() == (42, 0)
    assert run() == (42, 1)
    ending = {"the index": "*.nbi", "the code": "*.nbc"}.get(damage, "*.nb?")
    files = list((tmp_path / "kept").rglob(ending))
    assert files
    for kept in files:
        kept.write_bytes(b"what is this")
    if damage == "all, and no space":
        monkeypatch.setattr("numba.core.caching.IndexDataCacheFile._open_for_write", refuse)
        with pytest.warns(UserWarning, match="cannot be kept on disk"):
            assert run() == (42, 0)
        for kept in files:
            kept.unlink()
        with pytest.warns(UserWarning, match="No space left"):
            assert run() == (42, 0)
        return
    assert run() == (42, 0)
    assert run() == (42, 1)  # it has been mended

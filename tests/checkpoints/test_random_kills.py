"""Kills at random moments, as the benchmark makes them, but fewer."""

import importlib.util
import warnings
from pathlib import Path

import pytest
from killing import can_fork

PATH = Path(__file__).parents[2] / "benchmarks" / "kills.py"


@pytest.fixture
def kills():
    if not PATH.exists():
        pytest.skip("the benchmarks are not here")
    spec = importlib.util.spec_from_file_location("kills", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@can_fork
@pytest.mark.slow
def test_twenty_kills_end_with_the_bits_of_the_uninterrupted_training(kills):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = kills.kill_all(20, seed=0)
    assert table["kills"].sum() == 20
    assert list(table["kills survived with the same bits"]) == list(table["kills"])
    assert set(table["training"]) == set(kills.CASES)


@can_fork
def test_an_end_with_other_bits_is_told(kills, monkeypatch):
    train = kills.train

    def other(case, data, path=None, every=0.15):
        answer = train(case, data, path, every)
        return answer if path is None else answer | {"history": "another"}

    monkeypatch.setattr(kills, "train", other)
    monkeypatch.setattr(kills, "CASES", {"constant": {"schedule": "constant", "max_epochs": 1}})
    table = kills.kill_all(1, seed=0, cases=kills.CASES)
    assert table["kills survived with the same bits"].sum() == 0
    assert table["unlike"].tolist() == ["history"]

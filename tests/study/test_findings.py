"""What a study holds, and the published run beside it."""

import pickle

import numpy as np

from skclr import LRRangeResult, study


def test_without_a_measured_pair_clr_moves_between_the_published_boundaries(tmp_path):
    lrs, losses = np.logspace(-3, 0, 5), np.ones((1, 5))
    half = LRRangeResult(lrs, losses, losses, None, 0.5)
    whole = LRRangeResult(lrs, losses, losses, 0.01, 0.5)
    assert study.Study(tmp_path, {}, sweep=half).boundaries == study.PUBLISHED_RANGE
    assert study.Study(tmp_path, {}, sweep=whole).boundaries == (0.01, 0.5)


def test_published_figures_are_shipped():
    assert study.published("batch_doubling")["test_accuracy"].iloc[-1] == 0.8918
    assert len(study.published("lr_finder")) == 44


def test_before_a_sweep_clr_moves_between_the_published_boundaries(tmp_path):
    assert study.Study(tmp_path, {}).boundaries == study.PUBLISHED_RANGE


def test_a_study_can_be_pickled_under_its_public_name(tmp_path):
    assert study.Study.__module__ == "skclr.study"
    found = study.Study(tmp_path, {"seed": 1})
    assert pickle.loads(pickle.dumps(found)).settings == {"seed": 1}

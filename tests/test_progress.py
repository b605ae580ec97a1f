"""One bar for trainings in several processes."""

import io
import os
import sys

import pytest

from skclr import CLRLeNetClassifier
from skclr._progress import Ticker, progress
from skclr.range_test import lr_range_test


@pytest.mark.parametrize(("amounts", "shown"), [({}, 3), ({"per_epoch": 0, "per_training": 1}, 1)])
def test_the_bar_moves_with_epochs_or_trainings(two_classes, amounts, shown, capsys):
    with progress(4) as bar:
        CLRLeNetClassifier(max_epochs=3, callbacks=[bar.ticker(**amounts)]).fit(*two_classes)
        bar.look()
        assert bar._bar.n == shown
    assert f"{shown}/4 epochs" in capsys.readouterr().err


def test_a_stage_begins_where_it_was_said_to_though_the_last_one_ended_early(capsys):
    with progress(10) as bar:
        bar.stage("second", 6)
        assert bar._bar.n == 6
        bar.stage("third", 4)  # never back
        assert bar._bar.n == 6
    assert "second" in capsys.readouterr().err


def test_nothing_is_shown_unless_asked_for(two_classes, capsys):
    with progress(3, show=False) as bar:
        CLRLeNetClassifier(max_epochs=1, callbacks=[bar.ticker()]).fit(*two_classes)
        bar.stage("silent", 2)
    assert capsys.readouterr() == ("", "")


def test_no_file_is_left_and_none_comes_back_by_a_late_tick(two_classes):
    with progress(3) as bar:
        ticker = bar.ticker()
        assert os.path.exists(ticker.path)
    CLRLeNetClassifier(max_epochs=1, callbacks=[Ticker(ticker.path)]).fit(*two_classes)
    assert not os.path.exists(ticker.path)


def test_a_range_test_shows_its_sweeps(two_classes, capsys):
    net = CLRLeNetClassifier()
    lr_range_test(net, *two_classes, n_iter=20, min_lr=1e-5, random_state=0, verbose=1)
    assert "5/5 sweeps" in capsys.readouterr().err


class FullStream(io.StringIO):
    """A stream on a disk that is full."""

    def write(self, text):
        raise OSError(28, "No space left on device")


def closed_stream():
    stream = io.StringIO()
    stream.close()
    return stream


class AsciiStream(io.TextIOWrapper):
    """A terminal that knows few characters."""

    def __init__(self):
        super().__init__(io.BytesIO(), encoding="ascii")


@pytest.mark.parametrize("stream", [lambda: None, FullStream, closed_stream, AsciiStream])
def test_a_training_goes_on_where_its_progress_cannot_be_shown(stream, two_classes, monkeypatch):
    monkeypatch.setattr(sys, "stderr", stream())
    with progress(3) as bar:
        bar.stage("größer", 0)
        CLRLeNetClassifier(max_epochs=1, callbacks=[bar.ticker()]).fit(*two_classes)
        bar.look()


def test_without_a_temporary_folder_the_bar_moves_by_stages(two_classes, monkeypatch, capsys):
    def nowhere(*args, **kwargs):
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr("tempfile.mkstemp", nowhere)
    with progress(4) as bar:
        CLRLeNetClassifier(max_epochs=1, callbacks=[bar.ticker()]).fit(*two_classes)
        bar.stage("second", 2)
        assert bar._bar.n == 2
    assert "2/4 epochs" in capsys.readouterr().err


def test_a_file_of_ticks_that_was_cleaned_away_stops_nothing(two_classes, capsys):
    with progress(4) as bar:
        os.unlink(bar._path)
        CLRLeNetClassifier(max_epochs=1, callbacks=[bar.ticker()]).fit(*two_classes)
        bar.stage("second", 2)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_tick_that_cannot_be_written_stops_nothing(two_classes):
    CLRLeNetClassifier(max_epochs=1, callbacks=[Ticker("/dev/full")]).fit(*two_classes)

import io
import urllib.error
import urllib.request
from http.client import IncompleteRead

import pytest
from numpy.testing import assert_array_equal
from small_fashion_mnist import FILES
from torchvision.datasets import FashionMNIST

from skclr.datasets import fetch_fashion_mnist


def test_download_puts_all_four_files_into_data_home_and_nothing_else(small_set):
    small_set.on_the_mirror = small_set.gzipped
    X, y = fetch_fashion_mnist(subset="test", return_X_y=True)
    assert_array_equal(X, small_set.images[30:])
    assert_array_equal(y, small_set.labels[30:])
    assert sorted(path.name for path in small_set.folders[0].iterdir()) == sorted(small_set.gzipped)


def test_download_asks_only_for_the_files_that_are_in_no_folder(small_set):
    small_set.put(small_set.folders[3])
    (small_set.folders[3] / f"{FILES[2]}.gz").unlink()
    small_set.on_the_mirror = small_set.gzipped
    fetch_fashion_mnist(subset="test")
    assert set(small_set.requested) == {f"{FILES[2]}.gz"}


def test_nothing_is_downloaded_for_a_subset_that_is_there(small_set):
    small_set.put(small_set.folders[3])
    (small_set.folders[3] / f"{FILES[2]}.gz").unlink()
    fetch_fashion_mnist(subset="train")
    assert not small_set.requested


def test_download_prints_nothing(small_set, capsys):
    small_set.on_the_mirror = small_set.gzipped
    fetch_fashion_mnist()
    assert capsys.readouterr() == ("", "")


def test_second_mirror_is_tried_when_the_first_fails(small_set, monkeypatch):
    monkeypatch.setattr(FashionMNIST, "mirrors", ["http://one.invalid/", "http://two.invalid/"])
    small_set.on_the_mirror = small_set.gzipped

    def urlopen(request):
        if "one.invalid" in request.full_url:
            raise urllib.error.URLError("gone")
        return small_set.urlopen(request)

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    X, _ = fetch_fashion_mnist(return_X_y=True)
    assert_array_equal(X, small_set.images[:30])


def test_no_network_is_one_sentence_that_says_what_to_do_and_leaves_no_file(small_set):
    with pytest.raises(OSError, match="Name or service not known") as error:
        fetch_fashion_mnist()
    for part in ("could not be downloaded", str(small_set.folders[0]), "dataset-fashion-mnist"):
        assert part in str(error.value)
    assert small_set.files() == []


@pytest.mark.parametrize("received", [b"", b"<html>log in to this network</html>", None])
def test_download_of_something_else_or_a_part_leaves_no_file(small_set, received):
    part = small_set.gzipped[f"{FILES[0]}.gz"][:-10] if received is None else received
    small_set.on_the_mirror = small_set.gzipped | {f"{FILES[0]}.gz": part}
    with pytest.raises(OSError, match="could not be downloaded"):
        fetch_fashion_mnist()
    assert small_set.files() == []


@pytest.mark.parametrize(
    ("interruption", "answer"),
    [
        (IncompleteRead(b""), OSError),
        (TimeoutError(), OSError),
        (KeyboardInterrupt(), BaseException),
    ],
)
def test_download_that_breaks_off_leaves_no_file(small_set, monkeypatch, interruption, answer):
    class BreaksOff(io.BytesIO):
        url, length = None, 10_000

        def read(self, size=-1):
            if self.tell() > 0:
                raise interruption
            return super().read(10)

    monkeypatch.setattr(urllib.request, "urlopen", lambda request: BreaksOff(b"x" * 10_000))
    with pytest.raises(answer) as error:
        fetch_fashion_mnist()
    assert interruption in (error.value, error.value.__cause__)
    assert small_set.files() == []


def test_download_after_a_failure_fetches_the_rest(small_set):
    small_set.on_the_mirror = {
        file: small_set.gzipped[file] for file in list(small_set.gzipped)[:2]
    }
    with pytest.raises(OSError, match="could not be downloaded"):
        fetch_fashion_mnist(subset="all")
    small_set.on_the_mirror = {
        file: small_set.gzipped[file] for file in list(small_set.gzipped)[2:]
    }
    X, _ = fetch_fashion_mnist(subset="all", return_X_y=True)
    assert_array_equal(X, small_set.images)

import hashlib
import urllib.error
import urllib.request

import pytest
from small_fashion_mnist import SmallSet
from torchvision.datasets import FashionMNIST

from skclr.datasets import _fashion_mnist


@pytest.fixture
def small_set(tmp_path, monkeypatch):
    small = SmallSet(tmp_path)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(small.data_home))
    monkeypatch.setattr(_fashion_mnist, "_SYSTEM_FOLDER", small.folders[3])
    monkeypatch.setattr(_fashion_mnist, "_verified", set())
    monkeypatch.setattr(
        _fashion_mnist,
        "_FULL_SHA256",
        {name: hashlib.sha256(content).hexdigest() for name, content in small.content.items()},
    )
    monkeypatch.setattr(
        FashionMNIST,
        "resources",
        [(file, hashlib.md5(content).hexdigest()) for file, content in small.gzipped.items()],
    )
    monkeypatch.setattr(urllib.request, "urlopen", small.urlopen)
    return small

"""A small set of random images in the files and folders of Fashion-MNIST, with a mirror."""

import gzip
import io
import struct
import urllib.error
import urllib.request

import numpy as np
import pytest

from skclr.datasets import _fashion_mnist

FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)

needs_the_full_set = pytest.mark.skipif(
    len(_fashion_mnist._find(_fashion_mnist._folders(None))) < len(FILES),
    reason="the full Fashion-MNIST is not on this machine (Debian: dataset-fashion-mnist)",
)


def idx(array):
    return struct.pack(f">I{array.ndim}I", 0x800 + array.ndim, *array.shape) + array.tobytes()


class SmallSet:
    """A machine of its own: 30 + 20 random images, four folders to search, one mirror."""

    def __init__(self, root):
        rng = np.random.default_rng(0)
        self.images = rng.integers(0, 256, (50, 28, 28), dtype=np.uint8)
        self.labels = rng.integers(0, 10, 50, dtype=np.uint8)
        arrays = (self.images[:30], self.labels[:30], self.images[30:], self.labels[30:])
        self.content = dict(zip(FILES, map(idx, arrays), strict=True))
        self.gzipped = {f"{name}.gz": gzip.compress(self.content[name]) for name in FILES}
        self.data_home = root / "home" / "scikit_learn_data"
        self.folders = (
            self.data_home / "fashion-mnist",
            self.data_home / "FashionMNIST" / "raw",
            root / "work" / "data" / "FashionMNIST" / "raw",
            root / "system" / "fashion-mnist",
        )
        self.on_the_mirror = {}
        self.requested = []

    def put(self, folder, *, corrupt=False):
        folder.mkdir(parents=True, exist_ok=True)
        for file, content in self.gzipped.items():
            (folder / file).write_bytes(gzip.compress(b"\0" * 100) if corrupt else content)

    def files(self):
        return sorted(path.name for path in self.data_home.rglob("*") if path.is_file())

    def urlopen(self, request):
        file = request.full_url.rpartition("/")[2]
        self.requested.append(file)
        if file not in self.on_the_mirror:
            raise urllib.error.URLError("Name or service not known")
        response = io.BytesIO(self.on_the_mirror[file])
        response.url, response.length = request.full_url, len(self.on_the_mirror[file])
        return response

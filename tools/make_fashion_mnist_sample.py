"""Draw the sample of Fashion-MNIST that skclr ships, from the full set.

    python tools/make_fashion_mnist_sample.py

writes the four files into skclr/datasets/data and prints their checksums, which belong in
``_SAMPLE_SHA256`` of skclr/datasets/_fashion_mnist.py.
"""

import argparse
import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np

from skclr.datasets import fetch_fashion_mnist
from skclr.datasets._fashion_mnist import FILES

IMAGES_PER_CLASS = {"train": 600, "test": 100}
SHIPPED_FOLDER = Path(__file__).resolve().parents[1] / "skclr" / "datasets" / "data"


def write_sample(folder: Path) -> dict[str, str]:
    """Write the four files into `folder`; return the SHA-256 of each one's content."""
    checksums = {}
    for subset, names in FILES.items():
        images, labels = fetch_fashion_mnist(subset=subset, return_X_y=True)
        drawn = draw(labels, IMAGES_PER_CLASS[subset])
        for name, array in zip(names, (images[drawn], labels[drawn]), strict=True):
            content = to_idx(array)
            checksums[name] = hashlib.sha256(content).hexdigest()
            write_gzip(folder / f"{name}.gz", content)
    return checksums


def draw(labels: np.ndarray, n_per_class: int) -> np.ndarray:
    """Return the sorted indices of `n_per_class` labels of each class."""
    random_state = np.random.RandomState(0)  # NumPy promises never to change its stream
    return np.sort(
        np.concatenate(
            [
                random_state.choice(np.flatnonzero(labels == label), n_per_class, replace=False)
                for label in np.unique(labels)
            ]
        )
    )


def to_idx(array: np.ndarray) -> bytes:
    """Return `array` as the bytes of an IDX file of unsigned bytes."""
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


def write_gzip(path: Path, content: bytes) -> None:
    """Write a gzip file without name and time, so that the same content is the same file."""
    with (
        path.open("wb") as file,
        gzip.GzipFile("", "wb", compresslevel=9, fileobj=file, mtime=0) as compressed,
    ):
        compressed.write(content)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=SHIPPED_FOLDER, help="folder of the files")
    for name, checksum in write_sample(parser.parse_args().output).items():
        print(f'    "{name}": "{checksum}",')

"""Fashion-MNIST: the shipped sample, and the full set from this machine or from the network."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import io
import math
import os
import tempfile
import zlib
from pathlib import Path
from typing import Any, Literal

import numpy as np
from sklearn.utils import Bunch
from sklearn.utils._param_validation import StrOptions, validate_params

TARGET_NAMES = (
    "top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}

# Checksums are of the uncompressed content: the same images are in circulation in differently
# compressed files (Debian's have another gzip header than the official ones).
_FULL_SHA256 = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
_SAMPLE_SHA256 = {
    "train-images-idx3-ubyte": "31d9353985a268ffa6acd0db936b5e5eb78d0be85e21a63d6f551abc3cd96f34",
    "train-labels-idx1-ubyte": "cd10004b6267f1cadf0991c11eb73f886275a70d4a715722e821c08253f61e2f",
    "t10k-images-idx3-ubyte": "579394ae4bbe37a8837170a7311d0d4eae0f3efb6ef742d246ed865981aee5ca",
    "t10k-labels-idx1-ubyte": "3615c4cd2ff1d16a782d179cf46d0c888c86ea2e3c411c2ec736e91009bcd7be",
}

_SHIPPED_FOLDER = Path(__file__).parent / "data"
_SYSTEM_FOLDER = Path("/usr/share/datasets/fashion-mnist")

_verified: set[tuple[str, int, int]] = set()


@validate_params(
    {
        "subset": [StrOptions({"train", "test"})],
        "return_X_y": ["boolean"],
        "as_frame": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def load_fashion_mnist_sample(
    *,
    subset: Literal["train", "test"] = "train",
    return_X_y: bool = False,
    as_frame: bool = False,
) -> Bunch | tuple[Any, Any]:
    """Load the sample of Fashion-MNIST that is shipped with the package.

    Real images, drawn stratified from the full set: 600 of each class from its training images
    and 100 of each class from its test images. Nothing is downloaded.

    =================   ==============
    Classes                         10
    Training images              6,000
    Test images                  1,000
    Image size                 28 x 28
    Pixels              integers 0-255
    =================   ==============

    Parameters
    ----------
    subset : {'train', 'test'}, default='train'
        The training images or the test images.

    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.

    as_frame : bool, default=False
        Return pandas objects, one column a pixel.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the following attributes.

        data : ndarray of shape (n_images, 28, 28), dtype uint8, or DataFrame
            The images; 0 is the background. With `as_frame=True` a DataFrame of shape
            (n_images, 784), the rows of each image one after the other.
        target : ndarray of shape (n_images,), dtype int64, or Series
            The label of each image, 0 to 9.
        feature_names : list of 784 str
            The columns of the DataFrame: 'pixel1' to 'pixel784', as on OpenML.
        target_names : list of 10 str
            The name of each label.
        frame : DataFrame of shape (n_images, 785) or None
            `data` and `target` together, with `as_frame=True`.
        DESCR : str
            Where the images come from, and their licence.

    (data, target) : tuple if `return_X_y=True`
        Images and labels alone, in the same form.

    Raises
    ------
    InvalidParameterError
        If a parameter has a value that is not listed above.
    OSError
        If a shipped file is missing or its SHA-256 checksum is wrong. It is verified when the
        file is first read in a process.

    See Also
    --------
    fetch_fashion_mnist : All 70,000 images.

    Examples
    --------
    >>> from skclr.datasets import load_fashion_mnist_sample
    >>> sample = load_fashion_mnist_sample()
    >>> sample.data.shape, sample.data.dtype
    ((6000, 28, 28), dtype('uint8'))
    >>> sample.target_names[sample.target[0]]
    'top'
    >>> X_test, y_test = load_fashion_mnist_sample(subset="test", return_X_y=True)
    >>> X_test.shape, y_test.shape
    ((1000, 28, 28), (1000,))
    """
    images, labels = (
        _read_idx(_SHIPPED_FOLDER / f"{name}.gz", _SAMPLE_SHA256[name], remedy="reinstall skclr")
        for name in FILES[subset]
    )
    return _in_the_form_asked(images, labels, return_X_y=return_X_y, as_frame=as_frame)


@validate_params(
    {
        "subset": [StrOptions({"train", "test", "all"})],
        "data_home": [str, os.PathLike, None],
        "download_if_missing": ["boolean"],
        "return_X_y": ["boolean"],
        "as_frame": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def fetch_fashion_mnist(
    *,
    subset: Literal["train", "test", "all"] = "train",
    data_home: str | os.PathLike[str] | None = None,
    download_if_missing: bool = True,
    return_X_y: bool = False,
    as_frame: bool = False,
) -> Bunch | tuple[Any, Any]:
    """Load the full Fashion-MNIST, and download it where this machine does not have it.

    =================   ==============
    Classes                         10
    Training images             60,000
    Test images                 10,000
    Image size                 28 x 28
    Pixels              integers 0-255
    =================   ==============

    Each of the four files, gzipped or not, is looked for in these folders, in this order:

    1. ``<data_home>/fashion-mnist``;
    2. ``<data_home>/FashionMNIST/raw`` and ``./data/FashionMNIST/raw``, where
       ``torchvision.datasets.FashionMNIST`` puts it with `root` set to `data_home` or, as in
       PyTorch's tutorials, to ``'data'``;
    3. ``/usr/share/datasets/fashion-mnist``, where Debian's package ``dataset-fashion-mnist``
       puts it.

    If one that `subset` needs is in none of them, every missing file is downloaded into the first
    folder, from the address that torchvision knows (31 MB for all four). A file appears there
    only when it is whole and its checksum is right.

    Parameters
    ----------
    subset : {'train', 'test', 'all'}, default='train'
        The training images, the test images, or both, the training images first.

    data_home : str or path-like, default=None
        The folder of scikit-learn's datasets. None is what
        :func:`sklearn.datasets.get_data_home` says: the environment variable
        ``SCIKIT_LEARN_DATA``, or else ``~/scikit_learn_data``.

    download_if_missing : bool, default=True
        If False, raise an OSError instead of downloading.

    return_X_y : bool, default=False
        Return ``(data, target)`` instead of a Bunch.

    as_frame : bool, default=False
        Return pandas objects, one column a pixel.

    Returns
    -------
    data : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the following attributes.

        data : ndarray of shape (n_images, 28, 28), dtype uint8, or DataFrame
            The images; 0 is the background. With `as_frame=True` a DataFrame of shape
            (n_images, 784), the rows of each image one after the other.
        target : ndarray of shape (n_images,), dtype int64, or Series
            The label of each image, 0 to 9.
        feature_names : list of 784 str
            The columns of the DataFrame: 'pixel1' to 'pixel784', as on OpenML.
        target_names : list of 10 str
            The name of each label.
        frame : DataFrame of shape (n_images, 785) or None
            `data` and `target` together, with `as_frame=True`.
        DESCR : str
            Where the images come from, and their licence.

    (data, target) : tuple if `return_X_y=True`
        Images and labels alone, in the same form.

    Raises
    ------
    InvalidParameterError
        If a parameter has a value that is not listed above.
    OSError
        If a file is missing and is not to be downloaded or cannot be, or if its SHA-256 checksum
        is wrong. It is verified when the file is first read in a process. A file with a wrong
        checksum is neither skipped nor deleted.

    See Also
    --------
    load_fashion_mnist_sample : A tenth of the images, shipped with the package.

    Examples
    --------
    >>> from skclr.datasets import fetch_fashion_mnist
    >>> X, y = fetch_fashion_mnist(return_X_y=True)  # doctest: +SKIP
    >>> X.shape, y.shape  # doctest: +SKIP
    ((60000, 28, 28), (60000,))
    """
    folders = _folders(data_home)
    parts = ("train", "test") if subset == "all" else (subset,)
    needed = [name for part in parts for name in FILES[part]]

    found = _find(folders)
    missing = [f"{name}.gz" for name in needed if name not in found]
    if missing and not download_if_missing:
        raise OSError(
            f"Fashion-MNIST is incomplete on this machine: no {' and no '.join(missing)} in any of "
            f"{', '.join(map(str, folders))}; call with download_if_missing=True, put what is "
            f"missing into the first folder, or install Debian's package dataset-fashion-mnist."
        )
    if missing:
        _download([name for name in _FULL_SHA256 if name not in found], folders[0])
        found = _find(folders)

    remedy = "delete it or put a good copy in its place (a deleted file is downloaded anew)"
    content = {name: _read_idx(found[name], _FULL_SHA256[name], remedy) for name in needed}
    images = np.concatenate([content[FILES[part][0]] for part in parts])
    labels = np.concatenate([content[FILES[part][1]] for part in parts])
    return _in_the_form_asked(images, labels, return_X_y=return_X_y, as_frame=as_frame)


def _folders(data_home: str | os.PathLike[str] | None) -> list[Path]:
    # sklearn.datasets.get_data_home answers the same, but creates the folder, and so fails where
    # the home folder cannot be written to, even if the system has the files.
    if data_home is None:
        data_home = os.environ.get("SCIKIT_LEARN_DATA", "~/scikit_learn_data")
    home = Path(data_home).expanduser().absolute()
    return [
        home / "fashion-mnist",
        home / "FashionMNIST" / "raw",
        Path("data", "FashionMNIST", "raw").absolute(),
        _SYSTEM_FOLDER,
    ]


def _find(folders: list[Path]) -> dict[str, Path]:
    """Return the first file in `folders` for each of the four names that is in one of them."""
    found = {}
    for name in _FULL_SHA256:
        candidates = (folder / file for folder in folders for file in (name, f"{name}.gz"))
        path = next((path for path in candidates if path.is_file()), None)
        if path is not None:
            found[name] = path
    return found


def _download(names: list[str], folder: Path) -> None:
    from torchvision.datasets import FashionMNIST

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="download-", dir=folder) as unfinished:
            for file, md5 in FashionMNIST.resources:
                if file.removesuffix(".gz") in names:
                    _download_from_a_mirror(file, md5, unfinished)
                    os.replace(Path(unfinished, file), folder / file)
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        raise OSError(
            f"Fashion-MNIST could not be downloaded to {folder} ({error}); try again with a "
            f"network connection, put the four .gz files into that folder yourself, install "
            f"Debian's package dataset-fashion-mnist, or use load_fashion_mnist_sample."
        ) from error


def _download_from_a_mirror(file: str, md5: str, folder: str) -> None:
    from torchvision.datasets import FashionMNIST
    from torchvision.datasets.utils import download_url

    failure = None
    for mirror in FashionMNIST.mirrors:
        try:
            with contextlib.redirect_stderr(io.StringIO()):  # torchvision's progress bar
                return download_url(f"{mirror}{file}", folder, md5=md5)
        except (OSError, RuntimeError, http.client.HTTPException) as error:
            failure = error
    raise failure or RuntimeError("torchvision lists no address for Fashion-MNIST")


def _read_idx(path: Path, sha256: str, remedy: str) -> np.ndarray:
    """Return the array in an IDX file, verifying its content if this process reads it first."""
    status = path.stat()
    content = path.read_bytes()
    corrupt = f"{path} is corrupt: the SHA-256 checksum of its uncompressed content should be"
    if path.suffix == ".gz":
        try:
            content = zlib.decompress(content, wbits=31)
        except zlib.error as error:
            raise OSError(
                f"{corrupt} {sha256}, but it has none, since it cannot be decompressed ({error}); "
                f"{remedy}."
            ) from error

    version = (str(path), status.st_mtime_ns, status.st_size)
    if version not in _verified:
        found = hashlib.sha256(content).hexdigest()
        if found != sha256:
            raise OSError(f"{corrupt} {sha256}, but is {found}; {remedy}.")
        _verified.add(version)
    return _parse_idx(content, path)


def _parse_idx(content: bytes, path: Path) -> np.ndarray:
    n_dims = int.from_bytes(content[3:4], "big")
    start = 4 + 4 * n_dims
    shape = [int.from_bytes(content[i : i + 4], "big") for i in range(4, start, 4)]
    if content[:3] != b"\0\0\x08" or len(content) != start + math.prod(shape):
        raise OSError(f"{path} is not a whole IDX file of unsigned bytes.")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy()


def _in_the_form_asked(
    images: np.ndarray, labels: np.ndarray, *, return_X_y: bool, as_frame: bool
) -> Bunch | tuple[Any, Any]:
    feature_names = [f"pixel{i}" for i in range(1, 28 * 28 + 1)]
    data, target, frame = images, labels.astype(np.int64), None
    if as_frame:
        import pandas as pd

        data = pd.DataFrame(images.reshape(len(images), -1), columns=feature_names)
        target = pd.Series(target, name="target")
        frame = pd.concat([data, target], axis=1)
    if return_X_y:
        return data, target
    return Bunch(
        data=data,
        target=target,
        frame=frame,
        feature_names=feature_names,
        target_names=list(TARGET_NAMES),
        DESCR=(_SHIPPED_FOLDER / "fashion_mnist.rst").read_text(encoding="utf-8"),
    )

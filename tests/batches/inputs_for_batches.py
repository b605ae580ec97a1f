import numpy as np
import skorch.dataset
import torch
from torch.utils.data import Subset, TensorDataset

from skclr.batches import ImageDataset

N = 23


def images_of_bytes():
    return np.random.RandomState(0).randint(0, 256, (N, 1, 5, 4)).astype(np.uint8)


def datasets():
    images, targets = images_of_bytes(), np.arange(N) % 3
    tensors = torch.from_numpy(images), torch.from_numpy(targets)
    return {
        "ImageDataset": ImageDataset(images, targets),
        "ImageDataset without targets": ImageDataset(images),
        "ImageDataset of rows": ImageDataset(images.reshape(N, -1), targets),
        "skorch Dataset": skorch.dataset.Dataset(images, targets),
        "skorch Dataset of tensors": skorch.dataset.Dataset(*tensors),
        "skorch Dataset without y": skorch.dataset.Dataset(images),
        "TensorDataset": TensorDataset(*tensors),
        "Subset": Subset(TensorDataset(*tensors), [5, 3, 9, 0, 22, 3, 7]),
        "Subset of images": Subset(ImageDataset(images, targets), np.arange(20, 3, -2)),
        "Subset of a skorch Dataset": Subset(skorch.dataset.Dataset(images, targets), range(3, 15)),
        "Subset of a Subset": Subset(Subset(TensorDataset(*tensors), range(22, 2, -2)), [4, 0, 8]),
        "Subset by a tensor": Subset(TensorDataset(*tensors), torch.tensor([4, 0, 8])),
        "empty": ImageDataset(images[:0], targets[:0]),
    }


def arrays():
    whole = np.random.RandomState(0).randint(0, 200, (N, 1, 6, 4))
    read_only = whole.astype(np.uint8)
    read_only.flags.writeable = False
    return {
        "read-only": read_only,
        "Fortran order": np.asfortranarray(whole.astype(np.float32)),
        "negative strides": whole.astype(np.int16)[::-1, :, ::-1, ::-1],
        "every second": np.repeat(whole, 2, axis=3).astype(np.uint8)[..., ::2],
        "channels last": np.moveaxis(np.moveaxis(whole, 1, 3).copy().astype(np.uint8), 3, 1),
        "broadcast": np.broadcast_to(whole[:1].astype(np.uint8), whole.shape),
        "big-endian int": whole.astype(">i4"),
        "big-endian float": whole.astype(">f8"),
        "bool": whole > 100,
        "int8": (whole - 100).astype(np.int8),
        "uint16": whole.astype(np.uint16) * 300,
        "uint32": whole.astype(np.uint32) * 20_000_000,
        "uint64": whole.astype(np.uint64),
        "float16": whole.astype(np.float16),
        "longdouble": whole.astype(np.longdouble),
        "rows": whole.reshape(N, -1),
    }

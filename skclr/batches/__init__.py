"""Whole batches of images: no Python per sample, no copy of the data set.

Images stay in the dtype and the layout in which they came, memory-mapped ones on disk, and become
float images of one size, 32 x 32 pixels unless another is given, batch by batch.
"""

from skclr.batches._arrays import as_tensor as as_tensor
from skclr.batches._arrays import channels_first as channels_first
from skclr.batches._arrays import from_torch as from_torch
from skclr.batches._dataset import ImageDataset
from skclr.batches._exportable import ExportablePreparation as ExportablePreparation
from skclr.batches._inputs import InputShape as InputShape
from skclr.batches._inputs import check_classes as check_classes
from skclr.batches._inputs import check_images as check_images
from skclr.batches._inputs import check_labelled_images as check_labelled_images
from skclr.batches._inputs import encode as encode
from skclr.batches._inputs import form_of_images as form_of_images
from skclr.batches._inputs import is_encoded as is_encoded
from skclr.batches._inputs import labels_beside as labels_beside
from skclr.batches._inputs import warn_of_other_pixels as warn_of_other_pixels
from skclr.batches._iterator import BatchIterator
from skclr.batches._labelled import for_callbacks as for_callbacks
from skclr.batches._labelled import for_training as for_training
from skclr.batches._labels import given_labels as given_labels
from skclr.batches._labels import labels_in as labels_in
from skclr.batches._lazy import _LazyImages, _Rows, _Samples
from skclr.batches._lazy import is_lazy as is_lazy
from skclr.batches._lazy import opened as opened
from skclr.batches._objects import is_dataset as is_dataset
from skclr.batches._on_device import kept_on_device as kept_on_device
from skclr.batches._preparation import ImagePreparation
from skclr.batches._preparation import pixel_statistics as pixel_statistics
from skclr.batches._preparation import sides_of as sides_of
from skclr.batches._weights import check_sample_weight as check_sample_weight
from skclr.batches._weights import mean_one as mean_one
from skclr.batches._weights import weights_in as weights_in
from skclr.batches._weights import weights_of_classes as weights_of_classes

__all__ = ["BatchIterator", "ImageDataset", "ImagePreparation"]

for name in __all__:
    globals()[name].__module__ = __name__
for lazy in (_LazyImages, _Rows, _Samples):  # pickles know them, too, by the address of the face
    lazy.__module__ = __name__
del name, lazy

InputShape.__module__ = __name__  # as pickles know it

"""LeNet-5 with a learning-rate or batch-size schedule, as a scikit-learn classifier."""

from skclr.callbacks import constant_lr
from skclr.classifier._estimator import CLRLeNetClassifier
from skclr.exceptions import DivergenceError

__all__ = ["CLRLeNetClassifier", "DivergenceError"]

for name in __all__:
    globals()[name].__module__ = __name__
del name

_constant = constant_lr  # where pickles of version 0.1 look for it

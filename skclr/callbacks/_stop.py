"""The ways for a callback to end a training early."""


class StopTraining(KeyboardInterrupt):
    """Raised by a callback to end training early, with what was learned kept.

    It derives from `KeyboardInterrupt` because that is the one exception that
    :meth:`skorch.NeuralNet.partial_fit` takes as a wish to stop.

    Examples
    --------
    >>> import numpy as np
    >>> from skorch import NeuralNetClassifier
    >>> from skorch.callbacks import Callback
    >>> from torch import nn
    >>> from skclr.callbacks import StopTraining
    >>> class StopAfterTwoEpochs(Callback):
    ...     def on_epoch_end(self, net, **kwargs):
    ...         if len(net.history) == 2:
    ...             raise StopTraining
    >>> net = NeuralNetClassifier(
    ...     nn.Linear, module__in_features=4, module__out_features=2,
    ...     criterion=nn.CrossEntropyLoss, max_epochs=5, train_split=None,
    ...     callbacks=[StopAfterTwoEpochs], verbose=0)
    >>> net = net.fit(np.zeros((8, 4), "float32"), np.arange(8) % 2)
    >>> len(net.history)
    2
    """


class SweepEnded(StopTraining):
    """The end of a sweep of rates, after which the network is of no further use."""

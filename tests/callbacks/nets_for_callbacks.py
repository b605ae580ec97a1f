"""Small nets of each kind, what their updates were made with, and torch's own schedules."""

import itertools
import math

import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback
from torch import nn

from skclr import CLRLeNetClassifier
from skclr.batches import BatchIterator
from skclr.callbacks import LRRangeTest

N_SAMPLES, BATCH_SIZE = 60, 10
PER_EPOCH = N_SAMPLES // BATCH_SIZE


class Spy(Callback):
    """Note what each update is really made with, and with how many samples."""

    def __init__(self):
        self.rates, self.momenta, self.sizes, self.validation_sizes = [], [], [], []

    def on_grad_computed(self, net, named_parameters, training=None, **kwargs):
        groups = net.optimizer_.param_groups
        self.rates.append([group["lr"] for group in groups])
        self.momenta.append([_momentum(group) for group in groups])

    def on_batch_begin(self, net, batch=None, training=None, **kwargs):
        if training:
            epoch = len(net.history) - 1
            self.sizes += [[] for _ in range(epoch + 1 - len(self.sizes))]
            self.sizes[epoch].append(len(batch[0]))
        else:
            self.validation_sizes.append(len(batch[0]))


def _momentum(group):
    return group["momentum"] if "momentum" in group else group.get("betas", [math.nan])[0]


def plain_net(*callbacks, **params):
    """A skorch net with skorch's own defaults, the stock DataLoader among them."""
    torch.manual_seed(0)
    defaults = {
        "module__in_features": 4,
        "module__out_features": 2,
        "criterion": nn.CrossEntropyLoss,
        "batch_size": BATCH_SIZE,
        "max_epochs": 2,
        "train_split": None,
        "verbose": 0,
    }
    return NeuralNetClassifier(nn.Linear, callbacks=list(callbacks), **(defaults | params))


def net_with_batch_iterator(*callbacks, **params):
    return plain_net(*callbacks, iterator_train=BatchIterator, **params)


def classifier(*callbacks, **params):
    defaults = {
        "schedule": None,
        "batch_size": BATCH_SIZE,
        "max_epochs": 2,
        "random_state": 0,
    }
    return CLRLeNetClassifier(callbacks=list(callbacks), **(defaults | params))


def torch_schedule(make_scheduler, n_updates, make_optimizer=torch.optim.SGD, n_groups=1):
    """Step a scheduler of torch's along; return the rates and the momenta of its updates."""
    groups = [{"params": [nn.Parameter(torch.zeros(1))]} for _ in range(n_groups)]
    optimizer = make_optimizer(groups, lr=0.1)
    scheduler = make_scheduler(optimizer)
    rates, momenta = [], []
    for _ in range(n_updates):
        rates.append([group["lr"] for group in optimizer.param_groups])
        momenta.append([_momentum(group) for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    return rates, momenta


def torch_cyclic(n_updates, *, optimizer=torch.optim.SGD, n_groups=1, **params):
    def make_scheduler(optimizer):
        return torch.optim.lr_scheduler.CyclicLR(optimizer, **({"cycle_momentum": False} | params))

    return torch_schedule(make_scheduler, n_updates, optimizer, n_groups)


def recorded(net, name="event_lr"):
    return [row[name] for epoch in net.history for row in epoch["batches"]]


def weights(net):
    return {name: value.clone() for name, value in net.module_.state_dict().items()}


def assert_same_weights(first, second):
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


class Endless(BatchIterator):
    """Three batches an epoch, as a stream that does not know its end."""

    def __len__(self):
        raise TypeError("no length")

    def __iter__(self):
        return iter([next(iter(BatchIterator(self.dataset, self.batch_size)))] * 3)


def inverse_decay(iteration):
    return 0.2 / (1 + 0.1 * iteration)


def sizes_of(batch_size, make_net=plain_net):
    whole, rest = divmod(N_SAMPLES, batch_size)
    if make_net is not classifier:
        return [batch_size] * whole + ([rest] if rest else [])
    n_batches = whole + (rest > 0)
    ends = [N_SAMPLES * place // n_batches for place in range(n_batches + 1)]
    return [end - start for start, end in itertools.pairwise(ends)]


def swept(net):
    return next(callback for _, callback in net.callbacks_ if isinstance(callback, LRRangeTest))

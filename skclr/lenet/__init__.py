"""LeNet-5 as a torch module, with the time-consuming part of it made fast on the CPU."""

from skclr.lenet._compiled import blocks_shared_by as blocks_shared_by
from skclr.lenet._network import LeNet5
from skclr.lenet._network import check_engine as check_engine
from skclr.lenet._network import cross_entropy_at_once as cross_entropy_at_once
from skclr.lenet._network import engine_of as engine_of
from skclr.lenet._network import has_hooks as has_hooks

__all__ = ["LeNet5"]

LeNet5.__module__ = __name__

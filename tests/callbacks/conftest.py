import pytest
from nets_for_callbacks import classifier, net_with_batch_iterator, plain_net


@pytest.fixture(params=[plain_net, net_with_batch_iterator, classifier])
def make_net(request):
    return request.param


@pytest.fixture(params=[plain_net, net_with_batch_iterator])
def make_skorch_net(request):
    return request.param

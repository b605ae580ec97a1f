"""Training and test data for comparisons."""

import math

import pytest
from comparisons import INITIAL, ORDERS, Interrupt


@pytest.fixture(autouse=True)
def _fresh():
    INITIAL.clear()
    ORDERS.clear()
    Interrupt.trainings_left = math.inf


@pytest.fixture
def split(fashion):
    X, y = fashion
    return X[:120], y[:120], X[120:200], y[120:200]


@pytest.fixture
def table_split(table):
    X, y = table
    return X[:40], y[:40], X[40:], y[40:]

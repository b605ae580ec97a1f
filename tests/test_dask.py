"""The same search on a Dask cluster: equal scores, also when a worker dies."""

import os
import signal
import threading

import joblib
import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV

from skclr import CLRLeNetClassifier
from skclr.datasets import load_fashion_mnist_sample

distributed = pytest.importorskip("dask.distributed")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster():
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
        ) as cluster,
        distributed.Client(cluster),
    ):
        yield cluster


@pytest.fixture(scope="module")
def images():
    X, y = load_fashion_mnist_sample(return_X_y=True)
    return X[:400], y[:400]


def a_search():
    clf = CLRLeNetClassifier(max_epochs=2, step_size=1, random_state=0)
    grid = {"schedule": ["triangular", "one_cycle", "batch_doubling"], "max_lr": [0.05, 0.1]}
    return GridSearchCV(clf, grid, cv=2, refit=False, pre_dispatch="all")


@pytest.fixture(scope="module")
def scores_at_home(images):
    return a_search().fit(*images).cv_results_["mean_test_score"]


def test_a_search_on_two_worker_processes_gives_the_scores_of_one_process(
    cluster, images, scores_at_home
):
    with joblib.parallel_config(backend="dask"):
        search = a_search().fit(*images)
    np.testing.assert_array_equal(search.cv_results_["mean_test_score"], scores_at_home)


def n_trainings(cluster, state):
    """Return how many trainings have come into this state so far."""
    prefixes = list(cluster.scheduler.task_prefixes.values())
    return sum(p.state_counts[state] for p in prefixes if "fit_and_score" in p.name)


def test_a_search_outlives_the_death_of_a_worker(cluster, images, scores_at_home):
    victim = next(iter(cluster.workers.values())).pid
    sent, finished = n_trainings(cluster, "waiting"), n_trainings(cluster, "memory")
    over = threading.Event()
    killed = []

    def kill_in_mid_search():
        while not over.wait(0.02):
            all_sent = n_trainings(cluster, "waiting") >= sent + 12
            if all_sent and n_trainings(cluster, "memory") > finished:
                os.kill(victim, signal.SIGKILL)
                killed.append(victim)
                return

    killer = threading.Thread(target=kill_in_mid_search)
    killer.start()
    try:
        with joblib.parallel_config(backend="dask"):
            search = a_search().fit(*images)
    finally:
        over.set()
        killer.join()
    assert killed == [victim]
    np.testing.assert_array_equal(search.cv_results_["mean_test_score"], scores_at_home)

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


def a_search(verbose=0):
    clf = CLRLeNetClassifier(max_epochs=2, step_size=1, random_state=0, verbose=verbose)
    grid = {"schedule": ["triangular", "one_cycle", "batch_doubling"], "max_lr": [0.05, 0.1]}
    return GridSearchCV(clf, grid, cv=2, refit=False)


@pytest.fixture(scope="module")
def scores_at_home(images):
    return a_search().fit(*images).cv_results_["mean_test_score"]


def test_a_search_on_two_worker_processes_gives_the_scores_of_one_process(
    cluster, images, scores_at_home
):
    with joblib.parallel_config(backend="dask"):
        search = a_search().fit(*images)
    np.testing.assert_array_equal(search.cv_results_["mean_test_score"], scores_at_home)


def n_finished(cluster):
    """Return how many trainings the cluster has finished so far."""
    prefixes = list(cluster.scheduler.task_prefixes.values())
    return sum(p.state_counts["memory"] for p in prefixes if "fit_and_score" in p.name)


def test_a_search_outlives_the_death_of_a_worker(cluster, images, scores_at_home):
    before, victim = n_finished(cluster), next(iter(cluster.workers.values())).pid
    over = threading.Event()
    killed = []

    def kill_in_mid_search():
        while not over.wait(0.02):
            if n_finished(cluster) > before:
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

"""
Searching schedules on a Dask cluster
=====================================

A search over schedules is many trainings that know nothing of each other. On
one machine ``n_jobs`` spreads them over its cores; when that is not enough, the
same search runs on a Dask cluster, and one line changes.

Install what it needs with ``python -m pip install 'skclr[dask]'``.
"""

# %%
# The search itself
# -----------------
# Nothing in it knows where it will run. A ``random_state`` makes its scores the
# same everywhere.

import joblib
import matplotlib.pyplot as plt
import pandas as pd
from dask.distributed import Client, LocalCluster
from sklearn.model_selection import GridSearchCV

from skclr import CLRLeNetClassifier, load_fashion_mnist_sample

X, y = load_fashion_mnist_sample(return_X_y=True)
X, y = X[:1200], y[:1200]

search = GridSearchCV(
    CLRLeNetClassifier(batch_size=32, max_epochs=3, step_size=1.5, random_state=0),
    {
        "schedule": ["triangular", "exp_range", "one_cycle", "batch_doubling"],
        "max_lr": [0.02, 0.1],
    },
    cv=2,
    refit=False,
    pre_dispatch="all",
)

# %%
# A cluster
# ---------
# Two worker processes on this machine stand in for a real cluster here. To use
# a real one, start ``dask scheduler`` on one machine and ``dask worker
# tcp://that-machine:8786 --nthreads 1`` on the others, each with skclr
# installed, and connect with ``Client("tcp://that-machine:8786")``. One thread
# a worker is right: trainings in the same process take turns.
#
# A worker that dies takes nothing with it: the scheduler gives its trainings to
# another. For that the cluster has to have them all from the start
# (``pre_dispatch="all"``): what is on its way to a worker in the moment of its
# death can be lost, and the search with it.
#
# What comes back is ``cv_results_`` as ever. Look for the schedule whose bars
# stay high at both rates: it asks least of the choice of `max_lr`.


def main():
    with (
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address=None,
            silence_logs="ERROR",
        ) as cluster,
        Client(cluster),
        joblib.parallel_config(backend="dask"),
    ):
        search.fit(X, y)

    results = pd.DataFrame(search.cv_results_)
    table = results.pivot_table(
        index="param_schedule", columns="param_max_lr", values="mean_test_score"
    )
    print(table.round(3))

    ax = table.plot.barh(xlim=(0.4, 0.9), figsize=(7, 3.5))
    ax.set(xlabel="accuracy, mean of 2 folds", ylabel="")
    ax.legend(title="max_lr", loc="lower right")
    plt.tight_layout()
    plt.show()


# Worker processes import this file; only the first process is to search.
if __name__ == "__main__":
    main()

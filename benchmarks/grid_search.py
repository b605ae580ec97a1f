"""How much faster a grid search gets with two jobs, and that its scores stay the same.

    python benchmarks/grid_search.py [--repeats 3]

Interleaved repeats of the same search with n_jobs=1 and n_jobs=2; the ratio of the medians. The
worker processes are started beforehand: a user pays for that once, not for each search.
"""

import argparse
import statistics
import time

import joblib
import numpy as np
from sklearn.model_selection import GridSearchCV

from skclr import CLRLeNetClassifier, load_fashion_mnist_sample

GRID = {
    "schedule": ["triangular", "exp_range", "one_cycle", "batch_doubling"],
    "max_lr": [0.05, 0.1],
}


def warm_up():
    import skclr

    return skclr.__version__


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    X, y = load_fashion_mnist_sample(return_X_y=True)
    clf = CLRLeNetClassifier(max_epochs=3, step_size=1.5, random_state=0)
    joblib.Parallel(n_jobs=2)(joblib.delayed(warm_up)() for _ in range(4))
    seconds, scores = {1: [], 2: []}, {}
    for _ in range(repeats):
        for n_jobs in seconds:
            search = GridSearchCV(clf, GRID, cv=2, refit=False, n_jobs=n_jobs)
            began = time.perf_counter()
            search.fit(X, y)
            seconds[n_jobs].append(time.perf_counter() - began)
            scores[n_jobs] = search.cv_results_["mean_test_score"]
    one, two = (statistics.median(seconds[n_jobs]) for n_jobs in (1, 2))
    print(f"n_jobs=1: {one:.1f} s    n_jobs=2: {two:.1f} s    ratio: {two / one:.2f}")
    print(f"equal scores: {np.array_equal(scores[1], scores[2])}    cores: {joblib.cpu_count()}")


if __name__ == "__main__":
    main()

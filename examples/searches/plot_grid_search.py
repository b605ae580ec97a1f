"""
A grid search over schedules
============================

A schedule is a parameter, so scikit-learn can choose it. The table and the
picture that come out are those of any grid search; what they show is which
choices matter and which do not.
"""

# %%
# The grid
# --------
# Four schedules at three upper boundaries, two folds: 24 short trainings on a
# quarter of the shipped images. With ``n_jobs=2`` two would run at a time, and
# give the same scores to the last bit: everything follows from
# ``random_state``.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.model_selection import GridSearchCV

from skclr import CLRLeNetClassifier, load_fashion_mnist_sample

X, y = load_fashion_mnist_sample(return_X_y=True)
X, y = X[:1500], y[:1500]

search = GridSearchCV(
    CLRLeNetClassifier(batch_size=32, max_epochs=4, step_size=2, random_state=0),
    {
        "schedule": ["triangular", "exp_range", "one_cycle", "batch_doubling"],
        "max_lr": [0.01, 0.05, 0.2],
    },
    cv=2,
)
search.fit(X, y)
print("best:", search.best_params_, f"{search.best_score_:.3f}")

# %%
# The table
# ---------
# ``cv_results_`` is a dictionary that pandas makes a table of.

results = pd.DataFrame(search.cv_results_)
columns = [
    "param_schedule",
    "param_max_lr",
    "mean_test_score",
    "std_test_score",
    "mean_fit_time",
]
results.sort_values("rank_test_score")[columns].round(3)

# %%
# The picture
# -----------
# Each line is a schedule, its bars reach over the two folds. What to see: how
# much a line moves from left to right is what a wrong `max_lr` costs that
# schedule. At the right rate the schedules differ little, less than the folds
# do; at a wrong one they differ much. So measure the rate first, with a range
# test, and choose a schedule by how forgiving it is.

fig, ax = plt.subplots(figsize=(7, 4.2), layout="constrained")
for name, rows in results.groupby("param_schedule"):
    folds = rows[["split0_test_score", "split1_test_score"]].to_numpy()
    mean = rows["mean_test_score"].to_numpy()
    span = np.abs(folds.T - mean)
    ax.errorbar(
        rows["param_max_lr"].astype(float),
        mean,
        yerr=span,
        marker="o",
        capsize=4,
        label=name,
    )
ax.set(
    xscale="log",
    xlabel="max_lr (log scale)",
    ylabel="accuracy, mean of 2 folds",
)
ax.set_xticks([0.01, 0.05, 0.2], labels=["0.01", "0.05", "0.2"], minor=False)
ax.legend()
plt.show()

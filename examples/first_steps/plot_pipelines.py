"""
Images as rows of a table, in a pipeline
========================================

Not every image comes as a square. From a CSV file or a database it comes as a
row of numbers, some of them missing. The classifier takes such rows as well,
and steps of scikit-learn can stand before it: here one that fills in lost
pixels, and is fitted on the training data alone, as it should be.
"""

# %%
# Rows of 64 numbers
# ------------------
# scikit-learn's digits are 8 x 8 pixels, as a DataFrame a column a pixel. No
# reshaping is needed: 64 values are a square of 8, which is enlarged four times
# to the 32 x 32 that LeNet-5 sees. The fitted classifier remembers both the
# shape and the names of the columns.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from skclr import CLRLeNetClassifier

X, y = load_digits(return_X_y=True, as_frame=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)

clf = CLRLeNetClassifier(
    schedule="one_cycle", batch_size=32, max_epochs=6, random_state=0
)
clf.fit(X_train, y_train)
print(f"{clf.score(X_test, y_test):.1%} right; the images were {clf.image_shape_}")
print("the first columns:", *clf.feature_names_in_[:3])

# %%
# Lost pixels
# -----------
# A part of all pixels is now lost, in the training and in the test data. Two
# pipelines fill them in: one with the mean of the pixel over all images, one
# with its mean over the five most similar images. ``fit`` and ``score`` are
# those of the whole pipeline.

rng = np.random.default_rng(0)
lost = np.array([0.0, 0.3, 0.6])
imputers = {
    "mean of the pixel": SimpleImputer(),
    "five similar images": KNNImputer(),
}


def with_holes(images, part):
    return images.mask(rng.random(images.shape) < part)


accuracy = {name: [] for name in imputers}
for part in lost:
    holed_train, holed_test = (
        with_holes(X_train, part),
        with_holes(X_test, part),
    )
    for name, imputer in imputers.items():
        pipeline = make_pipeline(imputer, clf).fit(holed_train, y_train)
        accuracy[name].append(pipeline.score(holed_test, y_test))

# %%
# What to see
# -----------
# Above, one digit with 40 % of its pixels lost and as each of the pipelines
# hands it to the network. Below, what it costs: with the pixel's mean the
# stroke of the pen dissolves, with similar images it comes back, and the
# accuracy stays high for longer.

fig = plt.figure(figsize=(8, 6.4), layout="constrained")
top, bottom = fig.subfigures(2, 1, height_ratios=[1, 1.3])
digit = X_test.iloc[[3]]
holed_train, holed = with_holes(X_train, 0.4), with_holes(digit, 0.4)
pictures = {"the digit": digit, "40 % lost": holed}
pictures |= {
    name: imp.fit(holed_train).transform(holed) for name, imp in imputers.items()
}
for ax, (name, row) in zip(top.subplots(1, 4), pictures.items(), strict=True):
    ax.imshow(
        np.asarray(row, dtype=float).reshape(8, 8),
        cmap="gray_r",
        vmin=0,
        vmax=16,
    )
    ax.set_facecolor("mistyrose")  # shows through where a pixel is lost
    ax.set(title=name, xticks=[], yticks=[])

ax = bottom.subplots()
for (name, values), marker in zip(accuracy.items(), "os", strict=True):
    ax.plot(100 * lost, values, marker=marker, label=name)
ax.set(xlabel="pixels lost (%)", ylabel="test accuracy", xticks=100 * lost)
ax.legend(title="filled in with")
plt.show()

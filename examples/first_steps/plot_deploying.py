"""
From training to a model that needs no torch
============================================

A classifier that has learned something is wanted where it is of use: on a
server, in a phone, in a program in another language. None of these have Python
and torch. ONNX is a format for networks that all of them can run.
"""

# %%
# Train it
# --------
# The labels are words here, as they often are.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import onnxruntime

from skclr import CLRLeNetClassifier, load_fashion_mnist_sample

train = load_fashion_mnist_sample()
test = load_fashion_mnist_sample(subset="test")
names = np.array(train.target_names)

clf = CLRLeNetClassifier(schedule="one_cycle", max_epochs=6, random_state=0)
clf.fit(train.data, names[train.target])

# %%
# Export it
# ---------
# The model takes images as ``fit`` got them, bytes of 28 x 28 here, as many at
# a time as you like. Padding and standardization are inside: who uses it cannot
# forget them, or do them another way.

folder = tempfile.TemporaryDirectory()
path = Path(folder.name) / "clothes.onnx"
clf.export_onnx(path)
print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")

# %%
# Use it
# ------
# From here on neither torch nor this library is needed. The same few lines
# exist for C++, Java, C# and JavaScript.

session = onnxruntime.InferenceSession(path)
for part in [*session.get_inputs(), *session.get_outputs()]:
    print(part.name, part.type, part.shape)
labels, probabilities = session.run(["label", "probabilities"], {"X": test.data})
print(f"{(labels == names[test.target]).mean():.1%} right")

# %%
# Is it the same?
# ---------------
# All labels have to be equal. The probabilities cannot be, to the last bit:
# another program adds the same numbers up in another order. How far they are
# apart is what to look at before a model is trusted.

differences = np.abs(probabilities - clf.predict_proba(test.data)).max(axis=1)
print(f"{(labels == clf.predict(test.data)).sum()} of {len(labels)} labels are equal")

fig = plt.figure(figsize=(9, 3.8), layout="constrained")
left, right = fig.subfigures(1, 2)
for image, label, row, ax in zip(
    test.data, labels, probabilities, left.subplots(2, 4).flat, strict=False
):
    ax.imshow(image, cmap="gray_r")
    ax.set_title(f"{label}\n{row.max():.0%}", fontsize=9)
    ax.set_axis_off()
left.suptitle("What the exported model answers")

ax = right.subplots()
bins = np.logspace(-9, -5, 33)
ax.hist(np.clip(differences, bins[0], None), bins, color="#0072B2")
ax.axvline(np.finfo(np.float32).eps, color="#D55E00", linewidth=2)
ax.text(np.finfo(np.float32).eps * 1.4, ax.get_ylim()[1] * 0.93, "float32's eps")
ax.set(xscale="log", xlabel="largest difference of a probability", ylabel="images")
right.suptitle("How far it is from the classifier")
plt.show()

# %%
# The differences are a few units in the last place of a float32, about as small
# as they can be; those at the very left are too small for this axis. A model
# whose pixels were scaled another way than in training would lie far beyond its
# right end.

folder.cleanup()

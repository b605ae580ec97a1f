"""The published program in Keras: LeNet-5 with random shifts and flips, SGD with momentum.

Run by speed.py and time_to_accuracy.py with the Python of an environment that has TensorFlow:

    python -m venv .venv-keras
    .venv-keras/bin/python -m pip install -r benchmarks/keras-requirements.txt

It reads a line with a batch size, trains for one epoch and writes the seconds that it took.
keras_search.py takes the network from here.
"""

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import sys
import time

import numpy as np
import tensorflow as tf
from tensorflow.keras import layers
from tensorflow.keras.preprocessing.image import ImageDataGenerator


def lenet():
    return tf.keras.Sequential(
        [
            layers.Input((32, 32, 1)),
            layers.Conv2D(6, 5, activation="tanh"),
            layers.AveragePooling2D(2),
            layers.Conv2D(16, 5, activation="tanh"),
            layers.AveragePooling2D(2),
            layers.Conv2D(120, 5, activation="tanh"),
            layers.Flatten(),
            layers.Dense(84, activation="tanh"),
            layers.Dense(10, activation="softmax"),
        ]
    )


def float_images(X):
    """Return images as the program holds them: padded to 32 x 32, scaled, float32."""
    return np.pad(X, ((0, 0), (2, 2), (2, 2)))[..., np.newaxis].astype("float32") / 255


def main():
    X, y = (np.load(f"{sys.argv[1]}-{part}.npy") for part in "Xy")
    images = float_images(X)
    labels = tf.keras.utils.to_categorical(y)
    augmented = ImageDataGenerator(
        width_shift_range=0.1, height_shift_range=0.1, horizontal_flip=True
    )
    model = lenet()
    optimizer = tf.keras.optimizers.SGD(0.01, momentum=0.9)
    model.compile(optimizer, "categorical_crossentropy", metrics=["accuracy"])
    print(f"tensorflow {tf.__version__}", flush=True)
    for line in sys.stdin:
        batches = augmented.flow(images, labels, batch_size=int(line))
        began = time.perf_counter()
        model.fit(batches, epochs=1, verbose=0)
        print(time.perf_counter() - began, flush=True)


if __name__ == "__main__":
    main()

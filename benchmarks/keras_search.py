"""The network of keras_program.py with a cyclical rate, as a classifier of scikeras.

search.py imports it with the Python of the Keras environment, see keras_program.py.
"""

from keras_program import float_images, lenet, tf
from scikeras.wrappers import KerasClassifier

__all__ = ["classifier", "float_images"]

tf.get_logger().setLevel("ERROR")  # it warns of every network that is traced anew


class CyclicRate(tf.keras.optimizers.schedules.LearningRateSchedule):
    """The rate of a cyclical schedule, computed within the step that TensorFlow compiles."""

    def __init__(self, schedule, base_lr, max_lr, step_size, gamma):
        self.base_lr, self.max_lr, self.step_size = base_lr, max_lr, step_size
        self.decay = gamma if schedule == "exp_range" else 1.0

    def __call__(self, step):
        iteration = tf.cast(step, tf.float32)
        height = 1 - tf.abs(iteration / self.step_size % 2 - 1)
        return self.base_lr + (self.max_lr - self.base_lr) * height * self.decay**iteration


def compiled(schedule, base_lr, max_lr, step_size, gamma):
    model = lenet()
    rate = CyclicRate(schedule, base_lr, max_lr, step_size, gamma)
    optimizer = tf.keras.optimizers.SGD(rate, momentum=0.9)
    model.compile(optimizer, "sparse_categorical_crossentropy")
    return model


def classifier(epochs, batch_size, **schedule):
    """Return the classifier; a search sets the parameters of the schedule by ``model__``."""
    schedule = {f"model__{name}": value for name, value in schedule.items()}
    return KerasClassifier(compiled, epochs=epochs, batch_size=batch_size, verbose=0, **schedule)

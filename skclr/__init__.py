"""Small convolutional networks with learning-rate and batch-size schedules."""

__version__ = "0.1.0"

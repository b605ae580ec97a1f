"""The order in which the gallery teaches."""

from pathlib import Path

LESSONS = [
    "plot_first_classifier",
    "plot_mistakes",
    "plot_pipelines",
    "plot_residual_network",
    "plot_deploying",
    "plot_range_test",
    "plot_candidates",
    "plot_schedules",
    "plot_clr_training",
    "plot_batch_doubling",
    "plot_two_knobs",
    "plot_averages",
    "plot_compare_schedules",
    "plot_learning_rate_or_batch_size",
    "plot_own_net",
    "plot_grid_search",
    "plot_dask_search",
]


class LessonOrder:
    """Sort by the list above; what is not in it comes last, by its name."""

    def __init__(self, src_dir):
        self.src_dir = src_dir

    def __call__(self, filename):
        name = Path(filename).stem
        return (LESSONS.index(name) if name in LESSONS else len(LESSONS), name)

    def __repr__(self):
        return "<LessonOrder>"

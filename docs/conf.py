"""How the site is built: ``python -m sphinx -W -n -b html docs docs/_build/html``."""

import os
import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

import reference  # noqa: E402
from sphinx_gallery.sorting import ExplicitOrder  # noqa: E402

import skclr  # noqa: E402

project = "skclr"
author = "The skclr developers"
copyright = "the skclr developers"
version = release = skclr.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "mathml",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
html_math_renderer = "mathml"
exclude_patterns = ["_build", "_templates", "user_guide/_tables", "auto_examples/**/*.ipynb"]
templates_path = ["_templates"]
default_role = "literal"
toc_object_entries_show_parents = "hide"
nitpicky = True

# ---------------------------------------------------------------- reference

autosummary_generate = True
autosummary_imported_members = False
autosummary_context = {"documented": reference.documented_members()}
autodoc_preserve_defaults = True
autodoc_typehints = "none"  # the docstrings say more
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_attributes_as_param_list = True
numpydoc_xref_param_type = True
numpydoc_xref_ignore = "all"
numpydoc_xref_aliases = {
    "array-like": ":term:`sklearn:array-like`",
    "bool": ":class:`python:bool`",
    "Axes": "matplotlib.axes.Axes",
    "Figure": "matplotlib.figure.Figure",
    "Bunch": "sklearn.utils.Bunch",
    "DataFrame": "pandas.DataFrame",
    "Series": "pandas.Series",
    "ndarray": "numpy.ndarray",
    "RandomState": "numpy.random.RandomState",
    "Tensor": "torch.Tensor",
    "torch.Generator": "torch.Generator",
    "torch.nn.Module": "torch.nn.Module",
    "torch.optim.SGD": "torch.optim.SGD",
    "torch.nn.CrossEntropyLoss": "torch.nn.CrossEntropyLoss",
    "skorch.history.History": "skorch.history.History",
    "LRRangeResult": "skclr.LRRangeResult",
    "LeNet5": "skclr.LeNet5",
    "BatchIterator": "skclr.batches.BatchIterator",
    "CLRLeNetClassifier": "skclr.CLRLeNetClassifier",
}

# The inventories are in the repository, so that a build needs no network and is the same
# everywhere: `python tools/make_inventories.py` writes them.
intersphinx_mapping = {
    name: (url, str(HERE / "_inventories" / f"{name}.inv"))
    for name, url in {
        "dask": "https://docs.dask.org/en/stable",
        "joblib": "https://joblib.readthedocs.io/en/stable",
        "matplotlib": "https://matplotlib.org/stable",
        "numpy": "https://numpy.org/doc/stable",
        "pandas": "https://pandas.pydata.org/docs",
        "python": "https://docs.python.org/3",
        "skorch": "https://skorch.readthedocs.io/en/stable",
        "sklearn": "https://scikit-learn.org/stable",
        "torch": "https://docs.pytorch.org/docs/stable",
    }.items()
}


def name_classes(app, what, name, obj, options, signature, returns):
    """Write a class as a default by its name."""
    return signature and re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", signature), returns


def setup(app):
    app.connect("autodoc-process-signature", name_classes)


# ---------------------------------------------------------------- gallery

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"/plot_",
    "subsection_order": ExplicitOrder(
        [
            "../examples/first_steps",
            "../examples/learning_rate",
            "../examples/schedules",
            "../examples/searches",
            "*",
        ]
    ),
    "within_subsection_order": "lessons.LessonOrder",
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("skclr",),
    "image_srcset": ["2x"],
    "matplotlib_animations": False,
    "remove_config_comments": True,
    "min_reported_time": 0,
    "show_signature": False,
    "download_all_examples": False,
    "abort_on_example_error": True,
    "write_computation_times": False,
}
os.environ["MPLBACKEND"] = "Agg"  # of the processes that an example starts

# ---------------------------------------------------------------- pages

html_theme = "pydata_sphinx_theme"
html_title = "skclr"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_favicon = "_static/favicon.svg"
html_context = {"default_mode": "auto"}
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "skclr"},
    "show_prev_next": True,
    "navbar_align": "left",
    "header_links_before_dropdown": 5,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
    "show_toc_level": 2,
    "pygments_light_style": "tango",
    "pygments_dark_style": "monokai",
}
html_sidebars = {"index": []}
copybutton_exclude = ".linenos, .gp, .go"

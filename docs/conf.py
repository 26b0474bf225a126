"""How Sphinx builds the site: ``python -m sphinx -W -b html docs docs/_build/html``.

Nothing is fetched, neither when the site is built nor when it is read. So there are no
links into the pages of other projects by intersphinx, which loads their inventories.
Formulas are MathML, which browsers show by themselves: MathJax, Sphinx's default, would
come from a server. The theme brings its own fonts and icons.
"""

import sys
import warnings
from html import escape
from pathlib import Path
from types import FunctionType

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.pycode import ModuleAnalyzer
from sphinx.util import logging

# The package of this checkout, installed or not.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import skreg

project = "skreg"
author = "the skreg developers"
version = release = skreg.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "benchmarks", "examples", "reliability"]
templates_path = ["_templates"]
# Docstrings that come from scikit-learn name terms of its glossary.
suppress_warnings = ["ref.term"]

# Pages: Markdown that repository hosts show as well. Formulas stand between dollars or
# in fences, and page.md#a-heading finds headings down to the third level.
myst_enable_extensions = ["dollarmath"]
myst_fence_as_directive = ["math"]
myst_heading_anchors = 3


# Reference: each class has a page of its own, with its members below it, in the order
# of their names as in scikit-learn. What scikit-learn gives it is only named.
CLASSES = {name: kind for name, kind in vars(skreg).items() if isinstance(kind, type)}


def is_ours(kind):
    return kind.__module__.partition(".")[0] == "skreg"


autosummary_generate = True
autosummary_context = {
    "other_bases": {
        name: [base.__name__ for base in kind.__mro__ if not is_ours(base)]
        for name, kind in CLASSES.items()
    },
    "our_members": {
        name: [
            member for base in kind.__mro__ if is_ours(base) for member in vars(base)
        ]
        for name, kind in CLASSES.items()
    },
}
autodoc_typehints = "none"  # the docstrings say the types
numpydoc_show_class_members = False
numpydoc_validation_checks = {
    *("GL06", "GL07"),  # the sections are numpydoc's, in its order
    *("GL08", "SS01"),  # there is a docstring, with a summary
    *("PR01", "PR02", "PR07"),  # the parameters are those of the signature, described
    *("RT01", "RT03", "YD01"),  # and so is what comes back
}
toc_object_entries_show_parents = "hide"

# Gallery: each script of docs/examples is run, and one that fails fails the build.
sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
    "capture_repr": (),  # else the last line's object is printed
    "download_all_examples": False,
    "write_computation_times": False,
}

# Looks
html_theme = "pydata_sphinx_theme"
html_title = f"skreg {release}"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "skreg"},
    "header_links_before_dropdown": 6,
    "show_toc_level": 2,
    "footer_start": ["sphinx-version"],
    "footer_end": ["theme-version"],
}

# Formulas, by docutils' translator from LaTeX to MathML.
html_math_renderer = "mathml"
logger = logging.getLogger(__name__)


def write_mathml(writer, node, *, as_block):
    try:
        formula = tex2mathml(node.astext(), as_block=as_block)
    except MathError as error:
        logger.warning("formula %r: %s", node.astext(), error, location=node)
        formula = f"<code>{escape(node.astext())}</code>"
    writer.body.append(f'<div class="formula">{formula}</div>' if as_block else formula)
    raise nodes.SkipNode


def tell_real_modules(app):
    """A public class says that it is of skreg, its functions say in which file it is.

    From the file Sphinx has the link to the source.
    """
    for kind in CLASSES.values():
        functions = (f for f in vars(kind).values() if isinstance(f, FunctionType))
        # A warning has none.
        kind.__module__ = next((f.__module__ for f in functions), kind.__module__)


def find_source(app, module):
    """The text of a file and the lines of what is in it, methods by their heirs too."""
    analyzer = ModuleAnalyzer.for_module(module)
    lines = dict(analyzer.find_tags())
    for heir in CLASSES.values():
        owners = [base.__name__ for base in heir.__mro__ if base.__module__ == module]
        for name, where in analyzer.tags.items():
            owner, _, method = name.partition(".")
            if owner in owners:
                lines.setdefault(f"{heir.__name__}.{method}", where)
    return analyzer.code, lines


def setup(app):
    app.add_html_math_renderer(
        "mathml",
        (lambda writer, node: write_mathml(writer, node, as_block=False), None),
        (lambda writer, node: write_mathml(writer, node, as_block=True), None),
    )
    # A warning in an example fails it. Sphinx-gallery runs them on this event, at 500.
    strict = warnings.catch_warnings(action="error")
    app.connect("builder-inited", lambda app: strict.__enter__(), priority=499)
    app.connect("builder-inited", lambda app: strict.__exit__(), priority=501)
    # After the examples, which see the classes as users do.
    app.connect("builder-inited", tell_real_modules, priority=502)
    app.connect("viewcode-find-source", find_source)

"""How Sphinx builds the site: ``python -m sphinx -W -b html docs docs/_build/html``.

Nothing is fetched, neither when the site is built nor when it is read. So there are no
links into the pages of other projects by intersphinx, which loads their inventories; and
formulas are MathML, which browsers show by themselves, in place of MathJax, which comes
from a server. The theme brings its fonts and icons.
"""

import sys
import warnings
from pathlib import Path
from xml.sax.saxutils import escape

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml

HERE = Path(__file__).resolve().parent
# The package of this checkout, installed or not.
sys.path.insert(0, str(HERE.parent))

import skreg  # noqa: E402

project = "skreg"
author = "the skreg developers"
project_copyright = author
version = release = skreg.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "benchmarks", "examples"]
# A docstring inherited from scikit-learn names a term of scikit-learn's glossary.
suppress_warnings = ["ref.term"]

# Pages ---------------------------------------------------------------------------------

# Formulas between dollars and in fences, as repository hosts show them too.
myst_enable_extensions = ["dollarmath"]
myst_fence_as_directive = ["math"]
# `page.md#a-heading` finds headings down to this level.
myst_heading_anchors = 3

# Reference -----------------------------------------------------------------------------

autosummary_generate = True
autodoc_default_options = {"members": True, "member-order": "bysource"}
# The docstrings say the types.
autodoc_typehints = "none"
# The members stand below their class, from autodoc.
numpydoc_show_class_members = False

# Gallery -------------------------------------------------------------------------------

sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"plot_",
    # A failing example fails the build.
    "abort_on_example_error": False,
    "only_warn_on_example_error": False,
    "download_all_examples": False,
    "show_memory": False,
    "write_computation_times": False,
}

# Looks ---------------------------------------------------------------------------------

templates_path = ["_templates"]
html_theme = "pydata_sphinx_theme"
html_title = f"skreg {release}"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "skreg"},
    "header_links_before_dropdown": 6,
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
}


def _mathml(self, node, *, as_block):
    """Write a formula as MathML, by docutils' own translator from LaTeX."""
    try:
        written = tex2mathml(node.astext(), as_block=as_block)
    except MathError as error:
        # With -W the build fails here.
        import sphinx.util.logging

        log = sphinx.util.logging.getLogger(__name__)
        log.warning("formula %r: %s", node.astext(), error, location=node)
        written = f"<code>{escape(node.astext())}</code>"
    self.body.append(f'<div class="math">{written}</div>' if as_block else written)
    raise nodes.SkipNode


def setup(app):
    app.add_html_math_renderer(
        "mathml",
        (lambda self, node: _mathml(self, node, as_block=False), None),
        (lambda self, node: _mathml(self, node, as_block=True), None),
    )


html_math_renderer = "mathml"

"""Configuration of the site: ``python -m sphinx -W docs docs/_build/html``."""

import inspect
import re
import shutil
from importlib import metadata
from pathlib import Path

import deltaprop
from deltaprop import graph, nn, optim, plot

project = "deltaprop"
release = version = metadata.version("deltaprop")

extensions = [
    "matplotlib.sphinxext.plot_directive",
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]

# Sphinx reads only files in its folder. Notebooks are shown with their committed outputs.
HERE = Path(__file__).parent
shutil.rmtree(HERE / "notebooks", ignore_errors=True)
shutil.copytree(HERE.parent / "notebooks", HERE / "notebooks")
nb_execution_mode = "off"
nb_ipywidgets_js = {}
myst_enable_extensions = ["amsmath", "deflist", "dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "none"
numpydoc_show_class_members = False

plot_formats = [("png", 144)]
plot_html_show_formats = False
plot_html_show_source_link = False

# MathJax in one file renders formulas offline, so pages can be opened from disk.
(mathjax,) = (f for f in metadata.files("sphinx-mathjax-offline") if f.name == "tex-svg-full.js")
mathjax_path = mathjax.name
html_static_path = ["_static", str(mathjax.locate())]
html_css_files = ["style.css"]
html_theme = "furo"
html_favicon = "_static/icon.svg"
html_title = f"deltaprop {release}"
html_domain_indices = False
html_show_copyright = False
html_show_sphinx = False

MODULES = (deltaprop, nn, nn.init, optim, graph, plot)


def _public():
    """Yield the forms in which docstrings write each public name, with its full path."""
    for module in MODULES:
        for name in module.__all__:
            if not inspect.ismodule(getattr(module, name)):
                path = f"{module.__name__}.{name}"
                yield path, path
                yield path.removeprefix("deltaprop."), path
                # A plain word such as `mean` is ambiguous.
                if re.search("[A-Z_]", name):
                    yield name, path


PUBLIC = dict(_public())
NOTE = re.compile(
    r"^(Formula|Derivative): (.+?)(?=\n\n|\n(?:Formula|Derivative|Source): |\Z)",
    re.MULTILINE | re.DOTALL,
)


def _docstring(_app, _what, _name, _object, _options, lines):
    """Convert a docstring to reStructuredText.

    Formulas in the notes become code, where a star does not start emphasis. Text in single
    backticks becomes a link if it is a public name, else code.
    """

    def note(match):
        return f"{match[1]}: ``{' '.join(match[2].replace('`', '').split())}``\n"

    def quoted(match):
        name = match[1]
        return f":py:obj:`{name} <{PUBLIC[name]}>`" if name in PUBLIC else f"``{name}``"

    text = NOTE.sub(note, "\n".join(lines))
    lines[:] = re.sub(r"(?<![`:\w])`([^`<>\n]+)`(?!`)", quoted, text).split("\n")


def _signature(_app, what, _name, member, _options, _signature, _returns):
    """Return the signature of a class's constructor without type annotations."""
    if what != "class":
        return None
    try:
        signature = inspect.signature(member)
    except ValueError:  # without a Python constructor
        return None
    plain = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
    return str(signature.replace(parameters=plain, return_annotation=inspect.Signature.empty)), None


def setup(app):
    """Register with Sphinx, ahead of numpydoc."""
    app.connect("autodoc-process-docstring", _docstring, priority=400)
    app.connect("autodoc-process-signature", _signature)

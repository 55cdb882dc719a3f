"""The site: ``python -m sphinx -W docs docs/_build/html``."""

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

# Renders formulas without fonts or network access, so pages can be opened from the file system.
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

# The pages of families list what the modules list, so that a new member needs no line there.
LAYERS = [
    name
    for name in nn.__all__
    if isinstance(kind := getattr(nn, name), type)
    and issubclass(kind, nn.Layer)
    and kind.__module__ not in (nn.Layer.__module__, nn.activations.__name__)
    and name != "ExpressionLayer"
]
FAMILIES = {
    "Activations": (nn, nn.activations.__all__),
    "Layers": (nn, LAYERS),
    "Losses": (nn, nn.losses.__all__),
    "Optimizers": (optim, optim.rules.__all__),
}
for title, (package, members) in FAMILIES.items():
    table = "\n   ".join((".. autosummary::", ":toctree: ../generated", ":nosignatures:"))
    names = "\n   ".join(members)
    (HERE / "api" / "families").mkdir(exist_ok=True)
    block = f".. currentmodule:: {package.__name__}\n\n{table}\n\n   {names}\n"
    (HERE / "api" / "families" / f"{title.lower()}.md").write_text(
        f"# {title}\n\n```{{eval-rst}}\n{block}```\n"
    )

MODULES = (deltaprop, nn, nn.init, optim, graph, plot)


def _public():
    """Return the full path of each public name, by the forms used in docstrings."""
    for module in MODULES:
        for name in module.__all__:
            if not inspect.ismodule(getattr(module, name)):
                path = f"{module.__name__}.{name}"
                yield path, path
                yield path.removeprefix("deltaprop."), path
                # A lower-case name such as `mean` is ambiguous.
                if re.search("[A-Z_]", name):
                    yield name, path


PUBLIC = dict(_public())
NOTE = re.compile(
    r"^(Formula|Derivative): (.+?)(?=\n\n|\n(?:Formula|Derivative|Source): |\Z)",
    re.MULTILINE | re.DOTALL,
)


def _docstring(_app, _what, _name, _object, _options, lines):
    """Convert a docstring's formulas and single backticks to reStructuredText.

    Formulas in the notes become code, so that stars are not emphasis. Text in single backticks
    becomes a link if it is a public name, and code otherwise.
    """

    def note(found):
        return f"{found[1]}: ``{' '.join(found[2].replace('`', '').split())}``\n"

    def quoted(found):
        name = found[1]
        return f":py:obj:`{name} <{PUBLIC[name]}>`" if name in PUBLIC else f"``{name}``"

    text = NOTE.sub(note, "\n".join(lines))
    lines[:] = re.sub(r"(?<![`:\w])`([^`<>\n]+)`(?!`)", quoted, text).split("\n")


def _signature(_app, what, _name, member, _options, _signature, _returns):
    """Return the arguments of a class without their types."""
    if what != "class":
        return None
    try:
        found = inspect.signature(member)
    except ValueError:  # a class without a public constructor
        return None
    plain = [p.replace(annotation=inspect.Parameter.empty) for p in found.parameters.values()]
    return str(found.replace(parameters=plain, return_annotation=inspect.Signature.empty)), None


def setup(app):
    """Connect to Sphinx's events, with a higher priority than numpydoc."""
    app.connect("autodoc-process-docstring", _docstring, priority=400)
    app.connect("autodoc-process-signature", _signature)

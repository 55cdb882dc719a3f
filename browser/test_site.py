"""The built site: complete API reference, valid links, rendered formulas and images."""

import inspect
from urllib.parse import urldefrag
from urllib.request import urlopen

import pytest
from sphinx.util.inventory import InventoryFile

import deltaprop
from deltaprop import examples, graph, nn, optim, plot

MODULES = (deltaprop, nn, nn.init, optim, graph, plot, examples)
CAPTIONS = ["Tutorials", "Guides", "Reference", "Development"]
# Screenshots of these pages are taken in both themes, for visual inspection.
SCREENSHOTS = (
    "index.html",
    "mathematics.html",
    "quick_start.html",
    "from_pytorch.html",
    "guide/plotting.html",
    "guide/errors.html",
    "adding_a_layer.html",
    "catalogue.html",
    "performance.html",
    "api/nn.html",
    "api/generated/deltaprop.nn.Sequential.html",
    "notebooks/004_linear_regression_to_delta_recursion.html",
    "notebooks/delta_recursion_seen.html",
)
# Collects the contents of a page once its formulas and images are rendered.
INSPECT = """
const done = arguments[0];
const drawn = window.MathJax?.startup?.promise ?? Promise.resolve();
const size = e => e ? e.getBoundingClientRect() : {width: 0, height: 0};
drawn.then(() => Promise.all([...document.images].map(i => {
  i.loading = "eager";
  return i.complete || new Promise(go => { i.onload = i.onerror = go; });
}))).then(() => done({
  links: [...document.querySelectorAll("a[href]")].map(a => a.href),
  ids: [...document.querySelectorAll("[id]")].map(e => e.id),
  formulas: [...document.querySelectorAll(".math")].map(e => {
    const box = size(e.querySelector("mjx-container svg"));
    return [e.textContent.slice(0, 80), box.width, box.height];
  }),
  wrong: [...document.querySelectorAll("[data-mml-node=merror], mjx-merror")].length,
  images: [...document.images].map(i => [i.src, i.naturalWidth]),
  loaded: performance.getEntriesByType("resource").map(r => r.name),
}));
"""


def inspect_page(chromium, address):
    """Open a page and return its contents and its console log."""
    chromium.get_log("browser")  # discards the log of the previous page
    chromium.get(address)
    page = chromium.execute_async_script(INSPECT)
    page["log"] = [entry["message"] for entry in chromium.get_log("browser")]
    return page


@pytest.fixture(scope="module")
def pages(chromium, site):
    """Return the contents of the first page and of all pages reachable by links."""
    found, waiting = {}, [f"{site}index.html"]
    while waiting:
        address = waiting.pop()
        found[address] = inspect_page(chromium, address)
        for link in found[address]["links"]:
            target, _ = urldefrag(link)
            page = target.startswith(site) and target.endswith(".html")
            if page and target not in found and target not in waiting:
                waiting.append(target)
    return found


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_every_public_name_is_in_the_api_reference(module, built):
    inventory = InventoryFile.loads((built / "objects.inv").read_bytes(), uri="").data
    documented = {name for kind, names in inventory.items() if kind[:3] == "py:" for name in names}
    public = {
        getattr(module, name).__name__
        if inspect.ismodule(getattr(module, name))
        else f"{module.__name__}.{name}"
        for name in module.__all__
    }
    assert public - documented == set()


def test_every_page_is_reachable_by_links(pages, built, site):
    built_pages = {str(path.relative_to(built)) for path in built.rglob("*.html")}
    assert built_pages - {address.removeprefix(site) for address in pages} == {"search.html"}
    assert len(pages) > 200


def test_links_are_valid(pages, site):
    files, missing = set(), []
    for address, page in pages.items():
        for link in page["links"]:
            target, anchor = urldefrag(link)
            if target in pages:
                if anchor and anchor not in pages[target]["ids"]:
                    missing.append((address, link))
            elif target.startswith(site):
                files.add(target)
    assert missing == []
    for target in files:
        with urlopen(target) as response:
            assert response.status == 200


def test_formulas_are_rendered(pages):
    formulas = [formula for page in pages.values() for formula in page["formulas"]]
    assert [f for f in formulas if min(f[1:]) < 2] == []
    assert [address for address, page in pages.items() if page["wrong"]] == []
    assert len(formulas) > 100


def test_images_are_loaded(pages):
    images = [image for page in pages.values() for image in page["images"]]
    assert [source for source, width in images if width == 0] == []
    assert len(images) > 30


def test_no_resource_is_loaded_from_another_host(pages, site):
    loaded = {source for page in pages.values() for source in page["loaded"]}
    assert {source for source in loaded if not source.startswith((site, "data:", "blob:"))} == set()


def test_no_page_logs_a_console_message(pages):
    assert {address: page["log"] for address, page in pages.items() if page["log"]} == {}


def test_pages_render_from_the_file_system(chromium, built):
    page = inspect_page(chromium, (built / "mathematics.html").as_uri())
    assert len(page["formulas"]) > 30
    assert min(min(formula[1:]) for formula in page["formulas"]) > 2
    assert page["log"] == []


def test_search_finds_a_public_name(chromium, site):
    chromium.get(f"{site}search.html?q=check_gradients")
    chromium.implicitly_wait(60)
    assert chromium.find_element("css selector", "#search-results li a").text
    chromium.implicitly_wait(0)


def test_navigation_has_four_sections(chromium, site):
    chromium.get(f"{site}index.html")
    captions = chromium.find_elements("css selector", ".sidebar-tree .caption-text")
    assert [caption.get_attribute("textContent") for caption in captions] == CAPTIONS


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_theme_sets_the_background(theme, chromium, site, screenshot):
    chromium.get(f"{site}index.html")
    chromium.execute_script("localStorage.setItem('theme', arguments[0])", theme)
    backgrounds = set()
    for name in SCREENSHOTS:
        inspect_page(chromium, f"{site}{name}")
        backgrounds.add(
            chromium.execute_script("return getComputedStyle(document.body).backgroundColor")
        )
        screenshot(f"{theme}-{name.removesuffix('.html').replace('/', '-')}")
    [background] = backgrounds
    red, green, blue = map(int, background[4:-1].split(","))
    assert (red + green + blue > 600) == (theme == "light")

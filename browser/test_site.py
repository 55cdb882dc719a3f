"""The built pages: nothing is missing, every link leads somewhere, everything is drawn."""

import inspect
from urllib.parse import urldefrag
from urllib.request import urlopen

import pytest
from sphinx.util.inventory import InventoryFile

import deltaprop
from deltaprop import examples, graph, nn, optim, plot

MODULES = (deltaprop, nn, nn.init, optim, graph, plot, examples)
# Looked at by people, in both themes.
SEEN = (
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
# What there is on a page, once its formulas are drawn.
LOOK = """
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


def look(chromium, address):
    """Open a page and tell what there is on it, and what it complained of."""
    chromium.get_log("browser")  # what the page before said is forgotten
    chromium.get(address)
    page = chromium.execute_async_script(LOOK)
    page["log"] = [entry["message"] for entry in chromium.get_log("browser")]
    return page


@pytest.fixture(scope="module")
def pages(chromium, site):
    """Open the first page and every page that a link of another leads to."""
    found, waiting = {}, [f"{site}index.html"]
    while waiting:
        address = waiting.pop()
        found[address] = look(chromium, address)
        for link in found[address]["links"]:
            target, _ = urldefrag(link)
            page = target.startswith(site) and target.endswith(".html")
            if page and target not in found and target not in waiting:
                waiting.append(target)
    return found


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_every_public_name_has_its_place(module, built):
    inventory = InventoryFile.loads((built / "objects.inv").read_bytes(), uri="").data
    known = {name for kind, names in inventory.items() if kind[:3] == "py:" for name in names}
    wanted = {
        getattr(module, name).__name__
        if inspect.ismodule(getattr(module, name))
        else f"{module.__name__}.{name}"
        for name in module.__all__
    }
    assert wanted - known == set()


def test_every_page_can_be_reached(pages, built, site):
    there = {str(path.relative_to(built)) for path in built.rglob("*.html")}
    assert there - {address.removeprefix(site) for address in pages} == {"search.html"}
    assert len(pages) > 200


def test_links_lead_somewhere(pages, site):
    others, missing = set(), []
    for address, page in pages.items():
        for link in page["links"]:
            target, anchor = urldefrag(link)
            if target in pages:
                if anchor and anchor not in pages[target]["ids"]:
                    missing.append((address, link))
            elif target.startswith(site):
                others.add(target)
    assert missing == []
    for target in others:
        with urlopen(target) as answer:
            assert answer.status == 200


def test_formulas_are_drawn(pages):
    formulas = [formula for page in pages.values() for formula in page["formulas"]]
    assert [f for f in formulas if min(f[1:]) < 2] == []
    assert [address for address, page in pages.items() if page["wrong"]] == []
    assert len(formulas) > 100


def test_pictures_are_loaded(pages):
    pictures = [picture for page in pages.values() for picture in page["images"]]
    assert [source for source, width in pictures if width == 0] == []
    assert len(pictures) > 30


def test_nothing_comes_from_elsewhere(pages, site):
    loaded = {source for page in pages.values() for source in page["loaded"]}
    assert {source for source in loaded if not source.startswith((site, "data:", "blob:"))} == set()


def test_nothing_is_complained_of(pages):
    assert {address: page["log"] for address, page in pages.items() if page["log"]} == {}


def test_it_can_be_read_from_a_folder(chromium, built):
    page = look(chromium, (built / "mathematics.html").as_uri())
    assert len(page["formulas"]) > 30
    assert min(min(formula[1:]) for formula in page["formulas"]) > 2
    assert page["log"] == []


def test_a_search_finds_a_name(chromium, site):
    chromium.get(f"{site}search.html?q=check_gradients")
    chromium.implicitly_wait(60)
    assert chromium.find_element("css selector", "#search-results li a").text
    chromium.implicitly_wait(0)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_themes(theme, chromium, site, screenshot):
    chromium.get(f"{site}index.html")
    chromium.execute_script("localStorage.setItem('theme', arguments[0])", theme)
    grounds = set()
    for name in SEEN:
        look(chromium, f"{site}{name}")
        grounds.add(
            chromium.execute_script("return getComputedStyle(document.body).backgroundColor")
        )
        screenshot(f"{theme}-{name.removesuffix('.html').replace('/', '-')}")
    [ground] = grounds
    red, green, blue = map(int, ground[4:-1].split(","))
    assert (red + green + blue > 600) == (theme == "light")

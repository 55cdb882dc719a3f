"""Notebooks run in JupyterLab from top to bottom, and their outputs are rendered."""

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from urllib.error import URLError
from urllib.request import urlopen

import nbformat
import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from conftest import ROOT

TIMEOUT = 300  # seconds, enough for a loaded machine

# One cell for each kind of output.
CELLS = (
    """\
import numpy as np
import deltaprop as dp
from deltaprop import graph, nn, optim, plot

X = np.linspace(-1, 1, 256).reshape(-1, 1)
y = np.sin(3 * X)
net = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))
net""",
    """\
history = net.fit(
    X, y, loss=nn.MSELoss(), optimizer=optim.Adam(net.parameters()), epochs=20_000,
    callbacks=[dp.LiveView()],
)""",
    """\
history = net.fit(
    X, y, loss=nn.MSELoss(), optimizer=optim.Adam(net.parameters()), epochs=200,
    validation_split=0.2, progress=True,
)""",
    "history",
    "dp.check_gradients(net, nn.MSELoss(), X[::32], y[::32])",
    """\
w, b = graph.variable(3.0, name="w"), graph.variable(4.0, name="b")
z = (2 * w + 3 * b) * (2 * b + 1)
z.backward()
z.draw()""",
    "plot.history(history);",
    "plot.fit_1d(net, X, y);",
    "plot.network(nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 2), seed=0));",
    """\
net.backward(nn.MSELoss().delta(net.forward(X[::16]), y[::16]))
plot.deltas(net);""",
    """\
def f(x, y):
    return x**2 + np.sin(y) ** 2

plot.descent_surface(f, optim.descend(f, (3, 1), lr=0.1, steps=40));""",
)
COMMITTED = ("000_one_neuron", "delta_recursion_seen", "quick_start_digits")
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    # Renders all cells, including those outside the window.
    "notebook-extension/tracker": {"windowingMode": "none"},
}
ERROR = "[data-mime-type='application/vnd.jupyter.error']"
# Collects the execution count of each cell and the titles of live views.
COUNTS_AND_TITLES = """
const cells = [...document.querySelectorAll(".jp-Notebook .jp-CodeCell")];
const titles = [...document.querySelectorAll(".jp-OutputArea-output")]
  .map(e => /epoch [\\d,]+ of [\\d,]+/.exec(e.textContent)?.[0]).filter(t => t);
return [cells.map(c => c.querySelector(".jp-InputPrompt").textContent), titles];
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with the notebooks without outputs."""
    folder = tmp_path_factory.mktemp("lab")
    everything = nbformat.v4.new_notebook(cells=list(map(nbformat.v4.new_code_cell, CELLS)))
    everything.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(everything, folder / "everything.ipynb")
    for name in COMMITTED:
        notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        nbformat.write(notebook, folder / f"{name}.ipynb")
    return folder


@pytest.fixture(scope="module")
def lab(folder, tmp_path_factory):
    """Start JupyterLab on localhost; return a function from a notebook's name to its address."""
    home = tmp_path_factory.mktemp("home")
    for name, values in SETTINGS.items():
        path = home / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    places = {
        f"JUPYTER_{kind}_DIR": str(home / kind.lower()) for kind in ("CONFIG", "DATA", "RUNTIME")
    }
    places |= {
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "IPYTHONDIR": str(home / "ipython"),
    }
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token = secrets.token_hex(16)
    command = (
        f"{sys.executable} -m jupyterlab --no-browser --allow-root --ServerApp.ip=127.0.0.1 "
        f"--ServerApp.port={port} --ServerApp.port_retries=0 --IdentityProvider.token={token}"
    )
    with (home / "log").open("w") as log:
        server = subprocess.Popen(
            [*command.split(), f"--ServerApp.root_dir={folder}"],
            env=os.environ | places,
            stdout=log,
            stderr=log,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + TIMEOUT
        while not _responds(f"{address}/api/status?token={token}"):
            assert server.poll() is None, (home / "log").read_text()
            assert time.monotonic() < end, (home / "log").read_text()
            time.sleep(0.5)
        yield lambda name: f"{address}/lab/tree/{name}.ipynb?token={token}&reset"
    finally:
        server.terminate()
        server.wait(60)


def _responds(address):
    try:
        with urlopen(address) as response:
            return response.status == 200
    except URLError:
        return False


def run_all(chromium, address):
    """Open a notebook, choose Run All Cells, and wait until the last cell has run."""
    chromium.get(address)
    wait = WebDriverWait(chromium, TIMEOUT)

    def menu(xpath):
        wait.until(lambda d: d.find_elements(By.XPATH, xpath))[0].click()

    # Running has no effect before the kernel has started.
    wait.until(lambda d: "| Idle" in d.find_element(By.ID, "jp-main-statusbar").text)
    menu("//*[contains(@class, 'lm-MenuBar-itemLabel')][text()='Run']")
    menu("//*[contains(@class, 'lm-Menu-itemLabel')][text()='Run All Cells']")

    frames = set()

    def done(_):
        prompts, titles = chromium.execute_script(COUNTS_AND_TITLES)
        frames.update(titles)
        failed = chromium.find_elements(By.CSS_SELECTOR, ERROR)
        return failed or all(prompt.strip("[]: \u200b").isdigit() for prompt in prompts)

    WebDriverWait(chromium, TIMEOUT, poll_frequency=0.1).until(done)
    time.sleep(2)  # images are rendered after the execution counts
    return frames


def outputs(chromium, selector):
    """Return the rendered sizes of the matching elements."""
    return chromium.execute_script(
        """
        return [...document.querySelectorAll(".jp-Notebook " + arguments[0])].map(e => {
          const box = e.getBoundingClientRect();
          return [box.width, box.height, e.naturalWidth ?? -1];
        });
        """,
        selector,
    )


def check_no_cell_failed(chromium):
    failed = chromium.find_elements(By.CSS_SELECTOR, ERROR)
    assert [e.text for e in failed] == []


def shoot(chromium, screenshot, name):
    """Save a screenshot of the whole notebook."""
    height = chromium.execute_script(
        "return document.querySelector('.jp-WindowedPanel-outer').scrollHeight"
    )
    screenshot(name, height + 150)


def test_every_kind_of_output_is_rendered(chromium, lab, screenshot):
    frames = run_all(chromium, lab("everything"))
    shoot(chromium, screenshot, "lab-everything")
    check_no_cell_failed(chromium)
    assert len(frames) > 2, "the live view did not move"
    pictures = outputs(chromium, ".jp-RenderedImage img")
    assert len(pictures) == 5
    assert min(min(picture) for picture in pictures) > 100
    # Tables: network, report. Drawings: two curves of the live view, the history, the graph.
    tables = outputs(chromium, ".jp-RenderedHTMLCommon table")
    drawings = outputs(chromium, ":is(.jp-RenderedHTMLCommon, .jp-RenderedSVG) :is(svg, img)")
    assert len(tables) >= 2
    assert len(drawings) >= 4
    assert min(min(width, height) for width, height, _ in [*tables, *drawings]) > 10
    [bar] = outputs(chromium, ".widget-hprogress")
    assert bar[0] > 50


@pytest.mark.parametrize("name", COMMITTED)
def test_a_notebook_runs(name, chromium, lab, screenshot):
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    run_all(chromium, lab(name))
    shoot(chromium, screenshot, f"lab-{name}")
    check_no_cell_failed(chromium)
    committed = sum(
        "image/png" in output.get("data", {})
        for cell in notebook.cells
        for output in cell.get("outputs", [])
    )
    pictures = outputs(chromium, ".jp-RenderedImage img")
    assert len(pictures) == committed > 0
    assert min(min(picture) for picture in pictures) > 50
    formulas = outputs(chromium, ".jp-MarkdownCell mjx-container")
    has_formulas = any(
        "$" in cell.source for cell in notebook.cells if cell.cell_type == "markdown"
    )
    assert bool(formulas) == has_formulas
    assert all(min(width, height) > 1 for width, height, _ in formulas)
    assert chromium.find_elements(By.CSS_SELECTOR, "mjx-merror") == []

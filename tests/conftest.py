"""What the tests share."""

import gc
import importlib
import os
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest

# Before anything imports matplotlib.
os.environ["MPLBACKEND"] = "agg"


@pytest.fixture(scope="session")
def peer() -> Callable[[str], ModuleType]:
    """Return the function that imports a peer to compare with, or skips where it is missing.

    A machine that is there to compare sets DELTAPROP_REQUIRE_PEERS=1: a peer that is missing there
    would otherwise be hundreds of tests that quietly did nothing. DELTAPROP_REQUIRE_PEERS=0 leaves
    them out where they have been compared already.
    """
    expected = os.environ.get("DELTAPROP_REQUIRE_PEERS")
    if expected == "1":
        return importlib.import_module
    if expected == "0":
        return lambda name: pytest.skip(f"{name} is not required here")
    return pytest.importorskip


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def canvas(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Return the function that makes Axes to draw on; drawings are rendered at the end.

    No function may open a figure of its own then, let alone show one.
    """
    from matplotlib import pyplot
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = []

    def axes(**options: Any) -> Any:
        made.append(Figure(layout="constrained"))
        return made[-1].add_subplot(**options)

    monkeypatch.setattr(pyplot, "show", lambda: pytest.fail("a figure was shown"))
    yield axes
    for figure in made:
        FigureCanvasAgg(figure).draw()
    assert pyplot.get_fignums() == []


# Test functions that take long: their own time, or that of the processes they start.
SLOW = {
    "test_500_steps_against_pytorch",
    "test_a_chain_of_100_000",
    "test_a_daemon_thread_at_work_when_the_interpreter_ends",
    "test_a_million_values_ahead",
    "test_a_table_has_the_bits_of_steps_by_hand",
    "test_a_thousand_steps",
    "test_all_processors_at_first",
    "test_at_least_97_percent_of_held_out_digits_are_recognised",
    "test_backward_beside_forward_of_another_size",
    "test_ctrl_c",
    "test_every_name_is_listed_before_it_was_asked_for",
    "test_everything_has_the_same_bits",
    "test_few_rows_by_large_weights_have_the_same_bits",
    "test_hundred_steps",
    "test_initial_weights_are_drawn_as_theirs",
    "test_it_outlives_the_original",
    "test_it_shows_layers_losses_accuracy_time_and_deltas",
    "test_median_over_five_splits",
    "test_one_output_of_a_notebook_is_drawn_again_and_again",
    "test_only_the_activation_takes_the_network_below_the_best_affine_map",
    "test_outputs_losses_and_gradients",
    "test_passes_of_one_network_from_several_threads",
    "test_slow_drawing_is_rarer",
    "test_the_best_by_default",
    "test_the_same_bits",
    "test_training_has_the_same_bits",
    "test_words_can_be_read_on_any_page",
    "test_x_is_set_while_a_layer_in_python_runs",
}
# Files that check text rather than behaviour, render figures (test_plot.py draws each kind once),
# or start many processes and threads.
SLOW_FILES = (
    *("test_catalogue", "test_codebase", "test_language", "test_notebooks", "test_signatures"),
    *("test_plot_", "test_repr_html", "test_import_order", "test_num_threads", "test_threads"),
    "test_seed_",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as slow SLOW, SLOW_FILES, and combinations of parameters that occur separately.

    Of each other function the fast set has every value of every parameter at least once, and so
    every member of a family.
    """
    seen = set()
    for item in items:
        function, _, parameters = item.nodeid.partition("[")
        values = {(function, *place) for place in enumerate(parameters.split("-"))}
        slow = function.rpartition("::")[2] in SLOW or item.path.name.startswith(SLOW_FILES)
        if slow or values <= seen:
            item.add_marker(pytest.mark.slow)
        seen |= values


def pytest_collection_finish() -> None:
    """Keep the tests themselves, and all that they import, out of every later collection."""
    gc.collect()
    gc.freeze()

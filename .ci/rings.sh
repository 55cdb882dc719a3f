# The rings, in the order of a whole run: each a function, under the line that names it. Sourced by run.

ring readme-tests "README's test command in a fresh environment"
readme-tests() {
  local command
  command=$(readme test-command)
  rm -rf "$work/venv"
  python3 -m venv "$work/venv"
  source "$work/venv/bin/activate"
  echo "$command"
  CXXFLAGS=-Werror eval "$command"
  echo "$state" >"$work/venv/installed"
}

ring readme-job "README's main job, and the output of its examples"
readme-job() {
  local command
  with_package
  # By name: the installed package is not built again.
  command=$(readme main-command)
  command=${command/\".[/\"deltaprop[}
  echo "$command"
  eval "$command" 2>&1 | tee "$work/main.log"
  grep -Eq 'held-out accuracy: 9[7-9]\.[0-9]% of 450 digits' "$work/main.log"
  python tests/pages.py README.md
}

ring lints "formats, lints, types, layers of imports"
lints() {
  with_tools
  ruff check .
  ruff format --check .
  git ls-files '*.hpp' '*.cpp' | xargs clang-format --dry-run --Werror
  mypy --no-incremental
  python python/stubs.py --check
  python -m mypy.stubtest deltaprop._core --mypy-config-file pyproject.toml --allowlist .ci/stubtest-allowlist.txt
  if grep -q '^\[tool.importlinter\]' pyproject.toml; then lint-imports; fi
}

ring suite-v3 "the tests that meet arithmetic or peers on x86-64-v3, PyTorch and JAX required"
suite-v3() { suite x86-64-v3; }

ring suite-v2 "the same on x86-64-v2"
suite-v2() { suite x86-64-v2; }

# README's command runs everything on the best set that the CPU has; x86-64-v4 gives the bits of x86-64-v3. These do not
# depend on arithmetic or peers, so once is enough.
once=(benchmarks catalogue codebase import import_order language live notebooks run_notebooks stubs)
suite() {
  with_tools
  if ! has_isa "$1"; then
    echo "not run: this CPU has no $1"
    return
  fi
  DELTAPROP_ISA=$1 DELTAPROP_REQUIRE_PEERS=1 python -m pytest -q -n 2 \
    $(printf -- "--ignore=tests/test_%s.py " "${once[@]}")
}

ring instructions "no code has instructions of a newer set than its own"
instructions() {
  local avx='%[yz]mm|[[:space:]]v[a-z]' avx512='%zmm|%[xy]mm(1[6-9]|2[0-9]|3[01])|%k[0-7]'
  with_package
  uses() { objdump -d --no-show-raw-insn "$site"/$1 >"$work/code" && grep -Em 3 "$2" "$work/code"; }
  uses kernels/deltaprop-x86-64-v3.so "$avx" >/dev/null
  uses kernels/deltaprop-x86-64-v4.so "$avx512" >/dev/null
  if uses '_core*.so' "$avx" || uses kernels/deltaprop-x86-64-v2.so "$avx" ||
    uses kernels/deltaprop-x86-64-v3.so "$avx512"; then exit 1; fi
}

ring benchmarks "they run on every peer, and all come to the same losses, outputs and deltas"
benchmarks() {
  with_tools
  python -m benchmarks --smoke --out "$work/benchmarks" | tee "$work/benchmarks.log"
  if grep 'not run' "$work/benchmarks.log"; then exit 1; fi
  python -m benchmarks.graphs --seconds 0.001
  python -m benchmarks.live --seconds 0.1
}

ring notebooks "they run, and print what they printed"
notebooks() {
  with_tools
  basename -as .ipynb notebooks/*.ipynb | xargs -P 2 -n 1 python notebooks/run.py --check
}

ring pages "the examples of the pages give the output they show, and the layer that one of them adds compiles"
pages() {
  with_tools
  python tests/pages.py docs/*.md docs/guide/*.md
  block() { awk -v number="$1" '/^```cpp$/ { n++; on = n == number; next } /^```$/ { on = 0 } on' docs/adding_a_layer.md; }
  mkdir -p "$work/layer/deltaprop/nn"
  block 1 >"$work/layer/deltaprop/nn/scale.hpp"
  block 2 >"$work/layer/scale.cpp"
  g++ -std=c++20 -fsyntax-only -Wall -Wextra -Werror -Wno-missing-field-initializers -Icpp/include -I"$work/layer" \
    "$work/layer/scale.cpp"
}

ring browser "the site, its links, formulas and pictures; notebooks in JupyterLab"
browser() {
  with_tools
  with_command chromium chromium chromium-driver
  with_command chromedriver chromium chromium-driver
  python -m pytest -q browser --screenshots "$work/screenshots"
}

ring old-cpus "a CPU without AVX2 imports and trains; one without SSE4.2 is refused in one line"
old-cpus() {
  with_tools
  cat >"$work/old.py" <<'END'
import deltaprop as dp
from deltaprop import nn, optim
import numpy as np
X = np.linspace(-1, 1, 64).reshape(-1, 1)
net = nn.Sequential(nn.Linear(1, 20), nn.Tanh(), nn.Linear(20, 1), seed=0)
adam = optim.Adam(net.parameters(), lr=0.01)
assert net.fit(X, X**2, loss=nn.MSELoss(), epochs=200, optimizer=adam)["loss"][-1] < 1e-3
print(dp.show_config("dicts")["instruction_set"])
END
  old() { (cd "$work" && qemu-x86_64 -cpu "$1" "$(command -v python)" old.py 2>&1 || true) | tee "$work/old.log"; }
  old Nehalem
  grep -qx 'x86-64-v2' "$work/old.log"
  old core2duo
  grep -q '^ImportError: deltaprop needs an x86-64-v2 CPU' "$work/old.log"
}

ring tsan "the thread sanitizer finds nothing in how threads share work"
tsan() {
  with_tools
  cmake --preset tsan -B "$work/tsan" >"$work/cmake.log"
  cmake --build "$work/tsan" --target deltaprop_threads_tests | tail -n 1
  ctest --test-dir "$work/tsan" --output-on-failure -R '^threads$' --no-tests=error
}

# Sanitized: everything but the kernels of v2 and v4, which are those just installed.
with_asan() {
  with_tools
  cmake --preset asan -B "$work/asan" -DDELTAPROP_ISAS="x86-64-v2;x86-64-v3;x86-64-v4" >"$work/cmake.log"
  cmake --build "$work/asan" --target deltaprop_tests _core deltaprop-x86-64-v3 | tail -n 1
  cp "$site"/kernels/deltaprop-x86-64-v[24].so "$work/asan/kernels/"
}

ring cpp "C++ unit tests on each instruction set, with the address and undefined behaviour sanitizers"
cpp() {
  with_asan
  ctest --test-dir "$work/asan" --output-on-failure -j "$CMAKE_BUILD_PARALLEL_LEVEL" --no-tests=error
}

ring asan "the Python tests with the address and undefined behaviour sanitizers"
asan() {
  with_asan
  # A package with the sanitized modules before the installed one; Python itself is not sanitized and leaks by design.
  rm -rf "$work/sanitized"
  mkdir "$work/sanitized"
  cp -r "$site" "$work/sanitized/deltaprop"
  cp "$work"/asan/_core*.so "$work/sanitized/deltaprop/"
  cp "$work"/asan/kernels/*.so "$work/sanitized/deltaprop/kernels/"
  PYTHONPATH=$work/sanitized DELTAPROP_ISA=x86-64-v3 \
    LD_PRELOAD="$(g++ -print-file-name=libasan.so) $(g++ -print-file-name=libstdc++.so)" \
    ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 \
    DELTAPROP_REQUIRE_PEERS=0 python -m pytest -q -n 2 -p no:cacheprovider --ignore=tests/test_parity.py \
    --ignore=tests/test_instruction_sets.py --ignore=tests/test_benchmarks.py --ignore=tests/test_live.py \
    --ignore=tests/test_run_notebooks.py --ignore-glob='*/test_plot*.py'
}

ring editable "an editable install rebuilds itself"
editable() {
  with_tools
  # In a copy and an environment of its own. It does not test the kernels: one instruction set, not optimised.
  rm -rf "$work/editable"
  copy_tree . "$work/editable/tree"
  cd "$work/editable/tree"
  python -m venv "$work/editable/venv"
  local python=$work/editable/venv/bin/python
  # It finds the tools behind its own packages.
  python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' >"$($python -c \
    'import sysconfig; print(sysconfig.get_path("purelib"))')/tools.pth"
  "$python" -m pip install -q -e . --no-build-isolation --no-deps -C cmake.build-type=Debug \
    -C cmake.define.DELTAPROP_ISAS=x86-64-v3 -C cmake.define.DELTAPROP_KERNELS_OPTIMIZE=-O0
  sed -i 's/"Linear("/"Linear( "/' cpp/src/nn/linear.cpp
  "$python" -c 'from deltaprop import nn; assert repr(nn.Linear(1, 2)) == "Linear( 1, 2)", repr(nn.Linear(1, 2))'
}

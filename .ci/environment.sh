# What rings stand on: a copy of the tree, a Python environment with the package, tools. Sourced by run.

set_up() {
  local tree=$PWD
  if [[ -n ${DELTAPROP_CI_DIR-} ]]; then
    mkdir -p "$DELTAPROP_CI_DIR"
    work=$(cd "$DELTAPROP_CI_DIR" && pwd)
  else
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
  fi
  export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
  export CMAKE_BUILD_PARALLEL_LEVEL=${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}
  copy_tree "$tree" "$work/tree"
  cd "$work/tree"
  # What an environment was installed from.
  state=$(git write-tree)
}

# The files that git knows or would take, with their times, so that a build there goes on from what it has. The copy is
# a repository of its own: git in it cannot touch the tree.
copy_tree() {
  mkdir -p "$2"
  if [[ -d $2/.git ]]; then git -C "$2" ls-files -z | (cd "$2" && xargs -0 rm -f); fi
  git -C "$1" ls-files -coz --exclude-standard | while IFS= read -rd '' file; do
    if [[ -e $1/$file ]]; then printf '%s\0' "$file"; fi
  done | tar -C "$1" --null --no-recursion -T - -c | tar -C "$2" -x
  git -C "$2" init -q
  git -C "$2" add -A
}

# The command that stands in the README under the given marker.
readme() {
  local command
  command=$(sed -n "/<!-- $1 -->/,/^\`\`\`$/p" README.md | sed '1,/^```bash$/d;/^```$/d')
  [[ -n $command ]]
  echo "$command"
}

# An environment with the package and what its tests need; README's test command leaves one.
with_package() {
  if [[ $(cat "$work/venv/installed" 2>/dev/null) != "$state" ]]; then
    rm -rf "$work/venv"
    python3 -m venv "$work/venv"
    source "$work/venv/bin/activate"
    CXXFLAGS=-Werror pip install -q ".[test]"
    echo "$state" >"$work/venv/installed"
  fi
  source "$work/venv/bin/activate"
  site=$(cd / && python -c 'import deltaprop, pathlib; print(pathlib.Path(deltaprop.__file__).parent)')
}

# The same with all tools and peers.
with_tools() {
  with_package
  with_command qemu-x86_64 qemu-user
  [[ -e /usr/include/doctest/doctest.h ]] || install_packages doctest-dev
  if [[ ! -e $work/venv/tools ]]; then
    pip install -q "deltaprop[dev,benchmarks,notebooks,docs]" torch==2.13.0 selenium
    touch "$work/venv/tools"
  fi
}

with_command() {
  command -v "$1" >/dev/null || install_packages "${@:2}"
}
install_packages() {
  apt-get update -qq && apt-get install -y -qq "$@" >/dev/null
}

# Whether this CPU has an instruction set.
has_isa() {
  python -c 'import sys, deltaprop as dp; sys.exit(sys.argv[1] not in dp.show_config("dicts")["available"])' "$1"
}

#include "region.hpp"

#include <algorithm>

#include "deltaprop/core/buffer.hpp"
#include "deltaprop/kernels/table.hpp"
#include "reads.hpp"

namespace deltaprop::graph {
namespace {

constexpr Index kTile = 4 << 10;  // bytes, so that several tiles fit into the L1 cache
template <class T>
constexpr Index kLength = kTile / static_cast<Index>(sizeof(T));

/// A thread-local scratch tile. Tiles are padded by a few cache lines: at equal page offsets they would compete for the
/// same cache sets.
template <class T>
T* tile(std::size_t index) {
  constexpr Index stride = kTile + 5 * static_cast<Index>(kAlignment);
  static thread_local const Buffer<std::byte> tiles(2 * Index{Region::kMax} * stride);
  return reinterpret_cast<T*>(tiles.data() + static_cast<Index>(index) * stride);
}

bool expensive(std::size_t formula) {
  static constexpr auto list = formulas::each_formula<bool>([]<class F>() { return F::expensive; });
  return list[formula];
}
bool passes_delta(std::size_t formula, std::size_t input) {
  static constexpr auto list =
      formulas::each_formula<bool (*)(std::size_t)>([]<class F>() { return &F::passes_delta; });
  return list[formula](input);
}

}  // namespace

template <class T>
struct Region::ForwardStep {
  const kernels::Elementwise<T>* kernel;
  TilePointer<const T> x[formulas::kMaxInputs] = {};
  TilePointer<T> y;
  kernels::FormulaForward<T> call{};

  void run(Index i, Index n) {
    call.n = n;
    for (std::size_t k = 0; k < formulas::kMaxInputs; ++k) call.x[k] = x[k].at(i);
    call.y = y.at(i);
    kernel->forward(call);
  }
  bool advances() const { return y.advances; }
};

template <class T>
struct Region::BackwardStep {
  const kernels::Elementwise<T>* kernel;
  TilePointer<const T> x[formulas::kMaxInputs] = {};
  TilePointer<T> y, delta, gradient = {};
  kernels::FormulaBackward<T> call{};

  void run(Index i, Index n) {
    call.n = n;
    for (std::size_t k = 0; k < formulas::kMaxInputs; ++k) call.x[k] = x[k].at(i);
    call.y = y.at(i);
    call.delta = delta.at(i);
    call.gradient = gradient.at(i);
    kernel->backward(call);
  }
  bool advances() const { return delta.advances; }
};

/// Runs all steps tile by tile; a single step that reads and writes whole arrays runs over everything at once.
template <class T, class Step>
void Region::run(std::vector<ForwardStep<T>> before, std::vector<Step> steps) const {
  const bool whole = before.empty() && steps.size() == 1 && steps[0].advances();
  const Index length = whole ? size_ : kLength<T>;
  for (Index i = 0; i < size_; i += length) {
    const Index n = std::min(length, size_ - i);
    for (ForwardStep<T>& step : before) step.run(i, n);
    for (Step& step : steps) step.run(i, n);
  }
}

bool Region::accepts(const Node& y) {
  if (y.op() == nullptr || y.op()->formula() < 0 || y.size() <= 1) return false;
  for (std::size_t i = 0; i < y.inputs().size(); ++i) {
    const Node& x = *y.inputs()[i];
    if (x.size() != y.size() && (x.size() != 1 || y.sends_delta(i))) return false;
  }
  return true;
}

bool Region::can_add(const Node& y) const {
  return y.size() == size_ && y.precision() == precision_ && members_.size() < kMax;
}

Region::Operand Region::operand(Node& x) {
  const auto index_in = [&x](const auto& list) {
    const auto found = std::find_if(list.begin(), list.end(), [&x](const auto& each) { return each.node == &x; });
    return static_cast<std::size_t>(found - list.begin());
  };
  const std::size_t member = index_in(members_);
  if (member < members_.size()) return {true, member};
  const std::size_t source = index_in(sources_);
  if (source == sources_.size()) sources_.push_back({&x});
  return {false, source};
}

void Region::add(Node& y) {
  Member m{.node = &y,
           .formula = static_cast<std::size_t>(y.op()->formula()),
           .inputs = y.inputs().size(),
           .operands = {},
           .active = y.active(),
           .sends = {},
           .expensive = expensive(static_cast<std::size_t>(y.op()->formula()))};
  for (std::size_t i = 0; i < m.inputs; ++i) {
    m.operands[i] = operand(*y.inputs()[i]);
    if (!m.operands[i].is_member) continue;
    Member& x = members_[m.operands[i].index];
    ++x.uses;
    x.last = members_.size();
  }
  // x * x becomes square(x), which has one share instead of two.
  if (y.op()->formula() == formulas::formula_index<formulas::Multiply>() && y.inputs()[0] == y.inputs()[1]) {
    m.formula = static_cast<std::size_t>(formulas::formula_index<formulas::Square>());
    m.inputs = 1;
  }
  for (std::size_t i = 0; i < m.inputs; ++i) {
    m.sends[i] = y.sends_delta(i);
    if (!m.sends[i]) continue;
    ++shares(m.operands[i]);
    const unsigned read = reads(m.formula)[i];
    m.value_needed |= (read & kReadsValue) != 0;
    for (std::size_t k = 0; k < m.inputs; ++k) {
      if ((read >> k & 1) != 0 && m.operands[k].is_member) members_[m.operands[k].index].value_needed = true;
    }
  }
  members_.push_back(m);
}

bool Region::is_internal(const Member& m) { return m.uses > 0 && m.node->weak_from_this().use_count() == m.uses; }

std::size_t Region::bytes() const {
  std::size_t sum = 0;
  for (const Member& m : members_) sum += is_internal(m) ? 0 : m.node->bytes();
  return sum;
}

void Region::forget(const Node& y) {
  for (Member& m : members_) {
    if (m.deferred == &y) m.deferred = nullptr;
  }
}

std::vector<Region::ArrayOrScalar> Region::read_sources() const {
  std::vector<ArrayOrScalar> list;
  for (const Source& s : sources_) {
    s.node->materialize_value();
    ArrayOrScalar& array = list.emplace_back(ArrayOrScalar{s.node->value_memory(), {}});
    if (!array.memory) std::copy_n(s.node->value<std::byte>(), sizeof(array.number), array.number);
  }
  return list;
}

template <class T, class Step>
void Region::set_inputs(const Member& m, const std::vector<ArrayOrScalar>& sources, const TilePointers<T>& values,
                        Step& step) {
  for (std::size_t i = 0; i < m.inputs; ++i) {
    const Operand& x = m.operands[i];
    if (x.is_member) {
      step.x[i] = {values[x.index].first, values[x.index].advances};
    } else {
      const ArrayOrScalar& source = sources[x.index];
      step.call.is_scalar[i] = !source.memory;
      const std::byte* first = source.memory ? source.memory.get() : source.number;
      step.x[i] = {reinterpret_cast<const T*>(first), !step.call.is_scalar[i]};
    }
  }
}

template <class T>
auto Region::forward_step(std::size_t k, const std::vector<ArrayOrScalar>& sources, const TilePointers<T>& values) const
    -> ForwardStep<T> {
  ForwardStep<T> step{.kernel = &kernels::get<T>().formulas[members_[k].formula], .y = values[k]};
  set_inputs(members_[k], sources, values, step);
  return step;
}

/// Computes the values of all members: into memory where `values` has it, else into tiles, which are reused after the
/// last read (liveness).
template <class T>
void Region::evaluate(TilePointers<T> values, bool streamed) const {
  std::vector<ForwardStep<T>> steps;
  std::vector<T*> free;
  std::size_t used = 0;
  for (std::size_t k = 0; k < members_.size(); ++k) {
    for (std::size_t i = 0; i < k; ++i) {
      if (members_[i].last == k && !values[i].advances) free.push_back(values[i].first);
    }
    if (!values[k].advances) {
      if (free.empty()) free.push_back(tile<T>(used++));
      values[k].first = free.back();
      free.pop_back();
    }
    steps.push_back(forward_step(k, forward_sources_, values));
    steps.back().call.streamed = values[k].advances && streamed;
  }
  run<T>({}, std::move(steps));
}

void Region::forward() {
  forward_sources_ = read_sources();
  with_type(precision_, [&]<class T>() {
    TilePointers<T> values;
    for (std::size_t k = 0; k < members_.size(); ++k) {
      Member& m = members_[k];
      if (is_internal(m) && !(m.active && m.expensive && m.value_needed)) {
        m.node->attach(m.node->value_region_, shared_from_this());
        m.node->value_.reset();
        m.deferred = m.node;
      } else {
        m.node->detach(m.node->value_region_);
        values[k] = {m.node->fresh_value<T>(), true};
      }
    }
    evaluate(values, members_.back().node->streamed());
  });
}

void Region::materialize_values() {
  with_type(precision_, [&]<class T>() {
    TilePointers<T> values;
    for (std::size_t k = 0; k < members_.size(); ++k) {
      if (defers_value(members_[k])) values[k] = {members_[k].deferred->fresh_value<T>(), true};
    }
    evaluate(values, false);
  });
  for (const Member& m : members_) {
    if (defers_value(m)) m.deferred->detach(m.deferred->value_region_);
  }
}

/// One step for each share of a delta. The backward pass records where the deltas of the members are. Materializing
/// repeats the pass with memory for the deferred deltas, and writes only those.
template <class T>
auto Region::backward_steps(const TilePointers<T>& values, bool materializing) -> std::vector<BackwardStep<T>> {
  std::vector<BackwardStep<T>> steps;
  TilePointers<T> deltas;
  for (std::size_t k = members_.size(); k-- > 0;) {
    const Member& m = members_[k];
    Delta& delta = backward_.deltas[k];
    if (!delta.deferred && !materializing) {
      delta.known = m.active && m.node->filled_;
      if (delta.known) delta.array = {m.node->uniform_ ? nullptr : m.node->delta_, {}};
      std::copy_n(m.node->cell_.delta, sizeof(delta.array.number), delta.array.number);
    }
    if (delta.deferred) {
      delta.known = deltas[k].first != nullptr;
    } else if (delta.array.memory) {
      deltas[k] = {reinterpret_cast<T*>(delta.array.memory.get()), true};
    } else if (delta.known) {
      deltas[k] = {tile<T>(kMax + k), false};
      std::fill_n(deltas[k].first, kLength<T>, *reinterpret_cast<const T*>(delta.array.number));
    }
    if (!delta.known) continue;
    BackwardStep<T> step{.kernel = &kernels::get<T>().formulas[m.formula], .y = values[k], .delta = deltas[k]};
    set_inputs(m, backward_.sources, values, step);
    for (std::size_t i = 0; i < m.inputs; ++i) {
      if (!m.sends[i]) continue;
      const Operand& x = m.operands[i];
      // Alias the delta only if no other member adds to it.
      const bool aliased = passes_delta(m.formula, i) && shares(x) == 1 && !materializing;
      step.call.input = static_cast<int>(i);
      if (x.is_member && backward_.deltas[x.index].deferred) {
        step.call.accumulate = deltas[x.index].first != nullptr;
        if (aliased) deltas[x.index] = deltas[k];
        if (aliased) continue;
        if (!step.call.accumulate) deltas[x.index] = deferred_delta<T>(x.index, materializing);
        step.gradient = deltas[x.index];
      } else {
        if (materializing) continue;
        Node& to = node(x);
        if (aliased && !delta.deferred && to.borrow_delta(*m.node)) continue;
        const auto share = to.share<T>();
        step.gradient = {share.data, true};
        step.call.accumulate = share.accumulate;
        step.call.streamed = to.streamed();
      }
      steps.push_back(step);
    }
  }
  return steps;
}

template <class T>
auto Region::deferred_delta(std::size_t k, bool materializing) const -> TilePointer<T> {
  if (!materializing || !defers_delta(members_[k])) return {tile<T>(kMax + k), false};
  return {members_[k].deferred->delta_data<T>(), true};
}

void Region::run_backward(bool materializing) {
  with_type(precision_, [&]<class T>() {
    std::array<bool, kMax> value_needed{}, recompute{};
    for (std::size_t k = members_.size(); k-- > 0;) {
      const Member& m = members_[k];
      value_needed[k] |= m.value_needed;
      recompute[k] = value_needed[k] && (materializing || m.node->value_region_);
      for (std::size_t i = 0; recompute[k] && i < m.inputs; ++i) {
        if (m.operands[i].is_member) value_needed[m.operands[i].index] = true;
      }
    }
    std::vector<ForwardStep<T>> before;
    TilePointers<T> values;
    for (std::size_t k = 0; k < members_.size(); ++k) {
      values[k] = {tile<T>(k), false};
      if (recompute[k]) {
        before.push_back(forward_step(k, backward_.sources, values));
      } else if (value_needed[k]) {
        values[k] = {reinterpret_cast<T*>(members_[k].node->value_.get()), true};
      }
    }
    run<T>(std::move(before), backward_steps(values, materializing));
  });
}

void Region::backward() {
  backward_.sources = read_sources();
  for (Member& m : members_) {
    const bool deferred = m.active && is_internal(m);
    backward_.deltas.push_back({deferred, false, {}});
    if (!deferred) continue;
    m.node->attach(m.node->delta_region_, shared_from_this());
    m.node->delta_.reset();
    m.deferred = m.node;
  }
  run_backward(false);
}

void Region::materialize_deltas() {
  for (const Member& m : members_) {
    if (defers_delta(m)) m.deferred->zero_delta();
  }
  run_backward(true);
  for (const Member& m : members_) {
    if (defers_delta(m)) m.deferred->detach(m.deferred->delta_region_);
  }
}

}  // namespace deltaprop::graph

#include "region.hpp"

#include <algorithm>

#include "deltaprop/core/buffer.hpp"
#include "deltaprop/kernels/table.hpp"
#include "reads.hpp"

namespace deltaprop::graph {
namespace {

constexpr Index kTile = 4 << 10;  // bytes, so that several tiles fit into the first cache
template <class T>
constexpr Index kLength = kTile / static_cast<Index>(sizeof(T));

/// Room for a tile, of which nothing is left after a pass. They lie a little further apart than they are long: at the
/// same places in their pages they would be in each other's way in the cache.
template <class T>
T* tile(std::size_t place) {
  constexpr Index stride = kTile + 5 * static_cast<Index>(kAlignment);
  static thread_local const Buffer<std::byte> tiles(2 * Index{Region::kMax} * stride);
  return reinterpret_cast<T*>(tiles.data() + static_cast<Index>(place) * stride);
}

bool costly(std::size_t formula) {
  static constexpr auto list = formulas::each_formula<bool>([]<class F>() { return F::costly; });
  return list[formula];
}
bool passes(std::size_t formula, std::size_t input) {
  static constexpr auto list = formulas::each_formula<bool (*)(std::size_t)>([]<class F>() { return &F::passes; });
  return list[formula](input);
}

}  // namespace

template <class T>
struct Region::ForwardStep {
  const kernels::Elementwise<T>* kernel;
  Walked<const T> x[formulas::kMostInputs] = {};
  Walked<T> y;
  kernels::FormulaForward<T> call{};

  void run(Index i, Index n) {
    call.n = n;
    for (std::size_t k = 0; k < formulas::kMostInputs; ++k) call.x[k] = x[k].at(i);
    call.y = y.at(i);
    kernel->forward(call);
  }
  bool walks() const { return y.moves; }
};

template <class T>
struct Region::BackwardStep {
  const kernels::Elementwise<T>* kernel;
  Walked<const T> x[formulas::kMostInputs] = {};
  Walked<T> y, delta, gradient = {};
  kernels::FormulaBackward<T> call{};

  void run(Index i, Index n) {
    call.n = n;
    for (std::size_t k = 0; k < formulas::kMostInputs; ++k) call.x[k] = x[k].at(i);
    call.y = y.at(i);
    call.delta = delta.at(i);
    call.gradient = gradient.at(i);
    kernel->backward(call);
  }
  bool walks() const { return delta.moves; }
};

/// All steps on one tile after the other; a step that is alone and has nothing to do with tiles, on everything at once.
template <class T, class Step>
void Region::run(std::vector<ForwardStep<T>> before, std::vector<Step> steps) const {
  const bool whole = before.empty() && steps.size() == 1 && steps[0].walks();
  const Index length = whole ? size_ : kLength<T>;
  for (Index i = 0; i < size_; i += length) {
    const Index n = std::min(length, size_ - i);
    for (ForwardStep<T>& step : before) step.run(i, n);
    for (Step& step : steps) step.run(i, n);
  }
}

bool Region::takes(const Node& y) {
  if (y.op() == nullptr || y.op()->formula() < 0 || y.size() <= 1) return false;
  for (std::size_t i = 0; i < y.inputs().size(); ++i) {
    const Node& x = *y.inputs()[i];
    if (x.size() != y.size() && (x.size() != 1 || y.sends_delta(i))) return false;
  }
  return true;
}

bool Region::has_room_for(const Node& y) const {
  return y.size() == size_ && y.precision() == precision_ && members_.size() < kMax;
}

Region::Operand Region::operand(Node& x) {
  const auto place = [&x](const auto& list) {
    const auto found = std::find_if(list.begin(), list.end(), [&x](const auto& each) { return each.node == &x; });
    return static_cast<std::size_t>(found - list.begin());
  };
  const std::size_t member = place(members_);
  if (member < members_.size()) return {true, member};
  const std::size_t source = place(sources_);
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
           .costly = costly(static_cast<std::size_t>(y.op()->formula()))};
  for (std::size_t i = 0; i < m.inputs; ++i) {
    m.operands[i] = operand(*y.inputs()[i]);
    if (!m.operands[i].member) continue;
    Member& x = members_[m.operands[i].place];
    ++x.uses;
    x.last = members_.size();
  }
  // x x as x^2: one share, not two of which the second adds to the first.
  if (y.op()->formula() == formulas::formula_index<formulas::Multiply>() && y.inputs()[0] == y.inputs()[1]) {
    m.formula = static_cast<std::size_t>(formulas::formula_index<formulas::Square>());
    m.inputs = 1;
  }
  for (std::size_t i = 0; i < m.inputs; ++i) {
    m.sends[i] = y.sends_delta(i);
    if (!m.sends[i]) continue;
    ++shares(m.operands[i]);
    const unsigned read = reads(m.formula)[i];
    m.needed |= (read & kReadsValue) != 0;
    for (std::size_t k = 0; k < m.inputs; ++k) {
      if ((read >> k & 1) != 0 && m.operands[k].member) members_[m.operands[k].place].needed = true;
    }
  }
  members_.push_back(m);
}

bool Region::unseen(const Member& m) { return m.uses > 0 && m.node->weak_from_this().use_count() == m.uses; }

std::size_t Region::bytes() const {
  std::size_t sum = 0;
  for (const Member& m : members_) sum += unseen(m) ? 0 : m.node->bytes();
  return sum;
}

void Region::forget(const Node& y) {
  for (Member& m : members_) {
    if (m.hidden == &y) m.hidden = nullptr;
  }
}

std::vector<Region::Array> Region::taken() const {
  std::vector<Array> list;
  for (const Source& s : sources_) {
    s.node->reveal_value();
    Array& array = list.emplace_back(Array{s.node->value_memory(), {}});
    if (!array.memory) std::copy_n(s.node->value<std::byte>(), sizeof(array.number), array.number);
  }
  return list;
}

template <class T, class Step>
void Region::set_inputs(const Member& m, const std::vector<Array>& sources, const Walks<T>& values, Step& step) {
  for (std::size_t i = 0; i < m.inputs; ++i) {
    const Operand& x = m.operands[i];
    if (x.member) {
      step.x[i] = {values[x.place].first, values[x.place].moves};
    } else {
      const Array& source = sources[x.place];
      step.call.single[i] = !source.memory;
      const std::byte* first = source.memory ? source.memory.get() : source.number;
      step.x[i] = {reinterpret_cast<const T*>(first), !step.call.single[i]};
    }
  }
}

template <class T>
auto Region::forward_step(std::size_t k, const std::vector<Array>& sources, const Walks<T>& values) const
    -> ForwardStep<T> {
  ForwardStep<T> step{.kernel = &kernels::get<T>().formulas[members_[k].formula], .y = values[k]};
  set_inputs(members_[k], sources, values, step);
  return step;
}

/// The values of all members: in memory where that is given, else in a tile, which is somebody else's as soon as it has
/// been read for the last time.
template <class T>
void Region::evaluate(Walks<T> values, bool streamed) const {
  std::vector<ForwardStep<T>> steps;
  std::vector<T*> free;
  std::size_t used = 0;
  for (std::size_t k = 0; k < members_.size(); ++k) {
    for (std::size_t i = 0; i < k; ++i) {
      if (members_[i].last == k && !values[i].moves) free.push_back(values[i].first);
    }
    if (!values[k].moves) {
      if (free.empty()) free.push_back(tile<T>(used++));
      values[k].first = free.back();
      free.pop_back();
    }
    steps.push_back(forward_step(k, before_, values));
    steps.back().call.streamed = values[k].moves && streamed;
  }
  run<T>({}, std::move(steps));
}

void Region::forward() {
  before_ = taken();
  with_type(precision_, [&]<class T>() {
    Walks<T> values;
    for (std::size_t k = 0; k < members_.size(); ++k) {
      Member& m = members_[k];
      if (unseen(m) && !(m.active && m.costly && m.needed)) {
        m.node->hide(m.node->value_hider_, shared_from_this());
        m.node->value_.reset();
        m.hidden = m.node;
      } else {
        m.node->unhide(m.node->value_hider_);
        values[k] = {m.node->fresh_value<T>(), true};
      }
    }
    evaluate(values, members_.back().node->streamed());
  });
}

void Region::reveal_values() {
  with_type(precision_, [&]<class T>() {
    Walks<T> values;
    for (std::size_t k = 0; k < members_.size(); ++k) {
      if (hides_value(members_[k])) values[k] = {members_[k].hidden->fresh_value<T>(), true};
    }
    evaluate(values, false);
  });
  for (const Member& m : members_) {
    if (hides_value(m)) m.hidden->unhide(m.hidden->value_hider_);
  }
}

/// A step for each share of a delta. The first pass finds out where deltas are; to reveal is to go through it again,
/// with memory for those that were hidden, and for these alone.
template <class T>
auto Region::backward_steps(const Walks<T>& values, bool revealing) -> std::vector<BackwardStep<T>> {
  std::vector<BackwardStep<T>> steps;
  Walks<T> deltas;
  for (std::size_t k = members_.size(); k-- > 0;) {
    const Member& m = members_[k];
    Delta& delta = back_.deltas[k];
    if (!delta.hidden && !revealing) {
      delta.known = m.active && m.node->filled_;
      if (delta.known) delta.array = {m.node->uniform_ ? nullptr : m.node->delta_, {}};
      std::copy_n(m.node->cell_.delta, sizeof(delta.array.number), delta.array.number);
    }
    if (delta.hidden) {
      delta.known = deltas[k].first != nullptr;
    } else if (delta.array.memory) {
      deltas[k] = {reinterpret_cast<T*>(delta.array.memory.get()), true};
    } else if (delta.known) {
      deltas[k] = {tile<T>(kMax + k), false};
      std::fill_n(deltas[k].first, kLength<T>, *reinterpret_cast<const T*>(delta.array.number));
    }
    if (!delta.known) continue;
    BackwardStep<T> step{.kernel = &kernels::get<T>().formulas[m.formula], .y = values[k], .delta = deltas[k]};
    set_inputs(m, back_.sources, values, step);
    for (std::size_t i = 0; i < m.inputs; ++i) {
      if (!m.sends[i]) continue;
      const Operand& x = m.operands[i];
      // Lent only where no other member adds to it: the deltas come about as the tiles go.
      const bool lent = passes(m.formula, i) && shares(x) == 1 && !revealing;
      step.call.input = static_cast<int>(i);
      if (x.member && back_.deltas[x.place].hidden) {
        step.call.accumulate = deltas[x.place].first != nullptr;
        if (lent) deltas[x.place] = deltas[k];
        if (lent) continue;
        if (!step.call.accumulate) deltas[x.place] = hidden_delta<T>(x.place, revealing);
        step.gradient = deltas[x.place];
      } else {
        if (revealing) continue;
        Node& to = node(x);
        if (lent && !delta.hidden && to.borrow_delta(*m.node)) continue;
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
auto Region::hidden_delta(std::size_t k, bool revealing) const -> Walked<T> {
  if (!revealing || !hides_delta(members_[k])) return {tile<T>(kMax + k), false};
  return {members_[k].hidden->place<T>(), true};
}

void Region::run_back(bool revealing) {
  with_type(precision_, [&]<class T>() {
    std::array<bool, kMax> needed{}, again{};
    for (std::size_t k = members_.size(); k-- > 0;) {
      const Member& m = members_[k];
      needed[k] |= m.needed;
      again[k] = needed[k] && (revealing || m.node->value_hider_);
      for (std::size_t i = 0; again[k] && i < m.inputs; ++i) {
        if (m.operands[i].member) needed[m.operands[i].place] = true;
      }
    }
    std::vector<ForwardStep<T>> before;
    Walks<T> values;
    for (std::size_t k = 0; k < members_.size(); ++k) {
      values[k] = {tile<T>(k), false};
      if (again[k]) {
        before.push_back(forward_step(k, back_.sources, values));
      } else if (needed[k]) {
        values[k] = {reinterpret_cast<T*>(members_[k].node->value_.get()), true};
      }
    }
    run<T>(std::move(before), backward_steps(values, revealing));
  });
}

void Region::backward() {
  back_.sources = taken();
  for (Member& m : members_) {
    const bool hidden = m.active && unseen(m);
    back_.deltas.push_back({hidden, false, {}});
    if (!hidden) continue;
    m.node->hide(m.node->delta_hider_, shared_from_this());
    m.node->delta_.reset();
    m.hidden = m.node;
  }
  run_back(false);
}

void Region::reveal_deltas() {
  for (const Member& m : members_) {
    if (hides_delta(m)) m.hidden->clear_delta();
  }
  run_back(true);
  for (const Member& m : members_) {
    if (hides_delta(m)) m.hidden->unhide(m.hidden->delta_hider_);
  }
}

}  // namespace deltaprop::graph

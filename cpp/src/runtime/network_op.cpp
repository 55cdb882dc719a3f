#include "deltaprop/runtime/network_op.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "deltaprop/core/errors.hpp"
#include "deltaprop/graph/ops.hpp"
#include "deltaprop/kernels/table.hpp"

namespace deltaprop::runtime {
namespace {

template <class T>
class NetworkOp final : public graph::Op {
 public:
  explicit NetworkOp(std::shared_ptr<Model<T>> model) : model_(std::move(model)) {}

  const char* name() const override { return "network"; }

  void forward(graph::Node& y) const override {
    const Input x(*y.inputs()[0]);
    const nn::Subgraph subgraph = model_->resolve_inputs(x);
    auto inference = model_->acquire(0, subgraph, x);
    const Buffer<T> out(y.size());
    model_->infer(*inference, x, {{out.data(), x[0].rows, y.shape().back()}});
    model_->release(0, std::move(inference));
    std::copy_n(out.data(), y.size(), y.fresh_value<T>());
  }

  // The delta recursion, down to the input.
  void backward(graph::Node& y) const override {
    const Input x(*y.inputs()[0]);
    model_->input_gradient(
        x,
        [&](const std::vector<Matrix<const T>>&, const std::vector<Matrix<T>>& deltas) {
          std::copy_n(y.delta<T>(), y.size(), deltas[0].data);
        },
        [&](const std::vector<Matrix<const T>>& input_deltas) {
          const auto share = y.inputs()[0]->template share<T>();
          if (share.accumulate) {
            kernels::get<T>().add(share.data, input_deltas[0].data, share.data, input_deltas[0].size());
          } else {
            std::copy_n(input_deltas[0].data, input_deltas[0].size(), share.data);
          }
        });
  }

  graph::Expression delta(const graph::NodePtr&, std::size_t, const graph::Expression&) const override {
    throw TypeError("network: expected first derivatives of a network's node, got second ones");
  }

 private:
  /// x as a matrix, of one row if it has one axis. Holds its memory, as a layer written in Python may release the GIL
  /// to a thread that sets x.
  struct Input : std::array<StridedView, 1> {
    explicit Input(const graph::Node& x) : memory(x.value_memory()) {
      const Index cols = x.shape().back();
      const Index size = sizeof(T);
      (*this)[0] = {reinterpret_cast<const std::byte*>(x.value<T>()),
                    size == 4 ? Dtype::float32 : Dtype::float64,
                    x.shape().size() == 1 ? 1 : x.shape()[0],
                    cols,
                    cols * size,
                    size};
    }

    graph::Memory memory;
  };

  std::shared_ptr<Model<T>> model_;
};

}  // namespace

template <class T>
graph::NodePtr network_node(const std::shared_ptr<Model<T>>& model, const graph::NodePtr& x) {
  const nn::Subgraph subgraph = model->network().resolve_inputs(0, {x->shape()});
  if (subgraph.inputs.size() != 1 || subgraph.outputs.size() != 1) {
    throw ValueError("node: expected a network of one input and one output, got " +
                     std::to_string(subgraph.inputs.size()) + " and " + std::to_string(subgraph.outputs.size()));
  }
  const std::vector<Index> widths = model->network().widths(subgraph, {x->shape().back()});
  graph::Shape shape = x->shape();
  shape.back() = nn::select(widths, subgraph.outputs)[0];
  constexpr auto precision = graph::precision_of<T>;
  return std::make_shared<graph::Node>(std::make_shared<NetworkOp<T>>(model), graph::Inputs{graph::cast(x, precision)},
                                       std::move(shape), precision);
}

template graph::NodePtr network_node<float>(const std::shared_ptr<Model<float>>&, const graph::NodePtr&);
template graph::NodePtr network_node<double>(const std::shared_ptr<Model<double>>&, const graph::NodePtr&);

}  // namespace deltaprop::runtime

#include "arrays.hpp"
#include "bindings.hpp"
#include "deltaprop/graph/ops.hpp"
#include "deltaprop/nn/expression.hpp"
#include "gil.hpp"

namespace deltaprop::python {
namespace {

using graph::Node;

/// Traces a Python function of nodes, once per shape and with the GIL held. The graph is a private copy, so it can run
/// without the GIL. `owner`, whose attribute the function is, is held by a weak reference: it owns the core object that
/// owns this tracer, and Python's garbage collector does not see cycles through the core.
nn::Tracer tracer(const py::object& owner, std::string name) {
  return [weak = py::weakref(owner), name = std::move(name)](const nn::TraceShape& s) {
    const WithGil gil;
    const py::object alive = weak();
    if (alive.is_none()) throw std::runtime_error(name + ": expected what has its function to be alive still");
    const py::object function = alive.attr("function");
    nn::Trace t;
    t.x = std::make_shared<Node>(Node::Kind::variable, graph::Shape{s.rows, s.cols}, s.precision);
    const bool loss = s.targets != nn::kNoTargets;
    t.x->name = loss ? "yhat" : "x";
    py::object result;
    if (loss) {
      t.y = std::make_shared<Node>(Node::Kind::constant, graph::Shape{s.rows, s.targets}, s.precision);
      t.y->name = "y";
      result = call(function, py::dict(), t.x, t.y);
    } else {
      result = call(function, py::dict(), t.x);
    }
    if (!py::isinstance<Node>(result)) {
      throw TypeError(name + ": expected a node back, got " + type_name(result));
    }
    t.result = graph::cast(result.cast<graph::NodePtr>(), s.precision);
    const graph::Shape& shape = t.result->shape();
    const bool rows = !shape.empty() && shape[0] == s.rows && (loss || shape.size() <= 2);
    if (!rows && !(loss && shape.empty())) {
      throw ValueError(name + ": expected " + (loss ? "one number or " : "") + "rows (" + std::to_string(s.rows) +
                       (loss ? ", ...)" : ", out)") + " back for " + (loss ? "outputs " : "x ") +
                       shape_text({s.rows, s.cols}) + ", got " + shape_text(shape));
    }
    std::vector<graph::NodePtr*> leaves{&t.x};
    if (loss) leaves.push_back(&t.y);
    t.result = graph::clone_graph(t.result, leaves);
    return t;
  };
}

}  // namespace

void bind_expressions(py::module_& m) {
  py::class_<nn::ExpressionLayer, nn::Layer, std::shared_ptr<nn::ExpressionLayer>>(m, "ExpressionLayer")
      .def(py::init([](const py::object& layer, std::string name) {
             return std::make_shared<nn::ExpressionLayer>(tracer(layer, name), name);
           }),
           py::arg("layer"), py::arg("name"));
  py::class_<nn::ExpressionLoss, nn::Loss, std::shared_ptr<nn::ExpressionLoss>>(m, "ExpressionLoss")
      .def(py::init([](const py::object& loss, std::string name, const std::string& reduction, Index targets) {
             return std::make_shared<nn::ExpressionLoss>(tracer(loss, name), name, nn::reduction(reduction), targets);
           }),
           py::arg("loss"), py::arg("name"), py::arg("reduction"), py::arg("targets"));
}

}  // namespace deltaprop::python

#include "deltaprop/train/evaluate.hpp"

#include <algorithm>

#include "loss_rows.hpp"

namespace deltaprop::train {

template <class T>
double evaluate(const Model<T>& model, const nn::Loss& loss, const Data& data, const std::function<void()>* between) {
  const Index rows = data.x.rows;
  const Index chunk = loss.rowwise() && model.network().rowwise() ? std::min(rows, chunk_rows(data.x.cols)) : rows;
  const Index cols = model.network().widths(data.x.cols).back();
  LossRows<T> targets(loss, data, chunk);
  Buffer<T> outputs(checked_size(chunk, cols));
  double sum = 0, weight = 0;
  for (Index first = 0; first < rows; first += chunk) {
    const Index n = std::min(chunk, rows - first);
    Source x = data.x;
    x.data += first * x.row_stride;
    x.rows = n;
    const Matrix<T> a{outputs.data(), n, cols};
    model.infer(x, a, between);
    weight += targets.gather_weights(nullptr, first, n);
    targets.run(nullptr, first, {0, n}, n, a, 1.0, {});
    for (Index i = 0; i < n; ++i) sum += targets.sums.data()[i];
  }
  return sum * loss.scale(weight, cols);
}

template double evaluate(const Model<float>&, const nn::Loss&, const Data&, const std::function<void()>*);
template double evaluate(const Model<double>&, const nn::Loss&, const Data&, const std::function<void()>*);

}  // namespace deltaprop::train

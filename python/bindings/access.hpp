#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "deltaprop/nn/access.hpp"

namespace deltaprop::python {

/// Context manager of the accesses of a call.
class HeldAccess {
 public:
  /// `owner` keeps the guards alive.
  HeldAccess(nn::Call call, const nn::Guards& guards, std::shared_ptr<const void> owner)
      : call_(call), guards_(guards), owner_(std::move(owner)) {}
  void enter() { access_.emplace(call_, guards_); }
  void exit() { access_.reset(); }
  /// Null outside the `with` block.
  const nn::Access* get() const { return access_ ? &*access_ : nullptr; }

 private:
  nn::Call call_;
  nn::Guards guards_;
  std::shared_ptr<const void> owner_;
  std::optional<nn::Access> access_;
};

}  // namespace deltaprop::python

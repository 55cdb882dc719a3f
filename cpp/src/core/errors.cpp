#include "deltaprop/core/errors.hpp"

#include <array>
#include <charconv>

namespace deltaprop {

std::string shape_text(const std::vector<Index>& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(shape[i]);
  }
  return text + (shape.size() == 1 ? ",)" : ")");
}

std::string number_text(double value) {
  std::array<char, 32> text{};
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  const std::string shortest(text.data(), end);
  return shortest.find_first_of(".en") == std::string::npos ? shortest + ".0" : shortest;
}

}  // namespace deltaprop

#include "deltaprop/kernels/load.hpp"

#include <dlfcn.h>

#include <cstdlib>
#include <stdexcept>

#include "deltaprop/kernels/table.hpp"

namespace deltaprop::kernels {
namespace {

const Table* loaded = nullptr;
Choice chosen;

struct InstructionSet {
  const char* name;
  bool (*supported)();  // by the CPU, and the operating system saves its registers
  const char* cpus;     // for messages
};
constexpr InstructionSet kSets[] = {
    {"plain", [] { return true; }, "any"},
#if defined(__x86_64__)
    {"x86-64-v2", [] { return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt"); },
     "SSE4.2 and POPCNT: Intel Nehalem, AMD Bulldozer or newer"},
    {"x86-64-v3",
     [] {
       return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
              __builtin_cpu_supports("bmi2");
     },
     "AVX2, FMA and BMI2: Intel Haswell, AMD Excavator or newer"},
    {"x86-64-v4",
     [] {
       return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
              __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
              __builtin_cpu_supports("avx512vl");
     },
     "AVX-512: Intel Skylake-X, AMD Zen 4 or newer"},
#endif
};

bool built(const std::string& set) {
  return std::string("," DELTAPROP_ISAS ",").find("," + set + ",") != std::string::npos;
}

std::string joined(const std::vector<std::string>& names) {
  std::string all;
  for (const auto& name : names) all += (all.empty() ? "" : ", ") + name;
  return all;
}

/// The best instruction set that is built and supported, or the one that DELTAPROP_ISA names.
Choice choose() {
#if defined(__x86_64__)
  __builtin_cpu_init();
#endif
  Choice choice;
  const InstructionSet* oldest = nullptr;
  for (const auto& set : kSets) {
    if (!built(set.name)) continue;
    if (oldest == nullptr) oldest = &set;
    choice.built.emplace_back(set.name);
    if (set.supported()) choice.available.emplace_back(set.name);
  }
  if (choice.available.empty()) {
    throw std::runtime_error(std::string("deltaprop needs an ") + oldest->name + " CPU (" + oldest->cpus +
                             "), which this one is not");
  }
  choice.name = choice.available.back();
  const char* requested = std::getenv("DELTAPROP_ISA");
  if (requested == nullptr || *requested == '\0') return choice;
  choice.forced = true;
  for (const auto& set : choice.available) {
    if (set == requested) return choice.name = set, choice;
  }
  throw std::runtime_error("DELTAPROP_ISA is '" + std::string(requested) + "': there are kernels for " +
                           joined(choice.built) + ", of which this CPU has " + joined(choice.available));
}

std::string own_folder() {
  Dl_info info;
  if (dladdr(reinterpret_cast<const void*>(&choose), &info) == 0 || info.dli_fname == nullptr) return ".";
  const std::string path = info.dli_fname;
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

}  // namespace

void load() {
  if (loaded != nullptr) return;
  chosen = choose();
  const std::string path = own_folder() + "/kernels/deltaprop-" + chosen.name + ".so";
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) throw std::runtime_error(std::string("deltaprop cannot load its kernels: ") + dlerror());
  void* symbol = dlsym(library, "deltaprop_kernels");
  if (symbol == nullptr) throw std::runtime_error(std::string("deltaprop cannot load its kernels: ") + dlerror());
  loaded = reinterpret_cast<const Table* (*)()>(symbol)();
}

Formula formula(std::string_view name) {
  const auto& known = get<double>();
  for (Index i = 0; i < known.update_count; ++i) {
    if (name == known.updates[i].name) return Formula{static_cast<int>(i)};
  }
  throw std::out_of_range("no update formula is called " + std::string(name));
}

const Table& table() { return *loaded; }
const Choice& choice() { return chosen; }

}  // namespace deltaprop::kernels

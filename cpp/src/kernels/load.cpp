#include <dlfcn.h>

#include <stdexcept>
#include <string>

#include "deltaprop/kernels/table.hpp"

namespace deltaprop::kernels {
namespace {

const Table* loaded = nullptr;

void check_cpu() {
#ifdef DELTAPROP_NEEDS_V3
  __builtin_cpu_init();
  if (!(__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
        __builtin_cpu_supports("bmi2"))) {
    throw std::runtime_error(
        "deltaprop needs an x86-64-v3 CPU (AVX2, FMA and BMI2: Intel Haswell, AMD Excavator or newer), which "
        "this one is not");
  }
#endif
}

std::string own_folder() {
  Dl_info info;
  if (dladdr(reinterpret_cast<const void*>(&check_cpu), &info) == 0 || info.dli_fname == nullptr) return ".";
  const std::string path = info.dli_fname;
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

}  // namespace

void load() {
  if (loaded != nullptr) return;
  check_cpu();
  const std::string path = own_folder() + "/" DELTAPROP_KERNELS_FILE;
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) throw std::runtime_error(std::string("deltaprop cannot load its kernels: ") + dlerror());
  void* symbol = dlsym(library, "deltaprop_kernels");
  if (symbol == nullptr) throw std::runtime_error(std::string("deltaprop cannot load its kernels: ") + dlerror());
  loaded = reinterpret_cast<const Table* (*)()>(symbol)();
}

const Table& table() { return *loaded; }

}  // namespace deltaprop::kernels

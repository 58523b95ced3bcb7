// Exported programs: TorchScript files and AOTInductor packages behind one set of calls. Nothing here checks what is
// given to a program; the Rust side does, before every run.
#include "shim.h"

#include <ATen/Parallel.h>
#include <c10/core/Device.h>
#include <torch/csrc/inductor/aoti_package/model_package_loader.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/serialization/import.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <mutex>
#include <regex>
#include <sstream>
#include <vector>
#ifdef __linux__
#include <dlfcn.h>
#endif

namespace {

using Tensors = std::vector<at::Tensor>;

// What one run gives; names are empty where the program's description has them.
struct Results {
  Tensors tensors;
  std::vector<std::string> names;
};

struct Program {
  virtual ~Program() = default;
  // Lines of "key value".
  virtual std::string describe() = 0;
  // `slots[i]` says which argument `inputs[i]` belongs to.
  virtual Results run(const Tensors& inputs, const int* slots) = 0;
};

// Of weights: how many values there are of each type, and what they take.
struct Types {
  std::unordered_map<std::string, int64_t> values;
  std::unordered_map<const void*, size_t> memory;

  void add(at::ScalarType type, int64_t count) {
    if (at::isFloatingType(type)) values[c10::toString(type)] += count;
  }

  // Tied weights are in one place, and count once.
  void keep(const at::Tensor& one) {
    if (one.has_storage()) memory[one.storage().data()] = one.storage().nbytes();
  }

  void describe(std::ostream& to) const {
    const std::pair<const std::string, int64_t>* most = nullptr;
    for (const auto& one : values)
      if (most == nullptr || one.second > most->second) most = &one;
    if (most != nullptr) to << "floats " << most->first << "\n";
    size_t bytes = 0;
    for (const auto& one : memory) bytes += one.second;
    if (bytes > 0) to << "bytes " << bytes << "\n";
  }
};

struct Script : Program {
  torch::jit::Module module;
  const c10::FunctionSchema* schema;

  Script(const std::string& path, c10::Device device) : module(torch::jit::load(path, device)) {
    module.eval();
    schema = &module.get_method("forward").function().getSchema();
  }

  std::string describe() override {
    std::ostringstream to;
    const auto& arguments = schema->arguments();
    for (size_t i = 1; i < arguments.size(); i++) {
      const auto& one = arguments[i];
      to << "input " << one.name() << " " << (one.default_value() ? "optional " : "required ")
         << one.type()->annotation_str() << "\n";
    }
    for (const auto& one : schema->returns()) to << "result " << one.type()->annotation_str() << "\n";
    Types types;
    for (const auto& one : module.parameters()) {
      types.add(one.scalar_type(), one.numel());
      types.keep(one);
    }
    for (const auto& one : module.buffers()) types.keep(one);
    types.describe(to);
    return to.str();
  }

  Results run(const Tensors& inputs, const int* slots) override {
    const auto& arguments = schema->arguments();
    std::vector<c10::IValue> given;
    for (size_t i = 1; i < arguments.size(); i++) {
      const auto& one = arguments[i];
      // An empty list where nothing else follows: a cache of no layers.
      given.push_back(one.default_value() ? *one.default_value() : c10::IValue(c10::List<at::Tensor>()));
    }
    for (size_t i = 0; i < inputs.size(); i++) {
      auto& slot = given[slots[i]];
      if (arguments[slots[i] + 1].type()->kind() != c10::TypeKind::ListType) {
        slot = inputs[i];
        continue;
      }
      if (!slot.isTensorList()) slot = c10::List<at::Tensor>();
      slot.toTensorList().push_back(inputs[i]);
    }
    Results results;
    flatten(module.forward(std::move(given)), "", results);
    return results;
  }

  static void flatten(const c10::IValue& value, const std::string& name, Results& to) {
    const auto inside = [&](const std::string& own) { return name.empty() ? own : name + "." + own; };
    if (value.isTensor()) {
      to.tensors.push_back(value.toTensor());
      to.names.push_back(name);
    } else if (value.isGenericDict()) {
      for (const auto& one : value.toGenericDict()) flatten(one.value(), inside(one.key().toStringRef()), to);
    } else if (value.isTuple()) {
      size_t at = 0;
      for (const auto& one : value.toTupleRef().elements()) flatten(one, inside(std::to_string(at++)), to);
    } else if (value.isList()) {
      size_t at = 0;
      for (const auto& one : value.toListRef()) flatten(one, inside(std::to_string(at++)), to);
    }
  }
};

// Removes the folder into which a package was unpacked, if `text` names a file of it: libtorch makes /tmp/XXXXXX and
// puts /NAME/data/aotinductor there.
void remove_unpacked(const std::string& text) {
  static const std::regex unpacked("(/tmp/[A-Za-z0-9]{6})/[^/]+/data/aotinductor/");
  std::smatch found;
  if (!std::regex_search(text, found, unpacked)) return;
  std::error_code ignored;
  std::filesystem::remove_all(found[1].str(), ignored);
}

// A package stays unpacked where its process is killed or it does not load. On Linux what is mapped needs no name.
void remove_mapped() {
#ifdef __linux__
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) remove_unpacked(line);
#endif
}

struct Package : Program {
  std::unique_ptr<torch::inductor::AOTIModelPackageLoader> loader;

  Package(const std::string& path, const std::string& model, c10::Device device) {
    // One at a time, or one might remove what another is still loading.
    static std::mutex loading;
    std::lock_guard<std::mutex> alone(loading);
    try {
      loader = std::make_unique<torch::inductor::AOTIModelPackageLoader>(
          path, model, /*run_single_threaded=*/false, /*num_runners=*/1, device.index());
    } catch (const std::exception& failure) {
      remove_unpacked(failure.what());
      throw;
    }
    remove_mapped();
  }

  std::string describe() override {
    std::ostringstream to;
    const auto spec = loader->get_call_spec();
    for (size_t i = 0; i < spec.size() && i < 2; i++) to << (i == 0 ? "takes " : "gives ") << spec[i] << "\n";
    Types types;
    for (const auto& one : loader->get_runner()->getConstantNamesToDtypes())
      types.add(static_cast<at::ScalarType>(one.second), 1);
    types.describe(to);
    return to.str();
  }

  Results run(const Tensors& inputs, const int*) override { return {loader->run(inputs), {}}; }
};

}  // namespace

extern "C" {

// `model` is null for TorchScript; `cuda` is the device's number, or -1 for the CPU.
void* ih_program_open(const char* path, const char* model, int cuda, char** error) {
  return ih_guarded<void*>(nullptr, error, [&]() -> void* {
    const auto device = cuda < 0 ? c10::Device(c10::kCPU) : c10::Device(c10::kCUDA, static_cast<c10::DeviceIndex>(cuda));
    if (model == nullptr) return static_cast<Program*>(new Script(path, device));
    return static_cast<Program*>(new Package(path, model, device));
  });
}

void ih_program_free(void* program) { delete static_cast<Program*>(program); }

char* ih_program_describe(void* program, char** error) {
  return ih_guarded<char*>(nullptr, error, [&] { return ih_text(static_cast<Program*>(program)->describe()); });
}

// Results stay with the returned handle until ih_results_free.
void* ih_program_run(void* program, void* const* inputs, const int* slots, size_t count, char** error) {
  return ih_guarded<void*>(nullptr, error, [&]() -> void* {
    Tensors given;
    given.reserve(count);
    for (size_t i = 0; i < count; i++) given.push_back(*static_cast<at::Tensor*>(inputs[i]));
    return new Results(static_cast<Program*>(program)->run(given, slots));
  });
}

void ih_results_free(void* results) { delete static_cast<Results*>(results); }

size_t ih_results_count(void* results) { return static_cast<Results*>(results)->tensors.size(); }

// The name of a result, or null where it has none of its own.
const char* ih_results_name(void* results, size_t at) {
  const auto& names = static_cast<Results*>(results)->names;
  return names.empty() ? nullptr : names[at].c_str();
}

// A result as a tensor of the caller's.
void* ih_results_take(void* results, size_t at) {
  return new at::Tensor(std::move(static_cast<Results*>(results)->tensors[at]));
}

// The folder of libtorch's own libraries.
char* ih_library_folder() {
#ifdef __linux__
  Dl_info info;
  const auto address = reinterpret_cast<const void*>(static_cast<int (*)()>(&at::get_num_threads));
  if (dladdr(address, &info) != 0 && info.dli_fname != nullptr)
    return ih_text(std::filesystem::path(info.dli_fname).parent_path().string());
#endif
  return nullptr;
}

// Loads a shared library for the rest of the process. 0 where that went well.
int ih_load_library(const char* path, char** error) {
#ifdef __linux__
  if (dlopen(path, RTLD_LAZY | RTLD_LOCAL) != nullptr) return 0;
  const char* reason = dlerror();
  *error = ih_text(reason != nullptr ? reason : "the system's loader gave no reason");
#else
  *error = ih_text("not tried on this system");
#endif
  return 1;
}

}

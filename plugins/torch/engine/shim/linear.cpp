// Products with weights in the forms that libtorch's fast kernels take.
#include "shim.h"

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/List.h>
#include <ATen/native/quantized/PackedParams.h>

namespace {

using OptionalTensor = std::optional<at::Tensor>;

OptionalTensor maybe(const at::Tensor* tensor) {
  return tensor == nullptr ? OptionalTensor() : OptionalTensor(*tensor);
}

template <typename F>
auto operation(const char* name, const char* overload) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, overload).typed<F>();
}

using Reorder = at::Tensor(const at::Tensor&, std::optional<int64_t>);
using Pointwise = at::Tensor(
    const at::Tensor&, const at::Tensor&, const OptionalTensor&, std::string_view,
    c10::List<std::optional<at::Scalar>>, std::optional<std::string_view>);
using Binary = at::Tensor(
    const at::Tensor&, const at::Tensor&, const at::Tensor&, const OptionalTensor&, std::string_view);
using Prepack = c10::intrusive_ptr<LinearPackedParamsBase>(at::Tensor, OptionalTensor);

}

extern "C" {

// `weight` [outputs, inputs] in the layout that oneDNN's products want.
at::Tensor* ih_onednn_pack(const at::Tensor* weight, char** error) {
  return ih_guarded<at::Tensor*>(nullptr, error, [&] {
    static auto op = operation<Reorder>("mkldnn::_reorder_linear_weight", "");
    return new at::Tensor(op.call(*weight, std::nullopt));
  });
}

// `input` [rows, inputs] times the packed weight, plus `bias`, through `activation` ("none", "relu", "gelu", "swish",
// "tanh"), with `algorithm` null or gelu's ("none", "tanh").
at::Tensor* ih_onednn_linear(
    const at::Tensor* input, const at::Tensor* packed, const at::Tensor* bias, const char* activation,
    const char* algorithm, char** error) {
  return ih_guarded<at::Tensor*>(nullptr, error, [&] {
    static auto op = operation<Pointwise>("mkldnn::_linear_pointwise", "");
    auto of_gelu = algorithm == nullptr ? std::nullopt : std::optional<std::string_view>(algorithm);
    return new at::Tensor(op.call(*input, *packed, maybe(bias), activation, c10::List<std::optional<at::Scalar>>(), of_gelu));
  });
}

// The same without an activation, then `other` added ("add") or multiplied ("mul").
at::Tensor* ih_onednn_linear_with(
    const at::Tensor* input, const at::Tensor* packed, const at::Tensor* bias, const at::Tensor* other,
    const char* how, char** error) {
  return ih_guarded<at::Tensor*>(nullptr, error, [&] {
    static auto op = operation<Binary>("mkldnn::_linear_pointwise", "binary");
    return new at::Tensor(op.call(*input, *other, *packed, maybe(bias), how));
  });
}

// `weight` [outputs, inputs] in float, quantised to 8 bits with a scale for each output and packed for FBGEMM.
void* ih_dynamic_pack(const at::Tensor* weight, const at::Tensor* bias, char** error) {
  return ih_guarded<void*>(nullptr, error, [&]() -> void* {
    at::globalContext().setQEngine(at::QEngine::FBGEMM);
    static auto op = operation<Prepack>("quantized::linear_prepack", "");
    auto largest = weight->abs().amax({1});
    auto scales = (largest / 127.0).clamp_min(1e-12).to(at::kDouble);
    auto zeros = at::zeros({weight->size(0)}, at::kLong);
    auto quantized = at::quantize_per_channel(*weight, scales, zeros, 0, at::kQInt8);
    return op.call(quantized, maybe(bias)).release();
  });
}

void ih_dynamic_free(void* packed) {
  c10::intrusive_ptr<LinearPackedParamsBase>::reclaim(static_cast<LinearPackedParamsBase*>(packed));
}

// `input` [rows, inputs] in float, quantised to 8 bits by its own range, times the packed weight, plus its bias.
// `reduce_range` leaves a bit unused, which processors without VNNI need to stay exact.
at::Tensor* ih_dynamic_linear(const at::Tensor* input, void* packed, int reduce_range, char** error) {
  return ih_guarded<at::Tensor*>(nullptr, error, [&] {
    auto* weight = static_cast<LinearPackedParamsBase*>(packed);
    return new at::Tensor(weight->apply_dynamic(*input, reduce_range != 0));
  });
}

}

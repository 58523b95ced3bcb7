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
// A scale cannot be made of these, and a kernel would hide them.
void refuse_unless_finite(const at::Tensor& largest) {
  TORCH_CHECK(largest.isfinite().all().item<bool>(), "a matrix holds NaN or infinity, which 8 and 4 bits cannot");
}

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
    auto largest = at::maximum(weight->amax({1}), -weight->amin({1}));
    refuse_unless_finite(largest);
    auto scales = (largest / 127.0).clamp_min(1e-12).to(at::kDouble);
    auto zeros = at::zeros({weight->size(0)}, at::kLong);
    auto quantized = at::quantize_per_channel(*weight, scales, zeros, 0, at::kQInt8);
    return op.call(quantized, maybe(bias)).release();
  });
}

// `weight` [outputs, inputs] in 8 bits, and in *scales one bfloat16 for each output. Scales are rounded before the weights
// are, so that these make up for it. Done `at_once` outputs at a time, as what is made on the way takes several times the
// memory.
at::Tensor* ih_int8_quantize(const at::Tensor* weight, int64_t at_once, at::Tensor** scales, char** error) {
  return ih_guarded<at::Tensor*>(nullptr, error, [&] {
    std::vector<at::Tensor> pieces, of_pieces;
    for (const auto& piece : weight->split(at_once)) {
      auto wide = piece.to(at::kFloat);
      auto largest = at::maximum(wide.amax({1}, true), -wide.amin({1}, true));
      refuse_unless_finite(largest);
      auto scale = largest.div(127.0).clamp_min(1e-12).to(at::kBFloat16);
      auto steps = wide.div(scale.to(at::kFloat)).round_().clamp_(-127.0, 127.0);
      pieces.push_back(steps.to(at::kChar));
      of_pieces.push_back(scale.flatten());
    }
    auto quantized = at::cat(pieces);
    *scales = new at::Tensor(at::cat(of_pieces));
    return new at::Tensor(quantized);
  });
}

// `weight` [outputs, inputs] in 4 bits, packed for the CPU's kernel, each `group` of inputs between its least and its
// largest weight in 15 steps; in *scales_and_zeros [groups, outputs, 2] in bfloat16: the kernel computes
// (q - 8) * scale + zero.
at::Tensor* ih_int4_pack(const at::Tensor* weight, int64_t group, at::Tensor** scales_and_zeros, char** error) {
  return ih_guarded<at::Tensor*>(nullptr, error, [&] {
    auto wide = weight->to(at::kFloat).reshape({weight->size(0), -1, group});
    auto least = wide.amin({2}, true), most = wide.amax({2}, true);
    refuse_unless_finite(most - least);
    auto scale = (most - least).div(15.0).clamp_min(1e-12).to(at::kBFloat16);
    auto step = scale.to(at::kFloat);
    auto zero = (least + step * 8.0).to(at::kBFloat16);
    auto lowest = zero.to(at::kFloat) - step * 8.0;
    auto steps = wide.sub(lowest).div_(step).round_().clamp_(0.0, 15.0).to(at::kInt);
    auto packed = at::_convert_weight_to_int4pack_for_cpu(steps.reshape(weight->sizes()).contiguous(), 1);
    *scales_and_zeros = new at::Tensor(at::cat({scale, zero}, 2).transpose(0, 1).contiguous());
    return new at::Tensor(packed);
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

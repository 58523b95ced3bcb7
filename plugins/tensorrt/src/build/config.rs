//! How the builder is told what the options ask for.

use crate::options::{HardwareCompatibility, Options};
use std::pin::Pin;
use trtx::trtx_sys::nvinfer1;
use trtx::{BuilderFlag, HardwareCompatibilityLevel, MemoryPoolType, ProfilingVerbosity};

/// Sets what does not depend on the network. A network of TensorRT 11 is always strongly typed, so that there is no flag
/// for precisions: they are those of the graph.
pub(super) fn configure(mut config: Pin<&mut nvinfer1::IBuilderConfig>, options: &Options) {
    // On unless cleared.
    match options.tf32 {
        true => config.as_mut().setFlag(BuilderFlag::kTF32.into()),
        false => config.as_mut().clearFlag(BuilderFlag::kTF32.into()),
    }
    if options.version_compatible {
        config.as_mut().setFlag(BuilderFlag::kVERSION_COMPATIBLE.into());
    }
    if let Some(limit) = options.workspace_mb {
        config.as_mut().setMemoryPoolLimit(MemoryPoolType::kWORKSPACE.into(), (limit as usize) << 20);
    }
    config.as_mut().setBuilderOptimizationLevel(options.builder_level.0.into());
    let level = match options.hardware_compatibility {
        HardwareCompatibility::None => HardwareCompatibilityLevel::kNONE,
        HardwareCompatibility::AmperePlus => HardwareCompatibilityLevel::kAMPERE_PLUS,
        HardwareCompatibility::SameComputeCapability => HardwareCompatibilityLevel::kSAME_COMPUTE_CAPABILITY,
    };
    config.as_mut().setHardwareCompatibilityLevel(level.into());
    // Without it the inspector tells names alone, and no claim could be checked.
    config.as_mut().setProfilingVerbosity(ProfilingVerbosity::kDETAILED.into());
}

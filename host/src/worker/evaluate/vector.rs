//! A loop compiled once for every width of vector registers, and the widest that this processor has. The one module of
//! the host with unsafe code: that a processor has what the compiler was told to use is not known to the compiler.
#![expect(unsafe_code, reason = "functions for newer processors may be called only on these")]

/// A computation over slices of numbers. Its `run` must be `#[inline(always)]`, and so must all that runs inside it:
/// what is not inlined is compiled for the oldest processor.
pub(super) trait Kernel {
    /// What comes out.
    type Output;

    /// Computes it; `FMA`: whether `a * b + c` is one instruction.
    fn run<const FMA: bool>(self) -> Self::Output;
}

/// Runs `kernel`.
#[cfg(target_arch = "x86_64")]
pub(super) fn widest<K: Kernel>(kernel: K) -> K::Output {
    if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512dq") {
        // SAFETY: the processor has both features, and the system saves their registers: the macro asks for that too.
        return unsafe { avx512(kernel) };
    }
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: as above.
        return unsafe { avx2(kernel) };
    }
    kernel.run::<false>()
}

/// Runs `kernel`. What the compiler may use anyhow is the widest there is.
#[cfg(not(target_arch = "x86_64"))]
pub(super) fn widest<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<{ cfg!(target_arch = "aarch64") }>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq")]
fn avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<true>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run::<true>()
}

/// a * b + c, with one rounding or two.
#[inline(always)]
pub(super) fn multiply_add<const FMA: bool>(a: f64, b: f64, c: f64) -> f64 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

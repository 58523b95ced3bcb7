//! Log-probabilities of given tokens under logits: ln softmax(logits)[token], reduced in f64.
//!
//! A window of 1,024 tokens has 50 million logits with GPT-2's vocabulary, and a `libm` exponential of each takes as
//! long as a small model itself. So the sum is written for the compiler to vectorise, and positions are shared out
//! over as many threads as the runtime uses.

use inferhost_plugin_api::{Error, ErrorKind};
use pulp::{Arch, Simd, WithSimd};
use std::f64::consts::{LN_2, LOG2_E};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Positions that a thread takes at a time: little enough to end together.
const PIECE: usize = 16;
/// Logits below which another thread costs more than it gives.
const WORTH_A_THREAD: usize = 1 << 19;
/// Exponents are kept within this, and a sum near `exp` of it is not trusted.
const LIMIT: f64 = 700.0;

/// Consecutive positions of one row.
pub(crate) struct Piece<'a> {
    /// `[positions, vocab]`.
    logits: &'a [f32],
    /// The token after each position.
    next: &'a [u32],
    /// Where their logprobs go.
    to: &'a mut [f64],
}

impl<'a> Piece<'a> {
    /// A row's positions in pieces; `next` and `to` have one entry for each.
    pub(crate) fn of_row(
        logits: &'a [f32],
        next: &'a [u32],
        to: &'a mut [f64],
        vocab: usize,
    ) -> impl Iterator<Item = Self> {
        let places = next.chunks(PIECE).zip(to.chunks_mut(PIECE));
        logits.chunks(PIECE * vocab).zip(places).map(|(logits, (next, to))| Self { logits, next, to })
    }

    fn reduce(self, vocab: usize) -> Result<(), Error> {
        let positions = self.logits.chunks_exact(vocab).zip(self.next).zip(self.to);
        positions.into_iter().try_for_each(|((logits, &token), to)| {
            *to = logprob(logits, token)?;
            Ok(())
        })
    }
}

/// Reduces all pieces on up to `threads` threads, the caller's among them.
///
/// # Errors
/// [`ErrorKind::NumericalFault`] for logits that hold NaN or have no finite maximum.
pub(crate) fn reduce(pieces: Vec<Piece<'_>>, vocab: usize, threads: usize) -> Result<(), Error> {
    let logits: usize = pieces.iter().map(|piece| piece.logits.len()).sum();
    let threads = threads.min(pieces.len()).min(logits / WORTH_A_THREAD + 1);
    let queue = Mutex::new(pieces.into_iter());
    let work = || {
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        std::iter::from_fn(next).try_for_each(|piece| piece.reduce(vocab))
    };
    thread::scope(|scope| {
        // A thread that the system does not give is done without.
        let spawn = |_| thread::Builder::new().spawn_scoped(scope, work).ok();
        let others: Vec<_> = (1..threads).filter_map(spawn).collect();
        let own = work();
        let joined = others.into_iter().map(|other| match other.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        joined.fold(own, Result::and)
    })
}

/// ln softmax(logits)[token].
fn logprob(logits: &[f32], token: u32) -> Result<f64, Error> {
    let own = logits.get(token as usize).copied().map_or(f64::NAN, f64::from);
    // With the token's own logit taken out, its term is 1: the sum cannot vanish, and no pass for the maximum is
    // needed unless another one is so much larger that it overflows.
    let sum = Arch::new().dispatch(SumExp { logits, shift: own });
    if sum < (LIMIT - 1.0).exp() { Ok(-sum.ln()) } else { logprob_of_any(logits, own) }
}

/// The same where numbers are large, infinite or none at all.
fn logprob_of_any(logits: &[f32], own: f64) -> Result<f64, Error> {
    let largest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = logits.iter().map(|&logit| (f64::from(logit) - largest).exp()).sum();
    if sum.is_finite() && largest.is_finite() && !own.is_nan() {
        return Ok(own - largest - sum.ln());
    }
    Err(Error::new(ErrorKind::NumericalFault, "the model's logits hold NaN or have no finite maximum"))
}

/// The sum of exp(logit - shift), for the widest vectors that this machine has; NaN where a logit is.
struct SumExp<'a> {
    logits: &'a [f32],
    shift: f64,
}

impl WithSimd for SumExp<'_> {
    type Output = f64;

    // Inlined, or it would be compiled for the narrowest.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f64 {
        let mut sums = [0.0; 16];
        let (blocks, rest) = self.logits.as_chunks::<16>();
        for block in blocks {
            for (sum, &logit) in sums.iter_mut().zip(block) {
                *sum += exp::<S>(f64::from(logit) - self.shift);
            }
        }
        let rest = rest.iter().map(|&logit| exp::<S>(f64::from(logit) - self.shift));
        sums.iter().sum::<f64>() + rest.sum::<f64>()
    }
}

/// e^x within 1e-8 of its value, in operations that vectorise; `x` beyond ±[`LIMIT`] counts as that, NaN stays.
///
/// x = n ln 2 + r with |r| <= ln 2 / 2: Taylor's polynomial of degree 7 in r, times 2^n put together from its bits.
#[inline(always)]
fn exp<S: Simd>(x: f64) -> f64 {
    // Adding 1.5 * 2^52 rounds to a whole number, which then lies in the low bits; 1023 is the exponent's bias.
    const ROUND: f64 = 6_755_399_441_055_744.0 + 1023.0;
    let x = if x < -LIMIT { -LIMIT } else { x };
    let x = if x > LIMIT { LIMIT } else { x };
    let shifted = multiply_add::<S>(x, LOG2_E, ROUND);
    let r = multiply_add::<S>(ROUND - shifted, LN_2, x);
    let coefficients = [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];
    let polynomial = coefficients.iter().fold(1.0 / 5040.0, |sum, &next| multiply_add::<S>(sum, r, next));
    polynomial * f64::from_bits(shifted.to_bits() << 52)
}

/// `a * b + c`, fused where the machine can: elsewhere that would be a call of `libm`.
#[inline(always)]
fn multiply_add<S: Simd>(a: f64, b: f64, c: f64) -> f64 {
    if S::IS_SCALAR { a * b + c } else { a.mul_add(b, c) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulp::Scalar;

    #[test]
    fn exponentials_are_close_from_end_to_end() {
        for step in -140_000..=140_000 {
            let x = f64::from(step) / 200.0;
            assert!((exp::<Scalar>(x) / x.exp() - 1.0).abs() < 1e-8, "{x}");
        }
        assert!(exp::<Scalar>(f64::NAN).is_nan());
        assert!(exp::<Scalar>(f64::NEG_INFINITY) < 1e-300 && exp::<Scalar>(f64::INFINITY) > 1e300);
    }

    #[test]
    fn logprobs_are_within_a_ten_millionth() {
        // All magnitudes, also where the token asked for is the least likely.
        for scale in [0.01f32, 1.0, 10.0, 100.0, 2000.0] {
            let logits: Vec<f32> = (0..1037u32)
                .map(|at| scale * ((at.wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 24) as f32 - 0.5))
                .collect();
            for token in [0, 1, 500, 1036] {
                let exact = logprob_of_any(&logits, f64::from(logits[token as usize])).unwrap();
                assert!((logprob(&logits, token).unwrap() - exact).abs() < 1e-7, "{scale} {token}");
            }
        }
    }

    #[test]
    fn large_logits_do_not_overflow() {
        for shift in [0.0, 1e4, -1e4] {
            let logits = [shift, shift + 1.0, shift + 2.0];
            // ln(e^2 / (1 + e + e^2))
            assert!((logprob(&logits, 2).unwrap() - -0.407_605_964_444_380_1).abs() < 1e-8);
        }
        assert!((logprob(&[-5e3, 5e3], 0).unwrap() - -1e4).abs() < 1e-8);
    }

    #[test]
    fn an_impossible_token_has_minus_infinity_and_nan_is_a_fault() {
        assert_eq!(logprob(&[0.0, f32::NEG_INFINITY], 1).unwrap(), f64::NEG_INFINITY);
        for logits in [[0.0, f32::NAN], [f32::NEG_INFINITY; 2], [0.0, f32::INFINITY], [f32::INFINITY, 0.0]] {
            assert_eq!(logprob(&logits, 0).unwrap_err().kind, ErrorKind::NumericalFault);
        }
    }

    #[test]
    fn pieces_are_reduced_alike_by_any_number_of_threads() {
        let (vocab, positions) = (4096, 300);
        let logits: Vec<f32> = (0..vocab * positions).map(|at| (at * 31 % 1009) as f32 / 100.0).collect();
        let next: Vec<u32> = (0..positions as u32).map(|at| at * 13 % 4096).collect();
        let reduced = |threads| {
            let mut to = vec![0.0; positions];
            let (first, second) = to.split_at_mut(37);
            let split = 37 * vocab;
            let rows = Piece::of_row(&logits[..split], &next[..37], first, vocab).chain(Piece::of_row(
                &logits[split..],
                &next[37..],
                second,
                vocab,
            ));
            reduce(rows.collect(), vocab, threads).unwrap();
            to
        };
        let alone = reduced(1);
        assert!(alone.iter().all(|&logprob| logprob < 0.0));
        assert_eq!(reduced(3), alone);
    }
}

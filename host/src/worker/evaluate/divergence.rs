//! Two backends' distributions over the next token, position by position: the sums that perplexity, KL divergence,
//! top-1 agreement and logit differences are made of. Each logit is read in its own type and everything is summed in
//! f64; positions are shared out over the machine's cores.

use super::exp::exp;
use super::vector::{Kernel, widest};
use bytemuck::Pod;
use rayon::prelude::*;

/// Values summed side by side, so that the compiler can keep them in vector registers.
const LANES: usize = 8;

/// A logit: f32 or f64.
pub(super) trait Logit: Pod + Into<f64> + Send + Sync {}

impl Logit for f32 {}
impl Logit for f64 {}

/// What one position's logits say of the token that followed, and of the reference's logits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Position {
    /// ln p of the token that followed; not finite where a logit is not.
    pub(super) logprob: f64,
    /// KL(reference || own), nats.
    pub(super) kl: f64,
    /// Whether both have their largest logit at the same token, the first of equal ones.
    pub(super) same_top: bool,
    /// Sum of |own - reference| over the vocabulary.
    pub(super) difference_sum: f64,
    /// The largest of them.
    pub(super) difference_max: f64,
}

/// ln softmax(logits)[target] of every position; `logits` holds `vocab` values for each of `targets`.
pub(super) fn logprobs<T: Logit>(logits: &[T], vocab: usize, targets: &[u32]) -> Vec<f64> {
    let positions = logits.par_chunks_exact(vocab).zip(targets);
    positions.map(|(own, &target)| widest(Alone { own, target: target as usize })).collect()
}

/// Every position of `own` against the same of `reference`; both hold `vocab` values for each of `targets`.
pub(super) fn compare<R: Logit, T: Logit>(
    reference: &[R],
    own: &[T],
    vocab: usize,
    targets: &[u32],
) -> Vec<Position> {
    let pairs = reference.par_chunks_exact(vocab).zip(own.par_chunks_exact(vocab)).zip(targets);
    pairs
        .map(|((reference, own), &target)| widest(Compared { reference, own, target: target as usize }))
        .collect()
}

struct Alone<'a, T> {
    own: &'a [T],
    target: usize,
}

impl<T: Logit> Kernel for Alone<'_, T> {
    type Output = f64;

    #[inline(always)]
    fn run<const FMA: bool>(self) -> f64 {
        logprob::<FMA, T>(self.own, self.target)
    }
}

struct Compared<'a, R, T> {
    reference: &'a [R],
    own: &'a [T],
    target: usize,
}

impl<R: Logit, T: Logit> Kernel for Compared<'_, R, T> {
    type Output = Position;

    #[inline(always)]
    fn run<const FMA: bool>(self) -> Position {
        position::<FMA, R, T>(self.reference, self.own, self.target)
    }
}

#[inline(always)]
fn logprob<const FMA: bool, T: Logit>(logits: &[T], target: usize) -> f64 {
    let first = Own { top: f64::NEG_INFINITY, sum: 0.0 };
    let Own { top, sum } = fold(logits, logits, first, Own::with, Own::join);
    let total = fold(
        logits,
        logits,
        0.0,
        #[inline(always)]
        |total, own, _| total + exp::<FMA>(own - top),
        #[inline(always)]
        |a, b| a + b,
    );
    // A logit of minus infinity would go unseen in `total`.
    if sum.is_finite() { at(logits, target) - top - total.ln() } else { f64::NAN }
}

/// KL(P || Q) = sum p ln(p / q), Kullback and Leibler, "On Information and Sufficiency", 1951. With p = e^(r - R) / Z_r
/// and q = e^(o - O) / Z_o it is (sum e^(r - R) (r - o)) / Z_r + (O + ln Z_o) - (R + ln Z_r).
#[inline(always)]
fn position<const FMA: bool, R: Logit, T: Logit>(reference: &[R], own: &[T], target: usize) -> Position {
    let below = f64::NEG_INFINITY;
    let first = Tops { reference: below, own: below, difference_sum: 0.0, difference_max: 0.0 };
    let tops = fold(reference, own, first, Tops::with, Tops::join);
    let (top_r, top_o) = (tops.reference, tops.own);
    let sums = fold(
        reference,
        own,
        Sums::default(),
        #[inline(always)]
        |sums: Sums, r, o| {
            let weight = exp::<FMA>(r - top_r);
            Sums {
                reference: sums.reference + weight,
                own: sums.own + exp::<FMA>(o - top_o),
                cross: sums.cross + weight * (r - o),
            }
        },
        Sums::join,
    );
    let kl = sums.cross / sums.reference + (top_o - top_r) + (sums.own / sums.reference).ln();
    let finite = tops.difference_sum.is_finite();
    Position {
        logprob: if finite { at(own, target) - top_o - sums.own.ln() } else { f64::NAN },
        // Below 0 by rounding alone: Gibbs' inequality.
        kl: kl.max(0.0),
        same_top: first_at(reference, top_r) == first_at(own, top_o),
        difference_sum: tops.difference_sum,
        difference_max: tops.difference_max,
    }
}

/// The largest logit and the sum of all.
#[derive(Clone, Copy)]
struct Own {
    top: f64,
    sum: f64,
}

impl Own {
    #[inline(always)]
    fn with(self, own: f64, _: f64) -> Self {
        Self { top: greater(self.top, own), sum: self.sum + own }
    }

    #[inline(always)]
    fn join(self, other: Self) -> Self {
        Self { top: greater(self.top, other.top), sum: self.sum + other.sum }
    }
}

#[derive(Clone, Copy)]
struct Tops {
    reference: f64,
    own: f64,
    difference_sum: f64,
    difference_max: f64,
}

impl Tops {
    #[inline(always)]
    fn with(self, r: f64, o: f64) -> Self {
        let difference = (o - r).abs();
        Self {
            reference: greater(self.reference, r),
            own: greater(self.own, o),
            difference_sum: self.difference_sum + difference,
            difference_max: greater(self.difference_max, difference),
        }
    }

    #[inline(always)]
    fn join(self, other: Self) -> Self {
        Self {
            reference: greater(self.reference, other.reference),
            own: greater(self.own, other.own),
            difference_sum: self.difference_sum + other.difference_sum,
            difference_max: greater(self.difference_max, other.difference_max),
        }
    }
}

#[derive(Clone, Copy, Default)]
struct Sums {
    reference: f64,
    own: f64,
    cross: f64,
}

impl Sums {
    #[inline(always)]
    fn join(self, other: Self) -> Self {
        Self {
            reference: self.reference + other.reference,
            own: self.own + other.own,
            cross: self.cross + other.cross,
        }
    }
}

/// Folds two equally long slices in [`LANES`] lanes and joins the lanes.
#[inline(always)]
fn fold<A: Logit, B: Logit, S: Copy>(
    a: &[A],
    b: &[B],
    first: S,
    with: impl Fn(S, f64, f64) -> S,
    join: impl Fn(S, S) -> S,
) -> S {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut lanes = [first; LANES];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            lanes[lane] = with(lanes[lane], a[lane].into(), b[lane].into());
        }
    }
    let rest = a_rest.iter().zip(b_rest).fold(first, |sum, (&a, &b)| with(sum, a.into(), b.into()));
    lanes.into_iter().fold(rest, join)
}

/// `f64::max` without its care for NaN, which costs instructions; the sums beside it tell of NaN.
#[inline(always)]
fn greater(a: f64, b: f64) -> f64 {
    if b > a { b } else { a }
}

fn first_at<T: Logit>(logits: &[T], top: f64) -> Option<usize> {
    logits.iter().position(|&logit| logit.into() == top)
}

fn at<T: Logit>(logits: &[T], index: usize) -> f64 {
    logits.get(index).map_or(f64::NAN, |&logit| logit.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-14
    }

    /// p = (1/2, 1/4, 1/4), q = (1/4, 1/2, 1/4): KL = 1/2 ln 2 - 1/4 ln 2, by hand.
    #[test]
    fn a_divergence_computed_by_hand() {
        let ln = |p: [f64; 3]| p.map(f64::ln);
        let (p, q) = (ln([0.5, 0.25, 0.25]), ln([0.25, 0.5, 0.25]));
        let found = compare(&p, &q.map(|logit| logit + 7.0), 3, &[0])[0];
        assert!(close(found.kl, 0.25 * 2.0_f64.ln()), "{found:?}");
        assert!(close(found.logprob, 0.25_f64.ln()) && !found.same_top);
        let found = compare(&p, &q, 3, &[1])[0];
        assert!(close(found.difference_sum, 2.0 * 2.0_f64.ln()) && close(found.difference_max, 2.0_f64.ln()));
        assert!(close(logprobs(&p, 3, &[0])[0], 0.5_f64.ln()));
    }

    #[test]
    fn a_distribution_against_itself_is_nothing_in_either_type() {
        let wide: Vec<f64> = (0..203).map(|i| f64::from(i * 37 % 101) / 7.0 - 60.0).collect();
        let narrow: Vec<f32> = wide.iter().map(|&x| x as f32).collect();
        let same = compare(&narrow, &narrow, 203, &[5])[0];
        assert!(same.kl < 1e-15 && same.same_top && same.difference_max == 0.0, "{same:?}");
        let rounded = compare(&wide, &narrow, 203, &[5])[0];
        assert!(rounded.kl < 1e-11 && rounded.difference_max > 0.0 && rounded.difference_max < 1e-5);
        let direct: f64 = wide.iter().map(|x| x.exp()).sum::<f64>().ln();
        assert!((logprobs(&wide, 203, &[5])[0] - (wide[5] - direct)).abs() < 1e-13);
        assert!((compare(&narrow, &wide, 203, &[5])[0].logprob - (wide[5] - direct)).abs() < 1e-13);
    }

    #[test]
    fn equal_largest_logits_count_by_the_first() {
        let found = compare(&[1.0_f32, 2.0, 2.0], &[1.0_f32, 2.0, 1.5], 3, &[0])[0];
        assert!(found.same_top);
    }

    #[test]
    fn what_is_not_finite_shows() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for at in [0, 9] {
                let mut logits = [0.5_f32; 10];
                logits[at] = bad;
                assert!(!logprobs(&logits, 10, &[3])[0].is_finite(), "{bad} at {at}");
                assert!(!compare(&[0.5_f32; 10], &logits, 10, &[3])[0].logprob.is_finite(), "{bad} at {at}");
            }
        }
    }

    /// Printed, not asserted: `cargo test --release -p inferhost a_window_of_gpt2 -- --nocapture`.
    #[test]
    fn a_window_of_gpt2_takes_this_long() {
        let positions = if cfg!(debug_assertions) { 8 } else { 1024 };
        let vocab = 50_257;
        let logits: Vec<f32> =
            (0..positions * vocab).map(|i| (i * 7919 % 1000) as f32 / 50.0 - 10.0).collect();
        let targets = vec![1; positions];
        let start = std::time::Instant::now();
        let alone = logprobs(&logits, vocab, &targets);
        let middle = start.elapsed();
        let both = compare(&logits, &logits, vocab, &targets);
        println!("{positions} positions: {middle:?} alone, {:?} compared", start.elapsed() - middle);
        assert!((alone[0] - both[0].logprob).abs() < 1e-12);
    }
}

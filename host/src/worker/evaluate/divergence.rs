//! Two backends' distributions over the next token, position by position: the sums that perplexity, KL divergence,
//! top-1 agreement and logit differences are made of. Each logit is read in its own type and everything is summed in
//! f64; positions are shared out over the machine's cores.

use super::exp::exp;
use super::vector::{Kernel, multiply_add, widest};
use bytemuck::Pod;
use rayon::prelude::*;

/// Values summed side by side, so that the compiler can keep them in vector registers.
const LANES: usize = 8;
/// Takes no part: finite, below any logit, its exponential nothing, its difference from itself 0.
const FILLER: f64 = -1e300;

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
    let (mut tops, mut sums) = ([f64::NEG_INFINITY; LANES], [0.0; LANES]);
    each(
        logits,
        logits,
        #[inline(always)]
        |own, _| {
            for lane in 0..LANES {
                tops[lane] = greater(tops[lane], own[lane]);
                sums[lane] += own[lane];
            }
        },
    );
    let top = largest(tops);
    let mut totals = [0.0; LANES];
    each(
        logits,
        logits,
        #[inline(always)]
        |own, _| {
            for lane in 0..LANES {
                totals[lane] += exp::<FMA>(own[lane] - top);
            }
        },
    );
    // A logit of minus infinity would go unseen in `totals`.
    let finite = sums.iter().all(|sum| sum.is_finite());
    if finite { at(logits, target) - top - totals.iter().sum::<f64>().ln() } else { f64::NAN }
}

/// KL(P || Q) = sum p ln(p / q), Kullback and Leibler, "On Information and Sufficiency", 1951. With p = e^(r - R) / Z_r
/// and q = e^(o - O) / Z_o it is (sum e^(r - R) (r - o)) / Z_r + (O + ln Z_o) - (R + ln Z_r).
#[inline(always)]
fn position<const FMA: bool, R: Logit, T: Logit>(reference: &[R], own: &[T], target: usize) -> Position {
    let Tops { reference: top_r, own: top_o, difference_sum, difference_max } = tops(reference, own);
    let (mut weights, mut others, mut crosses) = ([0.0; LANES], [0.0; LANES], [0.0; LANES]);
    each(
        reference,
        own,
        #[inline(always)]
        |r, o| {
            for lane in 0..LANES {
                let weight = exp::<FMA>(r[lane] - top_r);
                weights[lane] += weight;
                others[lane] += exp::<FMA>(o[lane] - top_o);
                crosses[lane] = multiply_add::<FMA>(weight, r[lane] - o[lane], crosses[lane]);
            }
        },
    );
    let [z_r, z_o, cross] = [weights, others, crosses].map(|lanes| lanes.iter().sum::<f64>());
    let kl = cross / z_r + (top_o - top_r) + (z_o / z_r).ln();
    let logprob = at(own, target) - top_o - z_o.ln();
    Position {
        logprob: if difference_sum.is_finite() { logprob } else { f64::NAN },
        // Below 0 by rounding alone: Gibbs' inequality.
        kl: kl.max(0.0),
        same_top: first_at(reference, top_r) == first_at(own, top_o),
        difference_sum,
        difference_max,
    }
}

struct Tops {
    reference: f64,
    own: f64,
    difference_sum: f64,
    difference_max: f64,
}

#[inline(always)]
fn tops<R: Logit, T: Logit>(reference: &[R], own: &[T]) -> Tops {
    // Three short loops: in one, the compiler no longer keeps each array in a register of its own.
    let (mut sums, mut most) = ([0.0; LANES], [0.0; LANES]);
    each(
        reference,
        own,
        #[inline(always)]
        |r, o| {
            for lane in 0..LANES {
                let difference = (o[lane] - r[lane]).abs();
                sums[lane] += difference;
                most[lane] = greater(most[lane], difference);
            }
        },
    );
    Tops {
        reference: top(reference),
        own: top(own),
        difference_sum: sums.iter().sum(),
        difference_max: largest(most),
    }
}

#[inline(always)]
fn top<T: Logit>(logits: &[T]) -> f64 {
    let mut tops = [f64::NEG_INFINITY; LANES];
    each(
        logits,
        logits,
        #[inline(always)]
        |own, _| {
            for lane in 0..LANES {
                tops[lane] = greater(tops[lane], own[lane]);
            }
        },
    );
    largest(tops)
}

/// Hands two equally long slices to `take`, [`LANES`] at a time; the last lanes are filled up with [`FILLER`].
#[inline(always)]
fn each<A: Logit, B: Logit>(a: &[A], b: &[B], mut take: impl FnMut([f64; LANES], [f64; LANES])) {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        take(wide(a), wide(b));
    }
    if !a_rest.is_empty() {
        take(filled(a_rest), filled(b_rest));
    }
}

#[inline(always)]
fn wide<T: Logit>(values: &[T; LANES]) -> [f64; LANES] {
    let mut wide = [0.0; LANES];
    for lane in 0..LANES {
        wide[lane] = values[lane].into();
    }
    wide
}

fn filled<T: Logit>(values: &[T]) -> [f64; LANES] {
    let mut filled = [FILLER; LANES];
    for (lane, &value) in filled.iter_mut().zip(values) {
        *lane = value.into();
    }
    filled
}

fn largest(lanes: [f64; LANES]) -> f64 {
    lanes.into_iter().fold(f64::NEG_INFINITY, greater)
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

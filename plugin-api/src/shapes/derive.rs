//! From the shapes that will be submitted to few profiles.
//!
//! The rule: every range of shapes is a profile at first, tuned for its largest shape. Prefills and decode steps never
//! share one, since they want other kernels. Of a kind, the two that are nearest become one as long as neither the
//! largest batches nor the longest rows put together differ by more than [`SPREAD`] times; then, nearest first, until
//! there are no more than [`MOST_PROFILES`]. A profile is tuned for the largest shape of all that it was made of. Of
//! very many ranges, those whose largest shapes lie between the same powers of [`SPREAD`] are put together first.

use super::{Profile, Shape, Shapes, Span};
use std::collections::BTreeMap;

/// Most profiles of an engine: each costs build time, and memory for its kernels' plans.
pub const MOST_PROFILES: usize = 8;
/// Kernels that are chosen for one size serve sizes this many times smaller well.
const SPREAD: u32 = 4;
/// More ranges than this are sorted into powers of [`SPREAD`] first: looking for the nearest two takes the square of them.
const MANY: usize = 256;

/// The profiles of an engine that is to run all of `submitted`; the order does not matter. Shapes that feed several
/// tokens to a cache that may hold some go with the prefills.
pub fn profiles_for(submitted: &[Shapes]) -> Vec<Profile> {
    let mut drafts: Vec<Draft> = submitted.iter().map(Draft::new).collect();
    drafts.sort();
    drafts.dedup();
    if drafts.len() > MANY {
        drafts = by_power(&drafts);
    }
    join(&mut drafts, |merged, _| merged.is_tight());
    join(&mut drafts, |_, count| count > MOST_PROFILES);
    drafts.sort();
    drafts.iter().map(|draft| Profile::tuned(&draft.shapes, draft.opt)).collect()
}

/// One draft for each kind and powers of [`SPREAD`] between which a largest shape lies; `drafts` are sorted.
fn by_power(drafts: &[Draft]) -> Vec<Draft> {
    let mut powers: BTreeMap<(bool, u32, u32), Draft> = BTreeMap::new();
    for draft in drafts {
        let power = |size: u32| size.max(1).ilog(SPREAD);
        let key = (draft.is_step, power(draft.opt.batch), power(length(&draft.opt)));
        powers
            .entry(key)
            .and_modify(|one| {
                if let Some(merged) = one.with(draft) {
                    *one = merged;
                }
            })
            .or_insert_with(|| draft.clone());
    }
    powers.into_values().collect()
}

/// Joins the nearest two of a kind as long as `wanted` says so of the result and of how many there are.
fn join(drafts: &mut Vec<Draft>, wanted: impl Fn(&Draft, usize) -> bool) {
    loop {
        let pairs = (0..drafts.len()).flat_map(|a| (a + 1..drafts.len()).map(move |b| (a, b)));
        let candidates = pairs.filter_map(|(a, b)| {
            let merged = drafts[a].with(&drafts[b])?;
            wanted(&merged, drafts.len()).then(|| (drafts[a].distance(&drafts[b]), a, b, merged))
        });
        let nearest = candidates.min_by(|x, y| x.0.total_cmp(&y.0).then((x.1, x.2).cmp(&(y.1, y.2))));
        let Some((_, a, b, merged)) = nearest else { return };
        drafts.remove(b);
        drafts[a] = merged;
        drafts.sort();
    }
}

/// A profile in the making.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Draft {
    is_step: bool,
    shapes: Shapes,
    opt: Shape,
    /// The largest batches of what it was made of.
    batches: Span,
    /// The longest rows, cached positions included, of what it was made of.
    lengths: Span,
}

impl Draft {
    fn new(shapes: &Shapes) -> Self {
        let opt = shapes.largest();
        Self {
            is_step: shapes.past.min > 0 && shapes.tokens.max == 1,
            shapes: *shapes,
            opt,
            batches: Span::of(opt.batch),
            lengths: Span::of(length(&opt)),
        }
    }

    /// Both; none where they are of two kinds.
    fn with(&self, other: &Self) -> Option<Self> {
        (self.is_step == other.is_step).then(|| Self {
            is_step: self.is_step,
            shapes: self.shapes.and(&other.shapes),
            opt: std::cmp::max_by_key(self.opt, other.opt, |opt| (positions(opt), *opt)),
            batches: self.batches.and(other.batches),
            lengths: self.lengths.and(other.lengths),
        })
    }

    fn is_tight(&self) -> bool {
        ratio(self.batches) <= f64::from(SPREAD) && ratio(self.lengths) <= f64::from(SPREAD)
    }

    /// By how much their largest shapes differ, in factors.
    fn distance(&self, other: &Self) -> f64 {
        let apart = |a: u32, b: u32| (f64::from(a.max(1)).ln() - f64::from(b.max(1)).ln()).abs();
        apart(self.opt.batch, other.opt.batch) + apart(length(&self.opt), length(&other.opt))
    }
}

fn ratio(span: Span) -> f64 {
    f64::from(span.max) / f64::from(span.min.max(1))
}

const fn length(shape: &Shape) -> u32 {
    shape.tokens.saturating_add(shape.past)
}

/// Rows times what each of them is long.
pub(super) fn positions(shape: &Shape) -> u64 {
    u64::from(shape.batch) * u64::from(length(shape))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shapes::covering;
    use rand_core::{Rng, SeedableRng};
    use rand_xoshiro::Xoshiro256PlusPlus;

    #[test]
    fn the_first_study_needs_few() {
        // Prefill, cached and uncached generation of its six scenarios.
        let scenarios = [(1, 8, 8), (1, 19, 16), (1, 76, 32), (4, 8, 8), (4, 19, 16), (4, 76, 32)];
        let submitted: Vec<Shapes> = scenarios
            .iter()
            .flat_map(|&(batch, prompt, new)| {
                let batch = Span::of(batch);
                [
                    Shapes::prefill(batch, Span::of(prompt)),
                    Shapes::decode(batch, Span::new(prompt, prompt + new - 2)),
                    Shapes::prefill(batch, Span::new(prompt, prompt + new - 1)),
                ]
            })
            .collect();
        let profiles = profiles_for(&submitted);
        assert!(submitted.iter().all(|shapes| covering(&profiles, shapes).is_some()));
        let shown: Vec<_> = profiles.iter().map(ToString::to_string).collect();
        let expected =
            ["1..4 x 8", "1..4 x 8..34", "1..4 x 76..107", "1..4 x 1 after 8..33", "1..4 x 1 after 76..106"];
        assert_eq!(shown, expected);
    }

    /// Random matrices: whatever is submitted lies in a profile, there are few of them, no bound is wider than what is
    /// submitted, and the order of what is submitted does not matter.
    #[test]
    fn random_matrices_are_covered_by_few() {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(11);
        let mut below = |most: u32| u32::try_from(random.next_u64() % u64::from(most)).unwrap() + 1;
        for _ in 0..300 {
            let mut submitted: Vec<Shapes> = (0..below(40))
                .map(|_| {
                    let (batch, prompt, new) = (Span::of(below(64)), below(2000), below(300));
                    match below(3) {
                        1 => Shapes::prefill(batch, Span::of(prompt)),
                        2 => Shapes::prefill(batch, Span::new(prompt, prompt + new)),
                        _ => Shapes::decode(batch, Span::new(prompt, prompt + new)),
                    }
                })
                .collect();
            let profiles = profiles_for(&submitted);
            assert!(profiles.len() <= MOST_PROFILES, "{}", profiles.len());
            for shapes in &submitted {
                assert!(covering(&profiles, shapes).is_some(), "{shapes} in none of {profiles:?}");
            }
            let all = |get: fn(&Shapes) -> Span| submitted.iter().map(get).reduce(Span::and).unwrap();
            for profile in profiles.iter().map(Profile::shapes) {
                assert!(all(|s| s.batch).holds(profile.batch) && all(|s| s.tokens).holds(profile.tokens));
            }
            assert!(
                profiles.iter().all(|p| p.past.max == 0 || p.tokens.max == 1),
                "no profile is of two kinds"
            );
            submitted.reverse();
            assert_eq!(profiles_for(&submitted), profiles);
        }
    }

    #[test]
    fn very_many_ranges_are_put_together_too() {
        let submitted: Vec<Shapes> = (1..20_000)
            .map(|n| Shapes::decode(Span::of(n % 97 + 1), Span::new(n, n + n % 13)))
            .chain((1..20_000).map(|n| Shapes::prefill(Span::of(n % 53 + 1), Span::of(n))))
            .collect();
        let profiles = profiles_for(&submitted);
        assert!(profiles.len() <= MOST_PROFILES);
        assert!(submitted.iter().all(|shapes| covering(&profiles, shapes).is_some()));
    }

    #[test]
    fn the_ends_of_what_fits_32_bits_are_no_trouble() {
        let most = i32::MAX as u32;
        let submitted = [
            Shapes::prefill(Span::new(1, most), Span::new(1, most)),
            Shapes::decode(Span::of(most), Span::new(1, most)),
            Shapes::decode(Span::of(u32::MAX), Span::new(u32::MAX, u32::MAX)),
        ];
        let profiles = profiles_for(&submitted);
        assert!(submitted.iter().all(|shapes| covering(&profiles, shapes).is_some()));
        assert!(profiles_for(&[]).is_empty());
    }

    #[test]
    fn the_whole_context_takes_two() {
        let shown: Vec<_> = profiles_for(&Shapes::whole(8, 1024)).iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["1..8 x 1..1024", "1..8 x 1 after 1..1023"]);
        assert_eq!(profiles_for(&Shapes::whole(8, 1)).len(), 1);
    }
}

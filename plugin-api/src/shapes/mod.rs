//! The shapes that calls give a graph, and the profiles that an engine is built for.
//!
//! An engine plan runs the shapes of its optimisation profiles and no others, so profiles are [derived](profiles_for) from
//! what a matrix will submit, before anything is built. A call of a decoder is one of two kinds: a *prefill* feeds
//! tokens to an empty cache, a *decode step* feeds one token to a cache that holds some.

mod derive;

pub use derive::{MOST_PROFILES, profiles_for};

use serde::{Deserialize, Serialize};
use std::fmt;

/// What one call of the graph is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Shape {
    /// Rows.
    pub batch: u32,
    /// Tokens fed, of the longest row.
    pub tokens: u32,
    /// Positions that the cache holds before the call.
    pub past: u32,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} x {}", self.batch, self.tokens)?;
        if self.past == 0 { Ok(()) } else { write!(f, " after {}", self.past) }
    }
}

/// The least and the most of a dimension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Span {
    /// The least.
    pub min: u32,
    /// The most.
    pub max: u32,
}

impl Span {
    /// From `min` to `max`.
    pub const fn new(min: u32, max: u32) -> Self {
        Self { min, max }
    }

    /// One size alone.
    pub const fn of(size: u32) -> Self {
        Self { min: size, max: size }
    }

    const fn holds(self, other: Self) -> bool {
        self.min <= other.min && other.max <= self.max
    }

    fn and(self, other: Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.max(other.max) }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.min == self.max {
            true => write!(f, "{}", self.min),
            false => write!(f, "{}..{}", self.min, self.max),
        }
    }
}

/// All shapes between a least and a most in each dimension.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Shapes {
    /// Rows.
    pub batch: Span,
    /// Tokens fed.
    pub tokens: Span,
    /// Positions in the cache.
    pub past: Span,
}

impl Shapes {
    /// Prompts of `tokens` tokens into an empty cache.
    pub const fn prefill(batch: Span, tokens: Span) -> Self {
        Self { batch, tokens, past: Span::of(0) }
    }

    /// Steps of one token after `past` positions.
    pub const fn decode(batch: Span, past: Span) -> Self {
        Self { batch, tokens: Span::of(1), past }
    }

    /// Everything that a model with `context` positions can be asked, in batches of up to `batch` rows.
    pub fn whole(batch: u32, context: u32) -> Vec<Self> {
        let batch = Span::new(1, batch);
        let mut all = vec![Self::prefill(batch, Span::new(1, context))];
        all.extend((context > 1).then(|| Self::decode(batch, Span::new(1, context - 1))));
        all
    }

    /// The shape that is largest in every dimension.
    pub const fn largest(&self) -> Shape {
        Shape { batch: self.batch.max, tokens: self.tokens.max, past: self.past.max }
    }

    /// The shape that is smallest in every dimension.
    pub const fn smallest(&self) -> Shape {
        Shape { batch: self.batch.min, tokens: self.tokens.min, past: self.past.min }
    }

    /// Whether all of `other` are among these.
    pub const fn hold(&self, other: &Self) -> bool {
        self.batch.holds(other.batch) && self.tokens.holds(other.tokens) && self.past.holds(other.past)
    }

    fn and(&self, other: &Self) -> Self {
        Self {
            batch: self.batch.and(other.batch),
            tokens: self.tokens.and(other.tokens),
            past: self.past.and(other.past),
        }
    }
}

impl fmt::Display for Shapes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} x {}", self.batch, self.tokens)?;
        if self.past == Span::of(0) { Ok(()) } else { write!(f, " after {}", self.past) }
    }
}

/// One dimension of a profile: what it runs, and what it is tuned for.
///
/// Written as `[least, tuned for, most]`; also read from `[least, most]`, tuned for the most, and from `[size]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Vec<u32>", into = "Vec<u32>")]
pub struct Extent {
    /// The least.
    pub min: u32,
    /// What kernels are chosen for.
    pub opt: u32,
    /// The most.
    pub max: u32,
}

impl Extent {
    /// What it runs.
    pub const fn span(self) -> Span {
        Span { min: self.min, max: self.max }
    }
}

impl TryFrom<Vec<u32>> for Extent {
    type Error = String;

    fn try_from(sizes: Vec<u32>) -> Result<Self, String> {
        let extent = match sizes[..] {
            [size] => Self { min: size, opt: size, max: size },
            [min, max] => Self { min, opt: max, max },
            [min, opt, max] => Self { min, opt, max },
            _ => return Err(format!("{sizes:?} is not [least, tuned for, most], [least, most] or [size]")),
        };
        match extent.min <= extent.opt && extent.opt <= extent.max && extent.max <= i32::MAX as u32 {
            true => Ok(extent),
            false => Err(format!("{sizes:?} is not in ascending order, or too large")),
        }
    }
}

impl From<Extent> for Vec<u32> {
    fn from(extent: Extent) -> Self {
        vec![extent.min, extent.opt, extent.max]
    }
}

/// Shapes that an engine runs, and the one that it is tuned for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Rows.
    pub batch: Extent,
    /// Tokens fed.
    pub tokens: Extent,
    /// Positions in the cache.
    pub past: Extent,
}

impl Profile {
    /// What it runs.
    pub const fn shapes(&self) -> Shapes {
        Shapes { batch: self.batch.span(), tokens: self.tokens.span(), past: self.past.span() }
    }

    /// `shapes`, tuned for `opt`, which is among them.
    pub const fn tuned(shapes: &Shapes, opt: Shape) -> Self {
        const fn extent(span: Span, opt: u32) -> Extent {
            Extent { min: span.min, opt, max: span.max }
        }
        Self {
            batch: extent(shapes.batch, opt.batch),
            tokens: extent(shapes.tokens, opt.tokens),
            past: extent(shapes.past, opt.past),
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shapes().fmt(f)
    }
}

/// Most profiles that are given by hand or by an engine from elsewhere.
const MOST_GIVEN: usize = 32;

/// Refuses profiles that no engine of sense has.
///
/// # Errors
/// How many there are and may be, or the one that begins at nothing.
pub fn check_given(profiles: &[Profile]) -> Result<(), String> {
    if !(1..=MOST_GIVEN).contains(&profiles.len()) {
        return Err(format!("{} profiles, expected 1 to {MOST_GIVEN}", profiles.len()));
    }
    match profiles.iter().find(|profile| profile.batch.min == 0 || profile.tokens.min == 0) {
        None => Ok(()),
        Some(profile) => {
            Err(format!("the profile {profile} begins at no rows or no tokens; batch and tokens begin at 1"))
        }
    }
}

/// Which of `profiles` runs all of `shapes`: where several do, the one whose largest shape has the fewest positions.
pub fn covering(profiles: &[Profile], shapes: &Shapes) -> Option<usize> {
    let covers = |(_, profile): &(usize, &Profile)| profile.shapes().hold(shapes);
    let found = profiles.iter().enumerate().filter(covers);
    found.min_by_key(|(_, profile)| derive::positions(&profile.shapes().largest())).map(|(at, _)| at)
}

/// The first of `shapes` that none of `profiles` runs; none: together they run all.
pub fn first_uncovered(profiles: &[Profile], shapes: &Shapes) -> Option<Shape> {
    let boxes: Vec<Shapes> = profiles.iter().map(Profile::shapes).collect();
    let corners = |of: fn(&Shapes) -> Span| corners(of(shapes), boxes.iter().map(of));
    let (batches, tokens, pasts) = (corners(|s| s.batch), corners(|s| s.tokens), corners(|s| s.past));
    let all = batches.iter().flat_map(|&batch| {
        let pasts = &pasts;
        tokens.iter().flat_map(move |&tokens| pasts.iter().map(move |&past| Shape { batch, tokens, past }))
    });
    all.into_iter().find(|shape| !boxes.iter().any(|one| one.hold(&(*shape).into())))
}

/// Where, between the ends of `span`, one of `others` begins or has ended: what is covered changes there alone.
fn corners(span: Span, others: impl Iterator<Item = Span>) -> Vec<u32> {
    let changes = others.flat_map(|other| [other.min, other.max.saturating_add(1)]);
    let mut corners: Vec<u32> = changes.filter(|at| span.min < *at && *at <= span.max).collect();
    corners.push(span.min);
    corners.sort_unstable();
    corners.dedup();
    corners
}

impl From<Shape> for Shapes {
    fn from(shape: Shape) -> Self {
        Self { batch: Span::of(shape.batch), tokens: Span::of(shape.tokens), past: Span::of(shape.past) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extents_are_read_short_and_written_long() {
        for (text, expected) in [("[4]", "[4,4,4]"), ("[1,8]", "[1,8,8]"), ("[1,2,8]", "[1,2,8]")] {
            let extent: Extent = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&extent).unwrap(), expected);
        }
        for text in ["[]", "[1,2,3,4]", "[2,1]", "[1,3,2]", "[0,4294967295]", "[-1]"] {
            assert!(serde_json::from_str::<Extent>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_range_may_be_covered_by_several_and_a_gap_is_found() {
        let decode = |batch, min, max| {
            let shapes = Shapes::decode(Span::of(batch), Span::new(min, max));
            Profile::tuned(&shapes, shapes.largest())
        };
        let two = [decode(1, 8, 11), decode(1, 12, 20)];
        let asked = |min, max| Shapes::decode(Span::of(1), Span::new(min, max));
        assert_eq!(first_uncovered(&two, &asked(8, 20)), None);
        assert_eq!(first_uncovered(&two, &asked(8, 21)), Some(Shape { batch: 1, tokens: 1, past: 21 }));
        assert_eq!(first_uncovered(&two, &asked(7, 9)), Some(Shape { batch: 1, tokens: 1, past: 7 }));
        let gap = [decode(1, 8, 10), decode(1, 13, 20)];
        assert_eq!(first_uncovered(&gap, &asked(9, 18)), Some(Shape { batch: 1, tokens: 1, past: 11 }));
        let batches = Shapes::decode(Span::new(1, 2), Span::of(9));
        assert_eq!(first_uncovered(&two, &batches), Some(Shape { batch: 2, tokens: 1, past: 9 }));
        assert_eq!(first_uncovered(&[], &asked(1, 1)), Some(Shape { batch: 1, tokens: 1, past: 1 }));
        let most = Shapes::prefill(Span::new(1, u32::MAX), Span::new(1, u32::MAX));
        let all = Profile::tuned(&most, most.largest());
        assert_eq!(first_uncovered(&[all], &most), None);
    }

    #[test]
    fn the_smallest_profile_that_holds_a_shape_is_taken() {
        let profile = |shapes: Shapes| Profile::tuned(&shapes, shapes.largest());
        let profiles = [
            profile(Shapes::prefill(Span::new(1, 8), Span::new(1, 512))),
            profile(Shapes::prefill(Span::of(1), Span::new(1, 64))),
            profile(Shapes::decode(Span::of(1), Span::new(8, 64))),
        ];
        let covering = |batch, tokens, past| covering(&profiles, &Shape { batch, tokens, past }.into());
        assert_eq!(covering(1, 8, 0), Some(1));
        assert_eq!(covering(2, 8, 0), Some(0));
        assert_eq!(covering(1, 1, 8), Some(2));
        assert_eq!(covering(1, 1, 65), None);
        assert_eq!(covering(1, 2, 8), None);
        assert_eq!(profiles[2].to_string(), "1 x 1 after 8..64");
    }
}

//! Between which measured sizes the winner changes, without a fit.

use super::fit::CrossoverPoint;
use crate::stats::Interval;

/// The band of `sorted` points; none where one backend wins at both ends, or nobody at one of them. Where points of one
/// size disagree, nobody wins there.
pub(super) fn transition(sorted: &[CrossoverPoint]) -> Option<Interval> {
    let sizes: Vec<(f64, Option<Side>)> =
        sorted.chunk_by(|a, b| a.params == b.params).map(|size| (size[0].params, winner(size))).collect();
    let (first, last) = (sizes.first()?.1?, sizes.last()?.1?);
    if first == last {
        return None;
    }
    let (low, _) = sizes.iter().take_while(|(_, side)| *side == Some(first)).last()?;
    let (high, _) = sizes.iter().rev().take_while(|(_, side)| *side == Some(last)).last()?;
    Some(Interval { low: *low, high: *high })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    A,
    B,
}

fn winner(size: &[CrossoverPoint]) -> Option<Side> {
    if size.iter().all(|point| point.ratio > 1.0) {
        Some(Side::A)
    } else if size.iter().all(|point| point.ratio < 1.0) {
        Some(Side::B)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_band_lies_between_clear_winners() {
        let found = |ratios: &[(f64, f64)]| {
            let points: Vec<CrossoverPoint> =
                ratios.iter().map(|&(params, ratio)| CrossoverPoint { params, ratio }).collect();
            transition(&points).map(|band| (band.low, band.high))
        };
        for (ratios, expected) in [
            (vec![(1.0, 3.0), (2.0, 2.0), (4.0, 0.5)], Some((2.0, 4.0))),
            (vec![(1.0, 0.3), (2.0, 2.0)], Some((1.0, 2.0))),
            // Back and forth in between.
            (vec![(1.0, 3.0), (2.0, 0.9), (3.0, 1.1), (4.0, 0.5), (5.0, 0.4)], Some((1.0, 4.0))),
            // Even at one size, or in dispute there.
            (vec![(1.0, 3.0), (2.0, 1.0), (3.0, 0.9)], Some((1.0, 3.0))),
            (vec![(1.0, 3.0), (2.0, 1.2), (2.0, 0.8), (3.0, 0.9)], Some((1.0, 3.0))),
            (vec![(1.0, 3.0), (2.0, 2.0)], None),
            (vec![(1.0, 3.0), (2.0, 0.5), (3.0, 2.0)], None),
            (vec![(1.0, 1.0), (2.0, 0.5)], None),
            (vec![], None),
        ] {
            assert_eq!(found(&ratios), expected, "{ratios:?}");
        }
    }
}

//! Whether a cell, or all cells of one call, changed beyond the rest of its worker: what they share with the rest, the
//! worker's level, drops out, so these tests see less than a test of levels does.

use super::sample::MAD_TO_SD;
use super::shift::{Shift, Tested, competition, mean};
use super::worker::Worker;
use crate::analysis::Call;
use crate::stats::quantile;
use std::f64::consts::PI;

/// Fewer other cells have no usable median.
const LEAST: usize = 3;
/// What A/A runs differ by, over what the scatter of their runs gives; measured with `scripts/bench/aa.py`.
const MEASURED: f64 = 0.9;
/// Two cells differ by this, as a logarithm, whatever their runs say.
const FLOOR: f64 = 0.01;
/// A change of the worker's share of the processor does not slow all its calls alike, but within this part of it.
const UNEVEN: f64 = 0.2;

/// How a part of a worker changed, in time and in cores in use.
#[derive(Clone, Copy)]
struct Moved {
    change: f64,
    cores: f64,
}

/// `own` of a part against `rest` of its worker: nothing is claimed where the rest moved further the same way, or it stood
/// still while they moved.
fn test(worker: &Worker<'_>, own: Moved, rest: Moved, scatter: f64, df: f64) -> Tested {
    let beyond = own.change - rest.change;
    let claimed = if beyond * own.change > 0.0 { beyond.abs().min(own.change.abs()) } else { 0.0 };
    let competing = competition(beyond, own.cores - rest.cores).max(competition(own.change, own.cores));
    let around = [competing, UNEVEN * worker.cores_change(), FLOOR].map(|error| error * error);
    Tested::new(beyond, claimed, MEASURED * MEASURED * scatter + around.iter().sum::<f64>(), df)
}

/// The cells of each call against those of the worker's other calls; nothing where there is one call.
pub(super) fn of_calls(worker: &Worker<'_>) -> Vec<(Call, Tested)> {
    let shifts: Vec<(Call, &Shift)> = worker.shifts().collect();
    let mut calls: Vec<Call> = Vec::new();
    for (call, _) in &shifts {
        if !calls.contains(call) {
            calls.push(*call);
        }
    }
    if calls.len() < 2 {
        return Vec::new();
    }
    let of = |call: Call| shifts.iter().filter(move |(other, _)| *other == call).map(|(_, shift)| *shift);
    let squares = |call: &Call| {
        let middle = mean(of(*call).map(|shift| shift.change));
        of(*call).map(|shift| (shift.change - middle).powi(2)).sum::<f64>()
    };
    let free = (shifts.len() - calls.len()) as f64;
    let spread = if free > 0.0 { calls.iter().map(squares).sum::<f64>() / free } else { 0.0 };
    let error = mean(shifts.iter().map(|(_, shift)| shift.error)).max(spread);
    let df = mean(shifts.iter().map(|(_, shift)| shift.df));
    let contrast = |call: Call| {
        let rest = || shifts.iter().filter(|(other, _)| *other != call).map(|(_, shift)| *shift);
        let scatter = error * (1.0 / of(call).count() as f64 + 1.0 / rest().count() as f64);
        test(worker, moved(of(call)), moved(rest()), scatter, df)
    };
    calls.iter().map(|call| (*call, contrast(*call))).collect()
}

fn moved<'a>(shifts: impl Iterator<Item = &'a Shift> + Clone) -> Moved {
    Moved {
        change: mean(shifts.clone().map(|shift| shift.change)),
        cores: mean(shifts.map(|shift| shift.cores)),
    }
}

/// Each pair's cell against the median of the worker's others, in the order of the pairs; none with fewer than three others.
pub(super) fn of_cells(worker: &Worker<'_>) -> Vec<Option<Tested>> {
    let shifts: Vec<Shift> = worker.shifts().map(|(_, shift)| *shift).collect();
    let pooled = mean(shifts.iter().map(|shift| shift.error));
    let error = |shift: &Shift| f64::midpoint(shift.error, pooled);
    let of = |(place, own): (usize, &Shift)| {
        let others = || shifts.iter().enumerate().filter(move |(index, _)| *index != place).map(|(_, of)| of);
        if shifts.len() <= LEAST {
            return None;
        }
        let (middle, spread) = median(others().map(|shift| shift.change))?;
        let (cores, _) = median(others().map(|shift| shift.cores))?;
        let errors = mean(others().map(error));
        let unlike = (spread - errors).max(0.0);
        let of_median = PI / 2.0 * spread.max(errors) / (shifts.len() - 1) as f64;
        let rest = Moved { change: middle, cores };
        let own_moved = Moved { change: own.change, cores: own.cores };
        Some(test(worker, own_moved, rest, error(own) + unlike + of_median, own.df))
    };
    let mut tested = shifts.iter().enumerate().map(of);
    worker.pairs.iter().map(|pair| pair.latency().and_then(|_| tested.next().flatten())).collect()
}

/// With the squared spread, from the median absolute deviation.
fn median(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let values: Vec<f64> = values.collect();
    let middle = quantile(&values, 0.5)?;
    let deviations: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
    Some((middle, (quantile(&deviations, 0.5)? * MAD_TO_SD).powi(2)))
}

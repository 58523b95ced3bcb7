//! Which backend to use, in sentences, for every output alike, and the rules they follow from.

use super::figure::{NONE, count, figure, interval, p_value, times};
use crate::analysis::{ALPHA, Analysis, Candidate, Recommendation, Use};

/// Candidates that are named beside the leader.
const RIVALS: usize = 3;

/// The rules, a paragraph each, with the numbers that this report was made with.
pub(super) fn rules(analysis: &Analysis) -> Vec<String> {
    let (threshold, least) = (percent(analysis.settings.threshold), analysis.least);
    vec![
        format!(
            "An answer is about one model and one call: generation with cache where that was measured, else without, else \
             prefill, else logprobs. Lowest latency is asked of the smallest batch measured, highest throughput of the \
             largest, least cost and least memory of all scenarios. Scenarios are summed up by geometric means of their \
             means; memory is the largest resident set of a worker."
        ),
        format!(
            "A backend is a candidate where the accuracy gate does not fail it and every scenario asked about has at least \
             {least}. Degraded runs take part in nothing; scenarios that no backend has enough runs of are left \
             out; what another program measured is shown, not recommended. Who is passed over is named with the reason."
        ),
        format!(
            "The best figure leads. Another candidate shares the lead unless it is {threshold} or more apart and that is \
             significant: t on the logarithm of the ratio, Bonferroni's correction over all pairs of candidates (for the best was chosen by \
             the same runs), p below {ALPHA} (memory: {threshold} apart). Intervals are over repetitions of these scenarios on this machine, not over other \
             scenarios or machines."
        ),
    ]
}

/// Ok runs behind a figure, and how many of them were disturbed: `40`, `40, 12 disturbed`.
pub(super) fn runs(of: &Candidate) -> String {
    match of.disturbed {
        0 => count(of.n),
        disturbed => format!("{}, {} disturbed", count(of.n), count(disturbed)),
    }
}

/// The recommendation's answer: `ort-cpu-fp32`, `a and b (not shown to differ)`.
pub(super) fn leaders(of: &Recommendation) -> String {
    match of.leaders.as_slice() {
        [] => "none".into(),
        [one] => one.clone(),
        [names @ .., last] => format!("{} and {last} (not shown to differ)", names.join(", ")),
    }
}

/// What the question is about: `generate cached, batch 1, 4 scenarios`.
pub(super) fn question(of: &Recommendation) -> String {
    let batches: Vec<u32> = of.scenarios.iter().map(|scenario| scenario.batch).collect();
    let batch = match (batches.iter().min(), batches.iter().max()) {
        (Some(least), Some(most)) if least == most => format!("batch {least}"),
        (Some(least), Some(most)) => format!("batch {least} to {most}"),
        _ => NONE.into(),
    };
    let scenarios = match of.scenarios.len() {
        1 => "1 scenario".into(),
        several => format!("{} scenarios", count(several as u64)),
    };
    format!("{}, {batch}, {scenarios}", of.call)
}

/// The figures behind it: the leader's value with its n, then how far the next ones are.
pub(super) fn evidence(of: &Recommendation, currency: &str) -> String {
    let Some((best, others)) = of.candidates.split_first() else { return "no candidate".into() };
    let first = format!("{} {} (n = {})", best.backend, value(of.use_case, best, currency), runs(best));
    let rivals = others.iter().take(RIVALS).map(|other| rival(other, of.use_case));
    let more = others.len().saturating_sub(RIVALS);
    let more = (more > 0).then(|| format!("{more} more"));
    std::iter::once(first).chain(rivals).chain(more).collect::<Vec<_>>().join("; ")
}

/// `61.2 ms`.
pub(super) fn value(of: Use, candidate: &Candidate, currency: &str) -> String {
    let value = figure(Some(candidate.value));
    match of {
        Use::LowestLatency => format!("{value} ms"),
        Use::HighestThroughput => format!("{value} tok/s"),
        Use::LeastMemory => format!("{value} MB"),
        Use::LeastCost => format!("{value} {currency} per million tokens"),
    }
}

/// `candle 1.39x (1.35x to 1.43x, p 3.1e-9, n = 20)`.
fn rival(of: &Candidate, use_case: Use) -> String {
    let mut sure = Vec::new();
    sure.extend(of.ratio_ci95.map(|ci| format!("95% CI {}", interval(ci, times))));
    sure.extend(of.p_adjusted.map(|p| format!("t, corrected {}", p_value(p))));
    if use_case != Use::LeastMemory {
        sure.push(format!("n = {}", runs(of)));
    }
    let sure = if sure.is_empty() { String::new() } else { format!(" ({})", sure.join(", ")) };
    format!("{} {}{sure}", of.backend, times(of.ratio_to_best))
}

/// Who is no candidate, and why: `x: the accuracy gate fails it`.
pub(super) fn passed_over(of: &Recommendation) -> Option<String> {
    let reasons: Vec<String> =
        of.passed_over.iter().map(|other| format!("{}: {}", other.backend, other.reason)).collect();
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

/// Leaders whose accuracy nobody measured, where that of others was.
pub(super) fn caveat(of: &Recommendation, analysis: &Analysis) -> Option<&'static str> {
    analysis.accuracy.as_ref()?;
    let led = |candidate: &&Candidate| of.leaders.contains(&candidate.backend);
    let unmeasured = of.candidates.iter().filter(led).any(|candidate| candidate.accuracy.is_none());
    unmeasured.then_some("accuracy was not evaluated")
}

/// What holds for every answer.
pub(super) fn general_caveat(analysis: &Analysis) -> Option<&'static str> {
    analysis.accuracy.is_none().then_some(
        "Accuracy was not evaluated: nothing here says that these backends compute the same (see [accuracy] in \
         configs/reference.toml).",
    )
}

/// `2%`.
pub(super) fn percent(share: f64) -> String {
    let text = format!("{:.4}", share * 100.0);
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

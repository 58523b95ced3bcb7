//! Which backend to use, at the end of the text, where a reader of a terminal looks first.

use super::{Layout, print};
use crate::analysis::{Analysis, Recommendation, SizeCrossover};
use crate::report::comparisons::ratio_with_interval;
use crate::report::figure::NONE;
use crate::report::{answer, crossing};
use crate::stats::{Crossing, Fieller};
use crate::text::one_line;

/// A table of the recommendations, and one of who is none; nothing where nothing was measured.
pub(super) fn answers(analysis: &Analysis, layout: Layout) -> String {
    if analysis.recommendations.is_empty() {
        return String::new();
    }
    let mut table = layout.table();
    table.set_header(["model", "for", "use", "measured", "next [95% CI]"]);
    let mut passed_over: Vec<[String; 3]> = Vec::new();
    for of in &analysis.recommendations {
        table.add_row(answer_row(of, &analysis.settings.currency));
        for other in &of.passed_over {
            let row = [&of.model, &other.backend, &other.reason].map(|text| one_line(text));
            if !passed_over.contains(&row) {
                passed_over.push(row);
            }
        }
    }
    let mut reasons = layout.table();
    reasons.set_header(["model", "passed over", "because"]);
    let any = !passed_over.is_empty();
    reasons.add_rows(passed_over);
    let reasons = if any { format!("\n{}", print(&reasons)) } else { String::new() };
    let caveat = answer::general_caveat(analysis).map_or("", |_| "accuracy was not evaluated\n");
    format!("\n{}{reasons}{caveat}the rules behind this, intervals and tests: report.md\n", print(&table))
}

fn answer_row(of: &Recommendation, currency: &str) -> [String; 5] {
    let measured = of.candidates.first().map(|best| {
        let value = answer::value(of.use_case, best, currency);
        format!("{value}, n = {}", answer::runs(best))
    });
    let next = of.candidates.get(1).map(|other| {
        let ratio = ratio_with_interval(Some(other.ratio_to_best), other.ratio_ci95);
        format!("{} {ratio}, n = {}", other.backend, answer::runs(other))
    });
    [
        one_line(&of.model),
        of.use_case.name().into(),
        one_line(&answer::leaders(of)),
        measured.map_or_else(|| NONE.into(), |text| one_line(&text)),
        next.map_or_else(|| NONE.into(), |text| one_line(&text)),
    ]
}

/// Those inside of what was measured; the others are only counted.
pub(super) fn crossovers(all: &[SizeCrossover]) -> String {
    let inside = |of: &&SizeCrossover| {
        matches!((of.fit.crossing, of.fit.fieller), (Crossing::Inside { .. }, Fieller::Bounded(_)))
    };
    let mut text = String::new();
    for of in all.iter().filter(inside) {
        let line = format!("crossover, {}: {}", of.call, crossing::sentence(of));
        text.push_str(&(one_line(&line) + "\n"));
    }
    match all.iter().filter(|of| !inside(of)).count() {
        0 => text,
        pairs => {
            text + &format!(
                "{pairs} pairs of backends and calls: no crossover shown within the sizes measured\n"
            )
        }
    }
}

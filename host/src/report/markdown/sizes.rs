//! What depends on the size of the model and of the work: crossovers, paybacks, and speed against exactness.

use super::{header, table};
use crate::analysis::{Analysis, SizeCrossover, Tradeoff};
use crate::report::comparisons::ratio_with_interval;
use crate::report::crossing::{PAYBACK, facts, params, payback, sentence};
use crate::report::figure::{count, figure, ratio};
use crate::text::markdown;

/// The sections; nothing where there is nothing to say.
pub(super) fn sizes(analysis: &Analysis) -> String {
    crossovers(&analysis.crossovers) + &paybacks(analysis) + &tradeoffs(&analysis.tradeoffs)
}

fn crossovers(all: &[SizeCrossover]) -> String {
    let text: String = all.iter().map(crossover).collect();
    if text.is_empty() { text } else { format!("## Crossovers over model size\n\n{text}") }
}

fn crossover(of: &SizeCrossover) -> String {
    let title = format!("### {} over {}, {}\n\n", markdown(&of.backend), markdown(&of.against), of.call);
    let facts: Vec<Vec<String>> =
        facts(of).into_iter().map(|(name, value)| vec![name.to_string(), markdown(&value)]).collect();
    let points: Vec<Vec<String>> = of
        .points
        .iter()
        .map(|point| {
            let fitted = ratio(of.fit.ratio_at(point.params as f64));
            let measured = ratio_with_interval(Some(point.ratio), point.ratio_ci95);
            vec![
                markdown(&point.model),
                params(point.params as f64),
                count(point.scenarios as u64),
                measured,
                fitted,
            ]
        })
        .collect();
    let names = header(&["model", "parameters", "scenarios", "n", "throughput ratio [95% CI]", "fitted"]);
    format!(
        "{title}{}.\n\n{}{}",
        markdown(&sentence(of)),
        table(&header(&["", ""]), 2, &facts),
        table(&names, 1, &points)
    )
}

fn paybacks(analysis: &Analysis) -> String {
    let rows: Vec<Vec<String>> = analysis
        .paybacks
        .iter()
        .map(|of| {
            let names = [markdown(&of.model), of.call.to_string(), markdown(&of.backend)];
            names.into_iter().chain(payback(of).iter().map(|(text, _)| markdown(text))).collect()
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let names: Vec<&str> = ["model", "call", "backend"].into_iter().chain(PAYBACK).collect();
    let note = "Each token saves 1/r₀ - 1/r₁ seconds over the baseline's rate r₀, so a build of t seconds has paid for itself \
                after t / (1/r₀ - 1/r₁) tokens. Work is taken to be one run of each scenario in turn: rates are all its tokens over all its time.";
    format!("## When builds have paid for themselves\n\n{note}\n\n{}", table(&header(&names), 4, &rows))
}

fn tradeoffs(all: &[Tradeoff]) -> String {
    let mut text = String::new();
    for of in all {
        let rows: Vec<Vec<String>> = of
            .points
            .iter()
            .map(|point| {
                let front = if point.on_front { "yes" } else { "no" };
                let perplexity =
                    format!("{} (n = {} tokens)", figure(Some(point.perplexity)), count(point.tokens));
                let gate = point.accuracy.name().to_string();
                vec![
                    markdown(&point.backend),
                    perplexity,
                    gate,
                    ratio(Some(point.throughput_ratio)),
                    front.into(),
                ]
            })
            .collect();
        let names = header(&[
            "backend",
            "perplexity",
            "gate",
            "throughput over the baseline's",
            "on the Pareto front",
        ]);
        text.push_str(&format!("### {}, {}\n\n{}", markdown(&of.model), of.call, table(&names, 1, &rows)));
    }
    if text.is_empty() { text } else { format!("## Perplexity against speed\n\n{text}") }
}

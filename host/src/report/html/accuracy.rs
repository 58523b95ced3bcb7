//! Whether backends compute what the baseline computes.

use super::Page;
use super::models::verdict;
use super::table::{Field, Kind, Table};
use crate::accuracy::{Evaluation, Figures};
use crate::report::accuracy::{corpus, difference, kl, limit, logits, perplexity, tiny, top1};
use crate::report::charts::Place;
use crate::report::figure::{NONE, count, figure};
use crate::text::{clipped, one_line};
use maud::{Markup, html};

const MESSAGE_LIMIT: usize = 300;

/// A table and charts for each model; nothing where accuracy was not evaluated.
pub(super) fn accuracy(page: &Page<'_>) -> Markup {
    let Some(found) = &page.analysis.accuracy else { return html! {} };
    html! {
        p {
            "The same tokens for every backend. It passes where its perplexity differs from the baseline's by no more than the \
             limit of what it computes in. " code { "accuracy.csv" } " has the same unrounded."
        }
        @for evaluations in found.models() { (of_model(page, evaluations)) }
    }
}

fn of_model(page: &Page<'_>, evaluations: &[Evaluation]) -> Markup {
    let Some(first) = evaluations.first() else { return html! {} };
    let columns = [
        ("backend", Kind::Text),
        ("gate", Kind::Text),
        ("limit", Kind::Text),
        ("perplexity", Kind::Number),
        ("vs baseline", Kind::Number),
        ("ln ratio", Kind::Number),
        ("mean KL, nats", Kind::Number),
        ("top-1", Kind::Number),
        ("logit difference: max, mean", Kind::Number),
        ("tokens", Kind::Number),
        ("tok/s", Kind::Number),
        ("why", Kind::Long),
    ];
    let is_lost = evaluations.iter().any(|of| of.degraded.is_some());
    let columns = &columns[..if is_lost { columns.len() } else { columns.len() - 1 }];
    let mut table = Table::new(html! { (one_line(&corpus(first))) }, columns);
    for of in evaluations {
        table.baseline_row(of.backend == of.baseline, row(of));
    }
    html! {
        h3 { (one_line(&first.model)) }
        (table.markup())
        (page.charts(&Place::Accuracy(first.model.clone())))
    }
}

fn row(of: &Evaluation) -> Vec<Field> {
    let over = |value: fn(&Figures) -> Option<f64>| of.figures.as_ref().and_then(value);
    let ln_ratio = over(|f| Some(f.against?.ln_ppl_ratio));
    let error = over(|f| f.against?.ln_ppl_ratio_se);
    let shown = ln_ratio.map_or_else(
        || NONE.into(),
        |value| match error {
            Some(error) => format!("{} ± {} (SE)", tiny(value), tiny(error)),
            None => tiny(value),
        },
    );
    let tokens = over(|f| Some(f.tokens as f64));
    let lost = of.degraded.as_ref().map_or_else(String::new, |lost| {
        format!("{} in {}: {}", lost.kind.name(), lost.stage.name(), clipped(&lost.message, MESSAGE_LIMIT))
    });
    vec![
        Field::text(&of.backend),
        verdict(Some(of.verdict)),
        Field::text(limit(of)),
        Field::number(perplexity(of), over(|f| Some(f.perplexity))),
        Field::number(difference(of), over(|f| Some(f.against?.relative_difference))),
        Field::number(shown, ln_ratio),
        Field::number(kl(of), over(|f| Some(f.distributions?.kl_mean))),
        Field::number(top1(of), over(|f| Some(f.distributions?.top1_agreement))),
        Field::number(logits(of), over(|f| Some(f.distributions?.logit_difference_max))),
        Field::number(of.figures.as_ref().map_or_else(|| NONE.into(), |f| count(f.tokens)), tokens),
        Field::number(figure(over(|f| Some(f.tok_s))), over(|f| Some(f.tok_s))),
        Field::text(lost),
    ]
}

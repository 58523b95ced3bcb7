//! Which backend to use: in a few lines, then with the evidence and the rules.

use super::Page;
use super::howto::inline;
use super::table::{Field, Kind, Table};
use crate::analysis::{Recommendation, Use};
use crate::report::answer::{caveat, evidence, general_caveat, leaders, passed_over, question, rules};
use crate::report::figure::NONE;
use crate::text::one_line;
use maud::{Markup, html};

/// Models that are named one by one in the short answer.
const NAMED: usize = 6;

/// Answers beyond which the table of their evidence is folded, so that what follows is not buried.
const FOLDED: usize = 12;

/// The section; nothing where nothing was measured.
pub(super) fn answer(page: &Page<'_>) -> Markup {
    let all = &page.analysis.recommendations;
    if all.is_empty() {
        return html! {};
    }
    let mut columns = vec![
        ("model", Kind::Text),
        ("for", Kind::Text),
        ("use", Kind::Long),
        ("evidence", Kind::Long),
        ("measured by", Kind::Long),
    ];
    let any_passed_over = all.iter().any(|of| !of.passed_over.is_empty());
    if any_passed_over {
        columns.push(("passed over", Kind::Long));
    }
    let mut table =
        Table::new(html! { "Every answer with the figures behind it; n counts ok runs" }, &columns);
    for of in all {
        let mut fields = row(page, of);
        if any_passed_over {
            fields.push(Field::text(passed_over(of).as_deref().unwrap_or(NONE)));
        }
        table.row(fields);
    }
    html! {
        div.answer {
            @for of in Use::ALL { (short(all, of)) }
            @if let Some(caveat) = general_caveat(page.analysis) { p.muted { (caveat) } }
        }
        @if all.len() > FOLDED {
            details { summary { "The evidence: " (all.len()) " answers with their figures" } (table.markup()) }
        } @else {
            (table.markup())
        }
        details {
            summary { "How these follow from the numbers" }
            ul { @for rule in rules(page.analysis) { li { (inline(&rule)) } } }
        }
    }
}

/// `Lowest latency: ort-cpu (gpt2-5m, gpt2-25m); candle (tiny).`
fn short(all: &[Recommendation], of: Use) -> Markup {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for answer in all.iter().filter(|answer| answer.use_case == of) {
        // Those who share the lead are one answer, whichever is ahead.
        let mut sorted = answer.clone();
        sorted.leaders.sort();
        let (leaders, model) = (one_line(&leaders(&sorted)), one_line(&answer.model));
        match groups.iter_mut().find(|group| group.0 == leaders) {
            Some(group) => group.1.push(model),
            None => groups.push((leaders, vec![model])),
        }
    }
    let mut questions: Vec<String> =
        all.iter().filter(|answer| answer.use_case == of).map(question).collect();
    questions.dedup();
    let models = |names: &[String]| match names.len() {
        many if many > NAMED => format!("{} and {} more models", names[..NAMED].join(", "), many - NAMED),
        _ => names.join(", "),
    };
    html! {
        @if !groups.is_empty() {
            p {
                strong { (capital(of.name())) ": " }
                @for (index, (leaders, names)) in groups.iter().enumerate() {
                    @if index > 0 { "; " }
                    (leaders) " " span.muted { "(" (models(names)) ")" }
                }
                "."
                @if let [question] = questions.as_slice() { " " span.muted { (capital(question)) "." } }
            }
        }
    }
}

fn capital(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().map_or_else(String::new, |first| first.to_uppercase().chain(rest).collect())
}

fn row(page: &Page<'_>, of: &Recommendation) -> Vec<Field> {
    let leader = html! {
        strong { (one_line(&leaders(of))) }
        @if let Some(caveat) = caveat(of, page.analysis) { " " span.muted { "(" (caveat) ")" } }
    };
    let cells = of.candidates.first().map_or(&[][..], |best| &best.cells);
    let text = evidence(of, &page.analysis.settings.currency);
    let shown = html! {
        (one_line(&text))
        @if !cells.is_empty() {
            " " span.muted {
                "Cells: "
                @for (index, cell) in cells.iter().enumerate() { (page.to_cell(cell, &format!("{}", index + 1))) " " }
            }
        }
    };
    vec![
        Field::text(&of.model),
        Field::text(of.use_case.name()),
        Field::marked(leader, &leaders(of)),
        Field::marked(shown, &text),
        Field::text(question(of)),
    ]
}

//! `report.html`: one file that needs no network, in the order in which it is read: the answer, what to know before
//! believing it, what was measured, comparisons, what was lost, how to read it, on what it was measured.
//!
//! Everything from outside goes through maud's escaping and [`one_line`]. Without its script the page is whole; the
//! script sorts, changes the theme and reads values out.

mod accuracy;
mod anchor;
mod answer;
mod cells;
mod chart;
mod comparisons;
mod degraded;
mod howto;
mod models;
mod resources;
mod setup;
mod sizes;
mod table;

use super::charts::{Chart, Place};
use super::plot::{inline_rules, variables};
use super::result::{headline, outputs, warnings};
use crate::analysis::Analysis;
use crate::manifest::Manifest;
use crate::text::one_line;
use anchor::Anchors;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use std::collections::HashMap;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// The page asks for nothing, whatever a name in it may say.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";

/// What every section is made from.
struct Page<'a> {
    manifest: &'a Manifest,
    analysis: &'a Analysis,
    charts: &'a [Chart],
    anchors: Anchors<'a>,
    drawings: HashMap<&'a str, Markup>,
    /// Of models.
    sections: HashMap<&'a str, String>,
}

impl Page<'_> {
    /// The charts of a place.
    fn charts(&self, place: &Place) -> Markup {
        let here = self.charts.iter().filter(|chart| chart.place == *place);
        html! { @for of in here { (chart::chart(self, of)) } }
    }

    fn is_baseline(&self, backend: &str) -> bool {
        self.analysis.baseline.as_deref() == Some(backend)
    }

    /// A model's name as a link to its section.
    fn to_model(&self, model: &str) -> Markup {
        let name = one_line(model);
        html! {
            @match self.sections.get(model) {
                Some(id) => a href=(format!("#{id}")) { (name) },
                None => (name),
            }
        }
    }

    /// `text` as a link to a cell's detail.
    fn to_cell(&self, cell: &str, text: &str) -> Markup {
        let text = one_line(text);
        html! {
            @match self.anchors.link(cell) {
                Some(link) => a href=(link) { (text) },
                None => (text),
            }
        }
    }
}

/// The whole page.
pub(super) fn page(manifest: &Manifest, analysis: &Analysis, charts: &[Chart]) -> String {
    let page = Page {
        manifest,
        analysis,
        charts,
        anchors: Anchors::new(&analysis.cells),
        drawings: chart::drawings(charts),
        sections: models::ids(analysis),
    };
    let name = match one_line(&analysis.name) {
        name if name.is_empty() => "Report".to_string(),
        name => name,
    };
    let sections: Vec<Section> =
        sections(&page).into_iter().filter(|section| !is_blank(&section.body)).collect();
    let document = html! {
        (DOCTYPE)
        html lang="en" { (head(&name)) (body(&page, &name, &sections)) }
    };
    document.into_string() + "\n"
}

fn body(page: &Page<'_>, name: &str, sections: &[Section]) -> Markup {
    html! {
        body {
            a.skip href="#main" { "Skip to the results" }
            header {
                div.bar {
                    h1 { (name) }
                    button.theme type="button" aria-pressed="false" hidden { "Dark theme" }
                }
                (summary(page))
                nav aria-label="Sections" {
                    ul { @for section in sections { li { a href=(format!("#{}", section.id)) { (section.title) } } } }
                }
            }
            main id="main" tabindex="-1" {
                @for Section { id, title, body } in sections {
                    section aria-labelledby=(id) { h2 id=(id) { (title) } (body) }
                }
            }
            footer { p { "inferhost " (one_line(&page.manifest.inferhost)) ". This page loads nothing." } }
            p.tip role="status" {}
            script { (PreEscaped(SCRIPT)) }
        }
    }
}

fn is_blank(body: &Markup) -> bool {
    body.0.trim().is_empty()
}

fn head(name: &str) -> Markup {
    let style = format!(":root{{{}}}\n{STYLE}{}", variables(), inline_rules());
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta http-equiv="Content-Security-Policy" content=(POLICY);
            meta name="color-scheme" content="light dark";
            link rel="icon" href="data:,";
            title { (name) " – inferhost report" }
            style { (PreEscaped(style)) }
        }
    }
}

fn summary(page: &Page<'_>) -> Markup {
    let baseline = page.analysis.baseline.as_deref().map(one_line);
    html! {
        p.muted {
            (headline(page.analysis)) "."
            @if let Some(baseline) = baseline { " The baseline is " (baseline) "." }
            @if let Some(outputs) = outputs(&page.analysis.agreement) { " The " (outputs) "." }
        }
    }
}

/// A part of the page with a place in its navigation.
struct Section {
    id: String,
    title: String,
    body: Markup,
}

impl Section {
    fn new(id: &str, title: impl AsRef<str>, body: Markup) -> Self {
        Self { id: id.into(), title: one_line(title.as_ref()), body }
    }
}

fn sections(page: &Page<'_>) -> Vec<Section> {
    let mut all = vec![
        Section::new("answer", "Which backend", answer::answer(page)),
        Section::new("warnings", "Before you believe it", warned(page)),
        Section::new("overview", "Overview", page.charts(&Place::Overview)),
    ];
    all.extend([
        Section::new("overall", "Over all scenarios", comparisons::overall(page)),
        Section::new("sizes", "Over model size", sizes::sizes(page)),
        Section::new("accuracy", "Accuracy", accuracy::accuracy(page)),
        Section::new("paybacks", "When builds have paid for themselves", sizes::paybacks(page)),
    ]);
    all.extend(models::models(page));
    all.extend([
        Section::new("comparisons", "Against the baseline, cell by cell", comparisons::by_cell(page)),
        Section::new("degraded", "Degraded runs", degraded::degraded(page)),
        Section::new("outputs", "Outputs that differ", degraded::outputs(page)),
        Section::new("cells", "Cells and their runs", cells::cells(page)),
        Section::new("how-to-read", "How to read this", howto::how_to_read(page)),
        Section::new("backends", "Backends", setup::backends(page)),
        Section::new("models", "Models", setup::models(page)),
        Section::new("artifacts", "Artifacts", setup::artifacts(page)),
        Section::new("environment", "Environment", setup::environment(page)),
    ]);
    all
}

fn warned(page: &Page<'_>) -> Markup {
    let warnings = warnings(page.manifest, page.analysis);
    html! {
        @if !warnings.is_empty() {
            ul.warnings { @for warning in &warnings { li { (one_line(warning)) } } }
        }
    }
}

#[cfg(test)]
mod tests;

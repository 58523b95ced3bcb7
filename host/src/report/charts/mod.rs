//! The report's charts: which there are, where on the page they stand, and what data each shows.
//!
//! A chart shows what tables say too; it is made only where there is more than one thing to see. Backends keep their
//! colour and marker from chart to chart.

mod accuracy;
mod degraded;
mod distribution;
mod over_time;
mod ratio;
mod series;
mod sizes;
mod slug;
mod speed;
mod tokens;
mod words;

use super::plot::Figure;
use super::series::Tracks;
use crate::analysis::{Analysis, Call, distinct};
use crate::manifest::Manifest;
use slug::Slugs;

pub(super) use slug::slug;

/// Scenarios or models side by side in one chart.
const MOST_PANELS: usize = 24;
/// Names on one axis.
const MOST_NAMES: usize = 60;

/// Where a chart stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// Above all models.
    Overview,
    /// With the tables of one model and call.
    Table(String, Call),
    /// At the end of a model's section.
    Model(String),
    /// With the crossovers.
    Sizes,
    /// With the accuracy of a model.
    Accuracy(String),
    /// With what was lost.
    Degraded,
}

/// A chart and its place.
#[derive(Debug, Clone)]
pub(super) struct Chart {
    pub(super) place: Place,
    pub(super) figure: Figure,
}

/// What every chart is made from.
struct Source<'a> {
    analysis: &'a Analysis,
    /// In the order of colours.
    backends: Vec<&'a str>,
    manifest: &'a Manifest,
}

impl<'a> Source<'a> {
    fn new(manifest: &'a Manifest, analysis: &'a Analysis) -> Self {
        let listed = manifest.backends.iter().map(|backend| backend.name.as_str());
        let recorded = analysis.cells.iter().map(|cell| cell.backend.as_str());
        let backends = distinct(listed.chain(recorded));
        Self { analysis, backends, manifest }
    }

    /// The backend's colour and marker.
    fn style(&self, backend: &str) -> usize {
        self.backends.iter().position(|name| *name == backend).unwrap_or(self.backends.len())
    }

    fn baseline(&self) -> &str {
        self.analysis.baseline.as_deref().unwrap_or_default()
    }
}

/// All charts of a report, in the page's order, each with an id of its own.
pub(super) fn charts(manifest: &Manifest, analysis: &Analysis, tracks: &Tracks) -> Vec<Chart> {
    let source = Source::new(manifest, analysis);
    let mut charts: Vec<Chart> = ratio::overall(&source).into_iter().collect();
    charts.extend(sizes::scaling(&source));
    for table in analysis.tables() {
        let place = Place::Table(table.model.to_string(), table.call);
        let figures = [
            speed::speed(&source, &table),
            ratio::by_scenario(&source, &table),
            ratio::heat_map(&source, &table),
            distribution::latency(&source, &table),
            tokens::by_position(&source, &table),
        ];
        charts.extend(figures.into_iter().flatten().map(|figure| Chart { place: place.clone(), figure }));
    }
    charts.extend(over_time::charts(&source));
    charts.extend(series::charts(&source, tracks));
    charts.extend(sizes::crossovers(&source));
    charts.extend(accuracy::tradeoffs(&source));
    charts.extend(degraded::rates(&source));
    let mut slugs = Slugs::default();
    for chart in &mut charts {
        chart.figure.id = slugs.unique(&chart.figure.id);
    }
    charts.retain(|chart| !chart.figure.is_empty());
    charts
}

//! On what it was measured: backends, models, machine.

use super::Page;
use super::table::{Field, Kind, Table};
use crate::manifest::BackendEntry;
use crate::report::artifacts;
use crate::report::figure::{NONE, bytes, count};
use crate::report::markdown::{facts, in_use};
use crate::text::one_line;
use maud::{Markup, html};

const SHORT_HASH: usize = 12;

/// The backends with what their sessions really used.
pub(super) fn backends(page: &Page<'_>) -> Markup {
    let names =
        ["backend", "plugin", "version", "runtime", "device", "precision", "threads", "options", "library"];
    let columns =
        names.map(|name| (name, if matches!(name, "options" | "library") { Kind::Long } else { Kind::Text }));
    let mut table =
        Table::new(html! { "Device, precision and threads are what the sessions said they used" }, &columns);
    for entry in &page.manifest.backends {
        table.baseline_row(page.is_baseline(&entry.name), backend(entry));
    }
    table.markup()
}

fn backend(entry: &BackendEntry) -> Vec<Field> {
    let runtime = [entry.runtime.as_deref(), entry.runtime_version.as_deref()];
    let runtime: Vec<&str> = runtime.into_iter().flatten().collect();
    let known = |text: Option<&str>| Field::text(text.filter(|text| !text.is_empty()).unwrap_or(NONE));
    let options = if entry.options.is_null() { NONE.into() } else { entry.options.to_string() };
    vec![
        Field::text(&entry.name),
        Field::text(&entry.plugin),
        known(entry.version.as_deref()),
        known(Some(runtime.join(" ").as_str())),
        known(in_use(entry, |info| info.device.clone()).as_deref()),
        known(in_use(entry, |info| info.precision.clone()).as_deref()),
        known(in_use(entry, |info| info.threads.map(|n| n.to_string()).unwrap_or_default()).as_deref()),
        Field::text(options),
        known(entry.library.as_deref()),
    ]
}

/// The models with their counted parameters.
pub(super) fn models(page: &Page<'_>) -> Markup {
    let columns = [
        ("model", Kind::Text),
        ("parameters", Kind::Number),
        ("size", Kind::Number),
        ("from", Kind::Long),
        ("SHA-256", Kind::Text),
    ];
    let mut table = Table::new(html! { "Parameters are counted from the tensors" }, &columns);
    for entry in &page.manifest.models {
        let hash: String = entry.sha256.as_deref().unwrap_or(NONE).chars().take(SHORT_HASH).collect();
        table.row(vec![
            Field::text(&entry.name),
            Field::number(
                entry.parameters.map_or_else(|| NONE.into(), count),
                entry.parameters.map(|n| n as f64),
            ),
            Field::number(entry.bytes.map_or_else(|| NONE.into(), bytes), entry.bytes.map(|n| n as f64)),
            Field::text(&entry.spec),
            Field::text(hash),
        ]);
    }
    table.markup()
}

/// What was built, and what it computes in.
pub(super) fn artifacts(page: &Page<'_>) -> Markup {
    let kind = |name| match name {
        "size" | "build, s" => Kind::Number,
        "runs (rows x tokens)" => Kind::Long,
        _ => Kind::Text,
    };
    let columns = artifacts::COLUMNS.map(|name| (name, kind(name)));
    let caption = html! { "What it computes in was read back from what was built: layers of an engine, products of a graph" };
    let mut table = Table::new(caption, &columns);
    for entry in &page.manifest.artifacts {
        let [name, model, backend, computes, runs, size, build] = artifacts::row(entry);
        table.row(vec![
            Field::text(name),
            Field::text(model),
            Field::text(backend),
            Field::text(computes),
            Field::text(runs),
            Field::number(size, entry.bytes.map(|n| n as f64)),
            Field::number(build, entry.build_seconds),
        ]);
    }
    table.markup()
}

/// The machine and the run.
pub(super) fn environment(page: &Page<'_>) -> Markup {
    let known = facts(page.manifest).into_iter().filter_map(|(name, value)| Some((name, value?)));
    html! { dl.facts { @for (name, value) in known { dt { (name) } dd { (one_line(&value)) } } } }
}

//! Every string of a run folder is made something that a browser, a Markdown renderer, a spreadsheet or a terminal would
//! obey. Each output is then read by a parser of its format, and has the structure that it has without them.

use super::support::copy;
use inferhost::compare::{self, Listed};
use inferhost::report::{Layout, Report};
use inferhost::stats::Test;
use pulldown_cmark::{Event, Options, Parser, Tag};
use scraper::{Html, Node};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// In all payloads and nowhere else.
const MARK: &str = "plant";

const PAYLOADS: [&str; 8] = [
    "=plant()<script>plant()</script>",
    "+plant\"'><img src=x onerror=plant()><svg/onload=plant()>",
    "-plant[plant](javascript:plant()) ![plant](http://plant/x) <http://plant> [plant]: http://plant",
    "@plant\u{1b}[31m\u{1b}]0;plant\u{7}\u{9b}2J\u{202e}\u{85}\u{2028}\u{0}",
    "plant\r\n# plant\n- plant\n\n| plant | plant |\n|--|--|\n```plant\n<b>plant</b>\n---\n",
    "</style></script></title></textarea>--><!--plant]]><![CDATA[plant?><?plant",
    "&lt;script&gt;plant&lt;/script&gt;&#60;b&#62; javascript:plant() style=plant `plant` $plant$ ~~plant~~ **plant** __plant__",
    "\tplant \\<b>plant\\</b> \\[plant\\](plant) <plant@plant.example> [^plant] : plant [ ] plant {{plant}} ${plant}",
];

/// Texts that are one of a few words, or that something is decided by.
const WORDS: [&str; 13] = [
    "mode",
    "modes",
    "use_cache",
    "status",
    "kind",
    "stage",
    "verdict",
    "precision",
    "logits",
    "schema",
    "form",
    "method",
    "test",
];

/// Puts `payload` before every string below `value`: equal names stay equal.
fn plant(value: &mut Value, payload: &str) -> usize {
    match value {
        Value::String(text) => {
            *text = format!("{payload}{text}");
            1
        }
        Value::Array(items) => items.iter_mut().map(|item| plant(item, payload)).sum(),
        Value::Object(object) => {
            let named =
                object.iter_mut().filter(|(key, value)| !(WORDS.contains(&key.as_str()) && is_word(value)));
            named.map(|(_, value)| plant(value, payload)).sum()
        }
        _ => 0,
    }
}

/// A word, or a list of such.
fn is_word(value: &Value) -> bool {
    value.is_string() || value.as_array().is_some_and(|items| items.iter().all(is_word))
}

/// Keys that are names too: of models, of options, of environment variables.
fn plant_keys(value: &mut Value, payload: &str) {
    for backend in value["backends"].as_array_mut().into_iter().flatten() {
        for table in ["session", "disk_bytes", "options"] {
            if let Some(names) = backend[table].as_object_mut() {
                *names = std::mem::take(names)
                    .into_iter()
                    .map(|(key, of)| (format!("{payload}{key}"), of))
                    .collect();
            }
        }
    }
}

/// The run folder with the payload in all of its strings; how many those are.
fn planted(run: &Path, payload: &str) -> usize {
    copy("../tests/hostile/run", run);
    let mut strings = 0;
    for name in ["records.jsonl", "accuracy.jsonl"] {
        let text = fs::read_to_string(run.join(name)).unwrap();
        let lines = text.lines().map(|line| {
            let mut record: Value = serde_json::from_str(line).unwrap();
            strings += plant(&mut record, payload);
            record.to_string() + "\n"
        });
        let lines: String = lines.collect();
        fs::write(run.join(name), lines).unwrap();
    }
    let path = run.join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    strings += plant(&mut manifest, payload);
    // No longer than a config may say it.
    manifest["config"]["report"]["currency"] = payload.chars().take(8).collect::<String>().into();
    plant_keys(&mut manifest, payload);
    fs::write(&path, manifest.to_string()).unwrap();
    strings
}

/// What there is of elements and attributes, without what they say.
fn html_structure(text: &str) -> (BTreeSet<String>, Vec<String>, Vec<String>) {
    let page = Html::parse_document(text);
    let (mut elements, mut code, mut active) = (BTreeSet::new(), Vec::new(), Vec::new());
    for node in page.tree.nodes() {
        match node.value() {
            Node::Element(element) => {
                let attributes: Vec<&str> = element.attrs().map(|(name, _)| name).collect();
                elements.extend(attributes.iter().map(|name| format!("{} {name}", element.name())));
                elements.insert(element.name().to_string());
                for (name, value) in element.attrs() {
                    let is_active =
                        name.starts_with("on") || ["href", "src", "style", "id", "class"].contains(&name);
                    // A name may be an anchor's, in letters, digits and dashes.
                    let is_anchor = |c: char| c.is_ascii_alphanumeric() || c == '-';
                    let is_named =
                        value.contains(MARK) && !value.trim_start_matches('#').chars().all(is_anchor);
                    if is_active && (is_named || value.contains("script:")) {
                        active.push(format!("{} {name}={value}", element.name()));
                    }
                }
                if ["script", "style"].contains(&element.name()) {
                    code.extend(
                        node.children().filter_map(|child| Some(child.value().as_text()?.to_string())),
                    );
                }
            }
            Node::Comment(comment) => code.push(comment.to_string()),
            _ => {}
        }
    }
    (elements, code, active)
}

/// The kinds of blocks in order, and whatever of the payload would be markup.
fn markdown_structure(text: &str) -> (Vec<String>, Vec<String>) {
    let (mut blocks, mut active) = (Vec::new(), Vec::new());
    for event in Parser::new_ext(text, Options::all()) {
        match event {
            Event::Start(Tag::Heading { level, .. }) => blocks.push(level.to_string()),
            Event::Start(Tag::TableRow) => blocks.push("row".into()),
            Event::Start(Tag::Table(columns)) => blocks.push(format!("table of {}", columns.len())),
            Event::Start(Tag::Item) => blocks.push("item".into()),
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. })
                if dest_url.contains(MARK) && !is_plot(&dest_url) =>
            {
                active.push(dest_url.to_string());
            }
            Event::Html(html) | Event::InlineHtml(html) if html.contains(MARK) || !is_fold(&html) => {
                active.push(html.to_string());
            }
            Event::Code(code) if code.contains(MARK) => active.push(code.to_string()),
            Event::FootnoteReference(name) => active.push(name.to_string()),
            Event::InlineMath(math) | Event::DisplayMath(math) => active.push(math.to_string()),
            _ => {}
        }
    }
    (blocks, active)
}

/// A plot's name, in letters, digits and dashes.
fn is_plot(link: &str) -> bool {
    let name = link.strip_prefix("plots/").and_then(|name| name.strip_suffix(".svg"));
    name.is_some_and(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'))
}

/// What breaks a line in a table, and what `compare` folds its long tables with.
fn is_fold(html: &str) -> bool {
    ["<br>", "<details><summary>", "</details>"].iter().any(|start| html.starts_with(start))
}

/// No character that a terminal obeys, or that turns the text around it.
#[track_caller]
fn harmless(text: &str) {
    let bad = |c: char| {
        (c.is_control() && c != '\n') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let found = text.find(bad).map(|at| text[at..].chars().take(20).collect::<String>());
    assert_eq!(found, None);
}

fn is_formula(cell: &str) -> bool {
    cell.starts_with(['=', '+', '-', '@', '\t', '\r']) && cell.parse::<f64>().is_err()
}

fn check_tables(run: &Path) {
    for name in ["summary.csv", "comparisons.csv", "accuracy.csv"] {
        let mut rows = csv::Reader::from_path(run.join(name)).unwrap();
        for row in rows.records() {
            for cell in &row.unwrap() {
                assert!(!is_formula(cell), "{name}: {cell}");
                harmless(cell);
            }
        }
    }
}

fn check_plots(run: &Path, report: &str) {
    let mut plots = 0;
    for plot in fs::read_dir(run.join("plots")).unwrap() {
        let path = plot.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(report.contains(&format!("plots/{name}")), "{name} is not linked");
        let svg = fs::read_to_string(&path).unwrap();
        harmless(&svg);
        for node in roxmltree::Document::parse(&svg).unwrap().descendants() {
            assert!(
                !["script", "foreignObject", "image", "a", "use"].contains(&node.tag_name().name()),
                "{name}"
            );
            for attribute in node.attributes() {
                let is_active =
                    attribute.name().starts_with("on") || ["href", "style"].contains(&attribute.name());
                assert!(!(is_active && attribute.value().contains(MARK)), "{name}: {}", attribute.value());
            }
        }
        plots += 1;
    }
    assert!(plots > 0);
}

#[test]
fn strings_of_a_run_folder_are_nothing_but_text_in_every_output() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain");
    planted(&plain, "plant");
    Report::read(&plain, Test::Welch).unwrap().write(&plain).unwrap();
    let read = |run: &Path, name: &str| fs::read_to_string(run.join(name)).unwrap();
    let page = html_structure(&read(&plain, "report.html"));
    let document = markdown_structure(&read(&plain, "report.md"));
    for (index, payload) in PAYLOADS.into_iter().enumerate() {
        let run = folder.path().join(index.to_string());
        assert!(planted(&run, payload) > 500);
        let report = Report::read(&run, Test::Welch).unwrap();
        report.write(&run).unwrap();
        for layout in [Layout::Plain, Layout::Terminal { width: 100 }] {
            let text = report.terminal(layout);
            harmless(&text);
            assert!(text.contains(MARK));
        }
        let (elements, code, active) = html_structure(&read(&run, "report.html"));
        let new: Vec<&String> = elements.difference(&page.0).collect();
        assert!(new.is_empty() && active.is_empty(), "{payload}: {new:?} {active:?}");
        assert_eq!(code, page.1, "{payload}");
        harmless(&read(&run, "report.html").replace('\t', " "));
        let text = read(&run, "report.md");
        assert!(text.contains(MARK));
        harmless(&text);
        let (blocks, active) = markdown_structure(&text);
        assert!(active.is_empty(), "{payload}: {active:?}");
        assert_eq!(blocks.len(), document.0.len(), "{payload}");
        check_tables(&run);
        check_plots(&run, &text);
    }
}

#[test]
fn strings_of_compared_folders_are_nothing_but_text() {
    let folder = tempfile::tempdir().unwrap();
    let settings = compare::Settings { threshold: 0.02, fail_above: 0.05 };
    for (index, payload) in PAYLOADS.into_iter().enumerate() {
        let runs = ["before", "after"].map(|name| folder.path().join(format!("{name}-{index}")));
        for run in &runs {
            planted(run, payload);
        }
        let path = runs[1].join("manifest.json");
        let manifest = fs::read_to_string(&path).unwrap().replace("Debian", "<b>plant</b> other");
        fs::write(
            &path,
            manifest.replace("\"runtime_version\":\"", "\"runtime_version\":\"other <i>plant</i>"),
        )
        .unwrap();
        let compared = compare::compare(&runs[0], &runs[1..], &[], settings).unwrap();
        for listed in [Listed::All, Listed::Changed] {
            harmless(&compare::terminal(&compared, Layout::Terminal { width: 100 }, listed));
        }
        let text = compare::markdown(&compared);
        harmless(&text);
        let (_, active) = markdown_structure(&text);
        assert!(active.is_empty(), "{payload}: {active:?}");
        assert!(text.contains(MARK));
    }
}

/// What a plugin is called and what it says is shown, and nothing of it obeyed.
#[cfg(unix)]
#[test]
fn a_plugins_text_reaches_no_terminal_as_commands() {
    let host = crate::support::Host::new();
    let folder = host.path("plugins");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("libinferhost_plugin_\u{1b}[2Jplant\u{9b}31m.so"), "no library \u{1b}[31m")
        .unwrap();
    let folder = folder.to_str().unwrap();
    let listed = host.run(&["backends", "--plugin-dir", folder]);
    assert!(listed.stdout.contains(MARK), "{}", listed.stdout);
    harmless(&listed.stdout);
    let json = host.run(&["backends", "--plugin-dir", folder, "--json"]);
    harmless(&json.stdout);
    let names: Value = serde_json::from_str(&json.stdout).unwrap();
    assert!(names.to_string().contains("\\u001b[2Jplant"), "{names}");
    for args in [
        ["prefill", "--plugin", "faulty", "--model", "\u{1b}[2J\u{9b}", "--tokens", "x"],
        ["prefill", "--plugin", "\u{1b}]0;x\u{7}", "--model", "synthetic:tiny-gpt2", "--tokens", "x"],
        ["prefill", "--plugin", "faulty", "--model", "synthetic:\u{1b}c", "--tokens", "\u{85}"],
    ] {
        let ended = host.run(&args);
        assert!(ended.code.is_some_and(|code| (1..=3).contains(&code)), "{}", ended.stderr);
        harmless(&ended.stderr);
    }
}

//! `report.html` of whole run folders: the same bytes every time, and used in a browser as people use it.
//!
//! With `INFERHOST_SCREENSHOTS=folder` the browser test leaves pictures there for people to look at.

use crate::browser::{Browser, chromium};
use crate::support::Host;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const HOSTILE: &str =
    "<script>alert(1)</script><img src=http://127.0.0.1:9/x onerror=alert(2)>\u{1b}[31m\u{202e}\"'&|`";

/// A folder of generated records, written as a host would write it.
struct Folder {
    manifest: Value,
    records: Vec<Value>,
    evaluations: Vec<Value>,
}

impl Folder {
    fn new(models: &[(&str, u64)], backends: &[&str]) -> Self {
        let models: Vec<Value> = models
            .iter()
            .map(|(name, size)| json!({"name": name, "spec": name, "parameters": size, "sha256": "ab12"}))
            .collect();
        let entry = |name: &&str| json!({"name": name, "plugin": "ort", "version": "0.1.0", "runtime": "ONNX Runtime"});
        let backends: Vec<Value> = backends.iter().map(entry).collect();
        let manifest = json!({
            "schema": 1, "name": "page", "inferhost": "0.1.0", "started_at": "2026-11-20T16:00:00Z",
            "ended_at": "2026-11-20T17:00:00Z", "planned_runs": 0, "models": models, "backends": backends,
        });
        Self { manifest, records: Vec::new(), evaluations: Vec::new() }
    }

    /// A run that took `latency` milliseconds; `new_tokens` of 0 is a prefill.
    fn run(
        &mut self,
        names: [&str; 3],
        (batch, prompt, new_tokens): (u64, u64, u64),
        repetition: u64,
        latency: f64,
    ) {
        let [model, backend, scenario] = names;
        let generates = new_tokens > 0;
        let tokens = batch * (prompt + new_tokens);
        let steps: Vec<f64> =
            (0..new_tokens).map(|step| latency / new_tokens as f64 * (1.0 + step as f64 * 0.01)).collect();
        let second = self.records.len() as u64 % 3600;
        self.records.push(json!({
            "schema": 1, "cell": format!("{model}/{backend}/{scenario}/{new_tokens}"), "model": model, "backend": backend,
            "scenario": scenario, "mode": if generates { "generate" } else { "prefill" }, "batch": batch,
            "prompt_tokens": prompt, "new_tokens": new_tokens, "use_cache": generates.then_some(true), "round": 0,
            "repetition": repetition, "status": "ok", "latency_ms": latency, "ttft_ms": steps.first(), "token_ms": steps,
            "tokens_processed": tokens, "throughput_tok_s": tokens as f64 / latency * 1e3, "degraded": null,
            "telemetry": {"rss_peak_mb": 100.0 + latency, "cpu_mean_pct": 180.0, "energy_j": latency * 0.02}, "output_digest": "aa",
            "started_at": format!("2026-11-20T16:{:02}:{:02}.000Z", second / 60, second % 60), "worker_pid": 1,
        }));
    }

    /// Turns the last run into one that was lost.
    fn lose(&mut self, kind: &str, message: &str) {
        let record = self.records.last_mut().unwrap();
        for field in
            ["latency_ms", "ttft_ms", "tokens_processed", "throughput_tok_s", "output_digest", "telemetry"]
        {
            record[field] = Value::Null;
        }
        record["token_ms"] = json!([]);
        record["status"] = json!("degraded");
        record["degraded"] =
            json!({"kind": kind, "stage": "run", "message": message, "signal": 11, "exit_code": null});
    }

    fn evaluate(&mut self, model: &str, backend: &str, baseline: &str, perplexity: f64, verdict: &str) {
        let against = (backend != baseline).then(|| json!({"relative_difference": perplexity / 200.0 - 1.0, "ln_ppl_ratio": (perplexity / 200.0).ln(), "ln_ppl_ratio_se": 1e-6}));
        self.evaluations.push(json!({
            "schema": 1, "model": model, "backend": backend, "baseline": baseline, "vocab_size": 50257,
            "corpus": {"name": HOSTILE, "sha256": "ab", "tokens": 1000, "predicted": 990, "windows": 10, "window": 100, "stride": 100},
            "precision": "fp32", "threshold": 0.001, "verdict": verdict, "degraded": null, "worker_pid": 1,
            "started_at": "2026-11-20T16:00:00Z",
            "figures": {"tokens": 990, "perplexity": perplexity, "logprob_mean": -5.3, "logprob_sd": 3.0, "logprob_min": -19.0,
                "logprob_max": -0.1, "seconds": 2.0, "call_seconds": 1.5, "tok_s": 495.0, "against": against, "distributions": null},
        }));
    }

    fn write(mut self, path: &Path) -> PathBuf {
        std::fs::create_dir_all(path).unwrap();
        self.manifest["planned_runs"] = json!(self.records.len());
        self.manifest["planned_evaluations"] = json!(self.evaluations.len());
        let lines = |values: &[Value]| values.iter().map(|value| format!("{value}\n")).collect::<String>();
        std::fs::write(path.join("manifest.json"), self.manifest.to_string()).unwrap();
        std::fs::write(path.join("records.jsonl"), lines(&self.records)).unwrap();
        if !self.evaluations.is_empty() {
            std::fs::write(path.join("accuracy.jsonl"), lines(&self.evaluations)).unwrap();
        }
        path.into()
    }
}

/// Everything a report can show: sizes with a crossing, accuracy, degraded cells, names that are markup.
fn rich() -> Folder {
    let models =
        [("m-1m", 1_000_000), ("m-10m", 10_000_000), ("m-100m", 100_000_000), (HOSTILE, 1_000_000_000)];
    let backends = ["baseline", "ort-cpu-int8-dynamic-with-a-long-name", HOSTILE];
    let mut folder = Folder::new(&models, &backends);
    for (size, (model, _)) in models.iter().enumerate() {
        for (index, backend) in backends.iter().enumerate() {
            for (scenario, shape) in
                [("single_micro", (1, 8, 8)), ("batch_medium", (4, 19, 8)), ("single_micro", (1, 8, 0))]
            {
                for repetition in 0..6 {
                    let noise = 1.0 + ((repetition * 37 + index as u64 * 11) % 17) as f64 / 200.0;
                    let growth = if index == 1 { 6.0 } else { 8.0 };
                    let latency = 10.0 * f64::powi(growth, size as i32) * noise / [1.0, 0.4, 1.3][index];
                    folder.run([model, backend, scenario], shape, repetition, latency);
                    if index == 2 && repetition % 3 == 0 {
                        folder.lose("crashed", HOSTILE);
                    }
                }
            }
            let verdict = ["baseline", "pass", "failed"][index];
            folder.evaluate(model, backend, "baseline", 200.0 + index as f64 * 0.05, verdict);
        }
    }
    folder
}

fn folders(host: &Host) -> Vec<PathBuf> {
    let nothing = Folder::new(&[], &[]);
    let mut single = Folder::new(&[("m", 5)], &["only"]);
    single.run(["m", "only", "s"], (1, 8, 0), 0, 2.0);
    let mut lost = Folder::new(&[("m", 5)], &["gone", "lost"]);
    for backend in ["gone", "lost"] {
        lost.run(["m", backend, "s"], (1, 8, 4), 0, 2.0);
        lost.lose("runtime_missing", HOSTILE);
    }
    // As results of other tools come in: no times of tokens, no digest, no telemetry, another cell id.
    let mut imported = Folder::new(&[("m", 5)], &["llama-bench", "ours"]);
    for (repetition, backend) in [(0, "llama-bench"), (0, "ours"), (1, "llama-bench"), (1, "ours")] {
        imported.run(["m", backend, "pp512"], (1, 512, 0), repetition, 100.0);
        let record = imported.records.last_mut().unwrap();
        (record["telemetry"], record["output_digest"], record["worker_pid"]) =
            (Value::Null, Value::Null, Value::Null);
        (record["started_at"], record["cell"]) = (json!(""), json!(format!("imported \"{backend}\" #1?")));
    }
    let named =
        [("rich", rich()), ("nothing", nothing), ("single", single), ("lost", lost), ("imported", imported)];
    named.into_iter().map(|(name, folder)| folder.write(&host.path(name))).collect()
}

fn report(host: &Host, folder: &Path) -> String {
    host.run(&[Path::new("report"), folder]).succeeds().stdout.clone()
}

fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let listed =
        |path: &Path| std::fs::read_dir(path).into_iter().flatten().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> =
        listed(folder).chain(listed(&folder.join("plots"))).filter(|path| path.is_file()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), std::fs::read(&path).unwrap())).collect()
}

#[test]
fn a_folder_gives_the_same_bytes_every_time() {
    let host = Host::new();
    for folder in folders(&host) {
        let text = report(&host, &folder);
        assert!(text.trim_end().ends_with("report.html"), "{text}");
        let first = files(&folder);
        report(&host, &folder);
        assert!(first == files(&folder), "{}", folder.display());
        let page = std::fs::read_to_string(folder.join("report.html")).unwrap();
        let (before, after) = (page.split("<script>").next().unwrap(), page.matches("<script").count());
        assert!(after == 1 && !before.contains("<img") && !before.contains("NaN"), "{}", folder.display());
        for (path, text) in
            first.iter().filter(|(path, _)| path.extension().is_some_and(|kind| kind == "svg"))
        {
            let text = std::str::from_utf8(text).unwrap();
            assert!(!text.contains("<script") && !text.contains("NaN"), "{}", path.display());
        }
    }
}

#[test]
fn the_page_works_in_a_browser() {
    let Some(program) = chromium() else {
        println!(
            "skipped: no Chromium found; set INFERHOST_CHROMIUM or install one (Debian: apt install chromium)"
        );
        return;
    };
    let host = Host::new();
    let mut browser = Browser::start(&program);
    for folder in folders(&host) {
        report(&host, &folder);
        let page = folder.join("report.html");
        for width in [360, 1280] {
            browser.open(&page, width, 900);
            let found = browser.evaluate(SOUND);
            assert_eq!(found, json!([]), "{} at {width}", folder.display());
            assert_eq!(browser.complaints(), [""; 0], "{} at {width}", folder.display());
            picture(&mut browser, &folder, width);
        }
    }
    let page = host.path("rich").join("report.html");
    sorts(&mut browser, &page);
    changes_its_theme(&mut browser, &page);
    reads_values_out(&mut browser, &page);
    leads_to_cells(&mut browser, &page);
    assert_eq!(browser.complaints(), [""; 0]);
}

fn picture(browser: &mut Browser, folder: &Path, width: u32) {
    if let Some(out) = std::env::var_os("INFERHOST_SCREENSHOTS") {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        std::fs::write(Path::new(&out).join(format!("{name}-{width}.png")), browser.screenshot()).unwrap();
    }
}

/// What is wrong with the page: nothing. Both themes' contrast is that of WCAG 2.2 AA.
const SOUND: &str = r##"(() => {
    const wrong = [];
    const all = (selector) => [...document.querySelectorAll(selector)];
    const ids = all("[id]").map((node) => node.id);
    if (new Set(ids).size !== ids.length) wrong.push("an id is there twice");
    for (const link of all("a[href]")) {
        const href = link.getAttribute("href");
        if (!href.startsWith("#") || !document.getElementById(href.slice(1))) wrong.push(`the link ${href} leads nowhere`);
    }
    for (const node of all("[aria-labelledby], [aria-describedby]")) {
        for (const name of ["aria-labelledby", "aria-describedby"]) {
            const id = node.getAttribute(name);
            if (id && !document.getElementById(id)) wrong.push(`${name}=${id} names nothing`);
        }
    }
    if (document.documentElement.scrollWidth > innerWidth) wrong.push(`wider than the window: ${document.documentElement.scrollWidth}`);
    for (const th of all("th")) if (!th.scope || !th.textContent.trim()) wrong.push(`a th without scope or text: ${th.outerHTML}`);
    for (const table of all("table")) if (!table.caption?.textContent.trim()) wrong.push("a table without a caption");
    for (const svg of all("svg")) if (svg.getAttribute("role") !== "img") wrong.push("an svg that is no image");
    let last = 0;
    for (const heading of all("h1, h2, h3, h4")) {
        const level = Number(heading.tagName[1]);
        if (level > last + 1) wrong.push(`a heading after h${last}: ${heading.outerHTML}`);
        last = level;
    }
    for (const landmark of ["main", "nav", "header", "footer"]) if (all(landmark).length !== 1) wrong.push(`not one ${landmark}`);
    const channel = (value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    const luminance = (colour) => {
        const [r, g, b] = colour.match(/[\d.]+/g).map((part) => channel(part / 255));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const paper = (node) => {
        for (let at = node; at; at = at.parentElement) {
            const colour = getComputedStyle(at).backgroundColor;
            if (colour !== "rgba(0, 0, 0, 0)") return colour;
        }
        return "rgb(255, 255, 255)";
    };
    for (const theme of ["light", "dark"]) {
        document.documentElement.dataset.theme = theme;
        for (const node of all("main *, header *, footer *")) {
            const text = [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
            if (!text || !node.checkVisibility() || ["title", "desc"].includes(node.tagName)) continue;
            const [a, b] = [luminance(getComputedStyle(node).color), luminance(paper(node))];
            const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
            if (contrast < 4.5) wrong.push(`${theme}: contrast ${contrast.toFixed(2)} of ${node.tagName} ${node.textContent.slice(0, 40)}`);
        }
    }
    delete document.documentElement.dataset.theme;
    return [...new Set(wrong)].slice(0, 20);
})()"##;

/// The third column of the first table with numbers: its values, and what its header says.
const COLUMN: &str = r#"(() => {
    const table = document.querySelector("section[aria-labelledby^=model-1] table");
    return [table.tHead.rows[0].cells[2].getAttribute("aria-sort"), [...table.tBodies[0].rows].map((row) => Number(row.cells[2].dataset.value))];
})()"#;

fn sorts(browser: &mut Browser, page: &Path) {
    browser.open(page, 1280, 900);
    let button = "section[aria-labelledby^=model-1] table th:nth-child(3) button";
    let is_sorted = |found: &Value, way: &str| {
        let values: Vec<f64> =
            found[1].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect();
        let ordered = |pair: &[f64]| if way == "ascending" { pair[0] <= pair[1] } else { pair[0] >= pair[1] };
        assert!(values.len() > 2 && found[0] == way && values.windows(2).all(ordered), "{way}: {found}");
    };
    assert_eq!(browser.evaluate(COLUMN)[0], "none");
    browser.click(button);
    is_sorted(&browser.evaluate(COLUMN), "ascending");
    browser.evaluate(&format!("document.querySelector({button:?}).focus()"));
    browser.press("Enter");
    is_sorted(&browser.evaluate(COLUMN), "descending");
    browser.press("Enter");
    is_sorted(&browser.evaluate(COLUMN), "ascending");
}

fn changes_its_theme(browser: &mut Browser, page: &Path) {
    browser.open(page, 1280, 900);
    let state = "[getComputedStyle(document.body).backgroundColor, document.querySelector('.theme').getAttribute('aria-pressed')]";
    let before = browser.evaluate(state);
    browser.click(".theme");
    let after = browser.evaluate(state);
    assert!(before[0] != after[0] && before[1] == "false" && after[1] == "true", "{before} {after}");
    browser.evaluate("document.querySelector('.theme').focus()");
    browser.press("Enter");
    assert_eq!(browser.evaluate(state), before);
}

fn reads_values_out(browser: &mut Browser, page: &Path) {
    browser.open(page, 1280, 900);
    let said = "document.querySelector('.tip').textContent";
    browser.evaluate("document.querySelector('.plot').focus()");
    assert_eq!(browser.evaluate(said), "");
    browser.press("ArrowRight");
    let first = browser.evaluate(said);
    browser.press("End");
    let last = browser.evaluate(said);
    assert!(first.as_str().unwrap().contains("n = ") && last != first, "{first} {last}");
    browser.press("Escape");
    assert_eq!(browser.evaluate(said), "");
}

fn leads_to_cells(browser: &mut Browser, page: &Path) {
    browser.open(page, 1280, 900);
    let cell =
        "document.querySelector(document.querySelector('section[aria-labelledby^=model-1] td a').hash)";
    assert_eq!(browser.evaluate(&format!("{cell}.checkVisibility()")), json!(false));
    browser.click("section[aria-labelledby^=model-1] td a");
    let shown = format!(
        "new Promise(done => requestAnimationFrame(() => setTimeout(() => done({cell}.open && {cell}.checkVisibility()))))"
    );
    assert_eq!(browser.evaluate(&shown), json!(true));
    let runs = browser.evaluate(&format!("{cell}.textContent.includes('Line of records.jsonl')"));
    assert_eq!(runs, json!(true));
}

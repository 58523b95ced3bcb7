//! What a run looks like while it goes on: a bar with an ETA on a terminal, plain lines elsewhere.

use crate::accuracy;
use crate::output;
use crate::record::Record;
use crate::run::Event;
use crate::text;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Plain lines come no more often than this, but for degraded runs.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// Shows events on standard error.
pub struct Progress {
    bar: Option<ProgressBar>,
    planned: u64,
    recorded: u64,
    at_start: u64,
    degraded: u64,
    begun: Instant,
    last_line: Option<Instant>,
}

impl Progress {
    /// A bar where standard error is a terminal.
    pub fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| ProgressBar::new_spinner().with_style(spinner()));
        if let Some(bar) = &bar {
            bar.enable_steady_tick(Duration::from_millis(120));
        }
        Self {
            bar,
            planned: 0,
            recorded: 0,
            at_start: 0,
            degraded: 0,
            begun: Instant::now(),
            last_line: None,
        }
    }

    /// Shows `event`.
    pub fn show(&mut self, event: &Event<'_>) {
        match event {
            Event::Preparing(what) => match &self.bar {
                Some(bar) => bar.set_message(text::one_line(&format!("preparing {what}"))),
                None => line(&format!("preparing {what}")),
            },
            Event::Building { what, step } => self.building(what, step),
            Event::Note(note) => self.say(&format!("note: {note}")),
            Event::Started { planned, recorded } => self.start(*planned, *recorded),
            Event::Recorded(record) => self.count(record),
            Event::Spared => self.spare(),
        }
    }

    fn building(&mut self, what: &str, step: &str) {
        let text = text::one_line(&format!("building {what}: {step}"));
        match &self.bar {
            Some(bar) => bar.set_message(text),
            None if self.last_line.is_none_or(|last| last.elapsed() >= LINE_INTERVAL) => {
                self.last_line = Some(Instant::now());
                line(&text);
            }
            None => {}
        }
    }

    /// Shows an evaluation's `event`.
    pub fn show_evaluation(&mut self, event: &accuracy::Event<'_>) {
        match event {
            accuracy::Event::Started { planned, recorded } => match &self.bar {
                Some(bar) => bar.set_style(scored()),
                None => line(&format!("{planned} evaluations planned, {recorded} recorded before")),
            },
            accuracy::Event::Scored { model, done, total, tok_s } => self.score(model, *done, *total, *tok_s),
            accuracy::Event::Evaluated(of) => {
                let what = format!("{} {}", of.model, of.backend);
                match &of.degraded {
                    Some(lost) => {
                        let message = text::one_line(&lost.message);
                        self.say(&format!("degraded: {what}: {}: {message}", lost.kind.name()));
                    }
                    None if of.verdict.is_pass() => {}
                    None => self.say(&format!("note: {what}: accuracy {}", of.verdict.name())),
                }
            }
        }
    }

    fn score(&mut self, model: &str, done: u64, total: u64, tok_s: f64) {
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
            bar.set_message(format!("{tok_s:.0} tokens/s  {model}"));
            return;
        }
        let due = self.last_line.is_none_or(|last| last.elapsed() >= LINE_INTERVAL);
        if due || done == total {
            self.last_line = Some(Instant::now());
            line(&format!("{done}/{total} tokens, {tok_s:.0} a second  {model}"));
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn start(&mut self, planned: u64, recorded: u64) {
        (self.planned, self.recorded, self.at_start) = (planned, recorded, recorded);
        self.begun = Instant::now();
        match &self.bar {
            Some(bar) => {
                bar.set_style(counted());
                bar.set_length(planned);
                bar.set_position(recorded);
                bar.reset_eta();
            }
            None => line(&format!("{planned} runs planned, {recorded} recorded before")),
        }
    }

    /// One run less to make.
    fn spare(&mut self) {
        self.planned = self.planned.saturating_sub(1);
        if let Some(bar) = &self.bar {
            bar.set_length(self.planned);
        }
    }

    fn count(&mut self, record: &Record) {
        self.recorded += 1;
        let what = format!("{} {} {} {}", record.model, record.backend, record.scenario, record.mode.name());
        if let Some(degraded) = &record.degraded {
            self.degraded += 1;
            self.say(&format!(
                "degraded: {what}: {}: {}",
                degraded.kind.name(),
                text::one_line(&degraded.message)
            ));
        }
        if let Some(bar) = &self.bar {
            bar.set_position(self.recorded);
            bar.set_message(format!("{} degraded  {what}", self.degraded));
            return;
        }
        let due = self.last_line.is_none_or(|last| last.elapsed() >= LINE_INTERVAL);
        if due || self.recorded == self.planned {
            self.last_line = Some(Instant::now());
            line(&format!(
                "{}/{} runs, {} degraded, about {} left  {what}",
                self.recorded,
                self.planned,
                self.degraded,
                self.left()
            ));
        }
    }

    /// The time the rest takes at the pace so far.
    fn left(&self) -> String {
        let made = self.recorded.saturating_sub(self.at_start).max(1);
        let rest = self.planned.saturating_sub(self.recorded);
        let seconds = self.begun.elapsed().as_secs_f64() / made as f64 * rest as f64;
        format!("{}m{:02}s", seconds as u64 / 60, seconds as u64 % 60)
    }

    fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| line(text)),
            None => line(text),
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

fn line(text: &str) {
    output::say(&text::one_line(text));
}

fn spinner() -> ProgressStyle {
    ProgressStyle::with_template("{spinner} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn scored() -> ProgressStyle {
    ProgressStyle::with_template("{bar:24} {pos}/{len} tokens  {elapsed} gone  {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn counted() -> ProgressStyle {
    ProgressStyle::with_template("{bar:24} {pos}/{len} runs  {elapsed} gone, {eta} left  {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

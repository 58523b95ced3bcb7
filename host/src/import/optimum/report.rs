//! The report of a benchmark: a section for each part of the work, with every value measured.

use crate::import::series::Run;
use crate::record::Telemetry;
use serde::Deserialize;
use std::collections::BTreeMap;

const JOULES_IN_KWH: f64 = 3.6e6;

/// `benchmark_report.json`: sections by name; null where a part was not run.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Report {
    sections: BTreeMap<String, Option<Section>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Section {
    latency: Option<Latency>,
    throughput: Option<Throughput>,
    memory: Option<Memory>,
    energy: Option<Energy>,
}

#[derive(Debug, Clone, Deserialize)]
struct Latency {
    #[serde(default = "seconds")]
    unit: String,
    values: Vec<f64>,
}

fn seconds() -> String {
    "s".into()
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Throughput {
    unit: String,
    value: f64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Memory {
    unit: String,
    max_ram: Option<f64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Energy {
    unit: String,
    total: Option<f64>,
}

impl Section {
    /// Every value, milliseconds.
    fn milliseconds(&self, name: &str) -> Result<Vec<f64>, String> {
        let Some(Latency { unit, values }) = &self.latency else { return Ok(Vec::new()) };
        if unit != "s" {
            return Err(format!("the latency of {name} is in `{unit}`; it should be in s"));
        }
        match values.iter().find(|value| !(value.is_finite() && **value > 0.0)) {
            Some(value) => Err(format!("the latency of {name} holds {value}, which no run can have taken")),
            None if values.is_empty() => Err(format!("the latency of {name} holds no values")),
            None => Ok(values.iter().map(|value| value * 1e3).collect()),
        }
    }

    /// A run for each value.
    pub(super) fn runs(&self, name: &str) -> Result<Vec<Run>, String> {
        Ok(self.milliseconds(name)?.into_iter().map(Run::lasting).collect())
    }

    fn joules(&self) -> Option<f64> {
        let energy = self.energy.as_ref().filter(|energy| energy.unit == "kWh")?;
        energy.total.map(|kwh| kwh * JOULES_IN_KWH)
    }

    fn rss_mb(&self) -> Option<f64> {
        self.memory.as_ref().filter(|memory| memory.unit == "MB")?.max_ram
    }

    /// What the part used; none where neither memory nor energy was measured.
    pub(super) fn telemetry(&self) -> Option<Telemetry> {
        telemetry(self.rss_mb(), self.joules())
    }
}

fn telemetry(rss_peak_mb: Option<f64>, energy_j: Option<f64>) -> Option<Telemetry> {
    let known = rss_peak_mb.is_some() || energy_j.is_some();
    known.then(|| Telemetry { rss_peak_mb, energy_j, ..Telemetry::default() })
}

/// Whole generations.
pub(super) struct Generations {
    pub(super) runs: Vec<Run>,
    pub(super) note: Option<String>,
}

impl Report {
    fn section(&self, name: &str) -> Option<&Section> {
        self.sections.get(name)?.as_ref()
    }

    /// The section of that name, where it has latencies.
    pub(super) fn measured(&self, name: &str) -> Option<&Section> {
        self.section(name).filter(|section| section.latency.is_some())
    }

    fn milliseconds(&self, name: &str) -> Result<Option<Vec<f64>>, String> {
        self.measured(name).map(|section| section.milliseconds(name)).transpose()
    }

    /// The generations, of `new_tokens` tokens each.
    pub(super) fn generations(&self, new_tokens: u32) -> Result<Generations, String> {
        let (prefill, decode) = (self.milliseconds("prefill")?, self.milliseconds("decode")?);
        let (whole, per_token) = (self.milliseconds("generate")?, self.milliseconds("per_token")?);
        match (prefill, decode, whole, per_token) {
            (Some(prefill), Some(decode), whole, Some(per_token)) if prefill.len() == decode.len() => {
                let sums = prefill.iter().zip(&decode).map(|(prefill, decode)| prefill + decode).collect();
                let whole = whole.filter(|whole| whole.len() == prefill.len()).unwrap_or(sums);
                Ok(timed_by_token(&whole, [&prefill, &decode], &per_token, new_tokens))
            }
            (_, _, Some(whole), _) => Ok(Generations { runs: lasting(whole), note: None }),
            (Some(prefill), Some(decode), None, _) => {
                let mean = prefill.iter().sum::<f64>() / prefill.len() as f64;
                let note = "latency is decode and the mean of prefill, which the tool took off".to_string();
                let whole = decode.iter().map(|decode| decode + mean).collect();
                Ok(Generations { runs: lasting(whole), note: Some(note) })
            }
            _ => Err("decode is there without prefill, so no generation's latency is known".into()),
        }
    }

    /// Of a generation: its own figures, else those of its two parts together.
    pub(super) fn telemetry_of_generation(&self) -> Option<Telemetry> {
        let of = |name: &str, value: fn(&Section) -> Option<f64>| self.section(name).and_then(value);
        let parts = of("prefill", Section::joules).zip(of("decode", Section::joules));
        let joules =
            of("generate", Section::joules).or_else(|| parts.map(|(prefill, decode)| prefill + decode));
        let rss = of("generate", Section::rss_mb).or_else(|| of("decode", Section::rss_mb));
        telemetry(rss, joules)
    }

    /// Decode steps of each of `rows`, from the tokens a second and the mean latency.
    pub(super) fn decode_steps(&self, rows: u32) -> Option<u32> {
        let section = self.measured("decode")?;
        let throughput = section.throughput.as_ref().filter(|of| of.unit == "tokens/s")?;
        let values = &section.latency.as_ref()?.values;
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let steps = throughput.value * mean / f64::from(rows);
        let whole = steps.round();
        ((steps - whole).abs() < 1e-3 && (0.0..1e9).contains(&whole)).then_some(whole as u32)
    }

    /// The sections with latencies that are no runs of a cell.
    pub(super) fn left_out(&self) -> Option<String> {
        let used = ["forward", "prefill", "decode", "generate", "per_token"];
        let measured = self.sections.keys().filter(|name| self.measured(name).is_some());
        let names: Vec<&str> = measured.map(String::as_str).filter(|name| !used.contains(name)).collect();
        (!names.is_empty()).then(|| names.join(", "))
    }
}

fn lasting(latencies: Vec<f64>) -> Vec<Run> {
    latencies.into_iter().map(Run::lasting).collect()
}

/// Generations whose prefill was timed within them, and their tokens where it is known whose they are.
fn timed_by_token(whole: &[f64], parts: [&[f64]; 2], per_token: &[f64], new_tokens: u32) -> Generations {
    let [prefill, decode] = parts;
    let steps = steps_of(per_token, decode, new_tokens.saturating_sub(1) as usize);
    let token_ms = |run: usize| {
        let of_run = steps.as_ref().and_then(|steps| steps.get(run).copied());
        of_run.map(|steps| std::iter::once(prefill[run]).chain(steps.iter().copied()).collect())
    };
    let one = |(run, &latency_ms)| Run {
        latency_ms,
        ttft_ms: Some(prefill[run]),
        token_ms: token_ms(run).unwrap_or_default(),
    };
    let mut note = "ttft and tokens are timed when their logits are there".to_string();
    if steps.is_none() {
        let (found, runs) = (per_token.len(), whole.len());
        note += &format!(
            "; whose of {runs} runs the {found} values of per_token are is unknown: they are left out"
        );
    }
    Generations { runs: whole.iter().enumerate().map(one).collect(), note: Some(note) }
}

/// The decode steps of each run. The tool wrote them one run after the other at first and in 0.4; in 0.3 with the time
/// between two runs; and since 0.5 once more after every run, all from the first on, with those times. Which it was
/// shows in their number, and that it was in no run's steps taking longer than its decode.
fn steps_of<'a>(per_token: &'a [f64], decode: &[f64], steps: usize) -> Option<Vec<&'a [f64]>> {
    let (runs, tokens) = (decode.len(), steps + 1);
    let with_gaps = (runs * tokens).checked_sub(1)?;
    let again_each_time = (runs * (runs + 1) / 2 * tokens).checked_sub(runs)?;
    let (values, stride) = match per_token.len() {
        found if found == runs * steps => (per_token, steps),
        found if found == with_gaps => (per_token, tokens),
        found if found == again_each_time => (&per_token[found - with_gaps..], tokens),
        _ => return None,
    };
    let of_run: Option<Vec<&[f64]>> =
        (0..runs).map(|run| values.get(run * stride..run * stride + steps)).collect();
    // Sums of floats: not exactly so.
    let fits = |(steps, decode): (&&[f64], &f64)| steps.iter().sum::<f64>() <= decode * 1.000_001;
    of_run.filter(|of_run| of_run.iter().zip(decode).all(fits))
}

//! An open engine: batches to runs, runs to what was asked for.

use crate::driver::Driver;
use crate::engine::{Folder, precision_of};
use crate::graph::Graphs;
use crate::layout::narrow;
use crate::library::{Kind, Loaded};
use crate::memory::Stream;
use crate::nvinfer::Engine;
use crate::options::Options;
use crate::runner::{Runner, Wanted};
use inferhost_plugin_api::build::BuildReport;
use inferhost_plugin_api::decode::{GreedyModel, NextLogits, StepModel, generate, generate_greedily};
use inferhost_plugin_api::shapes::{Shapes, Span, covering};
use inferhost_plugin_api::{
    Batch, Error, GenerateOptions, Logits, ModelForm, OpenRequest, Positions, RVec, Session, SessionInfo,
    TokenSink,
};

/// Most bytes of logits that `logprobs` has computed at once.
const LOGPROB_BYTES: usize = 256 << 20;

/// An engine in use.
pub struct TensorRtSession {
    runner: Runner,
    info: SessionInfo,
    /// Whether greedy tokens are chosen on the device.
    device_argmax: bool,
    /// The last step's logits, `[rows, vocab]`.
    next: Vec<f32>,
}

/// Opens the engine's folder that `request` names.
///
/// # Errors
/// For another form, files that are missing or damaged, an engine of another version or device, or one that takes or gives
/// something else than this plugin feeds and reads.
pub(crate) fn open(
    request: &OpenRequest<'_>,
    options: Options,
    library: Loaded,
    driver: Driver,
) -> Result<TensorRtSession, Error> {
    if request.form != ModelForm::EnginePlan {
        let form = request.form.name();
        return Err(Error::unsupported(format!(
            "tensorrt opens engines, form plan, not {form}; set artifact = \"plan-fp16\" or its like to have one built"
        )));
    }
    let mut folder = Folder::read(request.path)?;
    let stream = Stream::new(driver.context())?;
    let (engine, contract) = folder.deserialize(&library, options.version_compatible)?;
    let mut info = info(&options, &library, &driver, &folder.report);
    info.vocab_size = narrow(contract.vocab);
    info.context_length = folder.sizes.context.map(narrow);
    info.model_bytes = Some(engine.weight_bytes().unwrap_or(folder.plan.len() as u64));
    info.details.extend(of_engine(&engine, &folder));
    folder.plan = Vec::new();
    let graphs = Graphs::new(options.cuda_graph.into());
    let runner = Runner::new(engine, contract, folder.report.profiles, stream, graphs)?;
    Ok(TensorRtSession { runner, info, device_argmax: options.device_argmax, next: Vec::new() })
}

fn info(options: &Options, library: &Loaded, driver: &Driver, report: &BuildReport) -> SessionInfo {
    let library = library.library();
    let kind = if library.kind == Kind::Lean { " lean" } else { "" };
    let (cuda_graph, chosen) = match (options.cuda_graph, options.device_argmax) {
        (Some(true), true) => ("each greedy decode step, or the call fails", "on the device"),
        (None, true) => ("tried; the log says where a step could not be captured", "on the device"),
        (Some(false), true) => ("off", "on the device"),
        (_, false) => ("off: tokens are chosen on the host", "on the host"),
    };
    let driver_version = format!("CUDA {}.{}", driver.version() / 1000, driver.version() % 1000 / 10);
    let details = [
        ("device_name", driver.device().to_string()),
        ("driver", driver_version),
        ("library", library.path.display().to_string()),
        ("cuda_graph", cuda_graph.to_string()),
        ("greedy_tokens", chosen.to_string()),
        ("kv_cache", "past_key_values, two blocks in turn".to_string()),
        ("artifact_precision", report.precision.clone()),
        ("built_by", report.identity.runtime.clone()),
        ("built_on", report.identity.device.clone()),
    ];
    let known = details.into_iter().filter(|(_, value)| !value.is_empty());
    SessionInfo {
        device: options.device.to_string(),
        precision: precision_of(&report.precision),
        runtime_version: Some(format!("{}{kind}", library.version)),
        details: known.map(|(key, value)| (key.to_string(), value)).collect(),
        ..SessionInfo::default()
    }
}

fn of_engine(engine: &Engine, folder: &Folder) -> [(String, String); 3] {
    let profiles = folder.report.profiles.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    [
        ("plan_bytes", folder.plan.len().to_string()),
        ("profiles", profiles),
        ("activation_bytes", engine.activation_bytes().to_string()),
    ]
    .map(|(key, value)| (key.to_string(), value))
}

impl TensorRtSession {
    /// Runs rows through an empty cache that can grow to `capacity` positions.
    fn begin(&mut self, batch: Batch<'_>, capacity: usize, wanted: Wanted) -> Result<(), Error> {
        let rows: Vec<&[u32]> = batch.iter().collect();
        self.runner.start(&rows, batch.longest(), capacity, wanted)?;
        self.runner.run(wanted)
    }

    /// Logits of each row's last position into `next`.
    fn next_logits(&mut self) -> Result<NextLogits<'_>, Error> {
        let count = self.runner.layout().rows() * self.runner.contract().vocab;
        self.next.resize(count, 0.0);
        self.runner.logits(true, &mut self.next)?;
        Ok(NextLogits::F32(&self.next))
    }

    /// How many of the first of `rows` run together, and to how many positions they are padded: the most that a profile
    /// runs. The last token of a row predicts nothing, so that it is not fed; a profile for whole rows is made use of with
    /// one position more of padding.
    fn together(&self, rows: &[Asked<'_>]) -> (usize, usize) {
        let contract = self.runner.contract();
        let per_position = contract.vocab * contract.logits_element.size();
        let longest = |count: usize| rows[..count].iter().map(|row| row.fed.len()).max().unwrap_or(0);
        let most = self.runner.profiles().iter().map(|profile| profile.batch.max as usize).max().unwrap_or(1);
        for count in (1..=rows.len().min(most)).rev() {
            let fed = longest(count);
            if count > 1 && count * (fed + 1) * per_position > LOGPROB_BYTES {
                continue;
            }
            for fed in [fed, fed + 1] {
                let shapes = Shapes::prefill(Span::of(narrow(count)), Span::of(narrow(fed)));
                if covering(self.runner.profiles(), &shapes).is_some() {
                    return (count, fed);
                }
            }
        }
        // In no profile: to be refused with the shape that was asked for.
        (rows.len(), longest(rows.len()))
    }
}

/// A row of which logprobs are wanted.
struct Asked<'a> {
    /// All tokens but the last, which predicts nothing.
    fed: &'a [u32],
    /// All tokens but the first, which nothing predicts.
    next: &'a [u32],
    /// Where their logprobs go.
    to: &'a mut [f64],
}

/// The rows that have something to predict, with their places in `to`.
fn asked<'a>(batch: Batch<'a>, mut to: &'a mut [f64]) -> Vec<Asked<'a>> {
    let rows = batch.iter().filter_map(|row| {
        let (_, next) = row.split_first()?;
        let own = to.split_off_mut(..next.len())?;
        (!next.is_empty()).then_some(Asked { fed: &row[..next.len()], next, to: own })
    });
    rows.collect()
}

impl Session for TensorRtSession {
    fn info(&self) -> SessionInfo {
        self.info.clone()
    }

    fn prefill(&mut self, batch: Batch<'_>, positions: Positions, logits: &mut Logits) -> Result<(), Error> {
        self.runner.enter()?;
        let vocab = self.runner.contract().vocab;
        let floats = logits.as_f32_mut(vocab, positions.count(batch) * vocab);
        let wanted = match positions {
            Positions::Last => Wanted::Last,
            Positions::All => Wanted::All,
        };
        self.begin(batch, batch.longest(), wanted)?;
        self.runner.logits(wanted == Wanted::Last, floats)
    }

    fn generate(
        &mut self,
        batch: Batch<'_>,
        options: &GenerateOptions<'_>,
        sink: &mut dyn TokenSink,
    ) -> Result<(), Error> {
        self.runner.enter()?;
        match self.device_argmax && options.temperature == 0.0 {
            true => generate_greedily(self, batch, options, sink),
            false => generate(self, batch, options, sink),
        }
    }

    fn logprobs(&mut self, batch: Batch<'_>, logprobs: &mut RVec<f64>) -> Result<(), Error> {
        self.runner.enter()?;
        let done = logprobs.len();
        logprobs.resize(done + batch.total_tokens() - batch.rows(), 0.0);
        let mut rows = asked(batch, &mut logprobs[done..]);
        let mut left = rows.as_mut_slice();
        while !left.is_empty() {
            let (count, fed) = self.together(left);
            let (now, later) = left.split_at_mut(count);
            let tokens: Vec<&[u32]> = now.iter().map(|row| row.fed).collect();
            self.runner.start(&tokens, fed, fed, Wanted::All)?;
            self.runner.run(Wanted::All)?;
            let next: Vec<&[u32]> = now.iter().map(|row| row.next).collect();
            self.runner.logprobs(&next, |row, found| now[row].to.copy_from_slice(found))?;
            left = later;
        }
        Ok(())
    }
}

impl StepModel for TensorRtSession {
    fn start(&mut self, batch: Batch<'_>, capacity: usize) -> Result<NextLogits<'_>, Error> {
        self.begin(batch, capacity, Wanted::Last)?;
        self.next_logits()
    }

    fn step(&mut self, tokens: &[u32]) -> Result<NextLogits<'_>, Error> {
        self.runner.feed(tokens)?;
        self.runner.run(Wanted::Last)?;
        self.next_logits()
    }
}

impl GreedyModel for TensorRtSession {
    fn start(&mut self, batch: Batch<'_>, capacity: usize) -> Result<&[u32], Error> {
        self.begin(batch, capacity, Wanted::Last)?;
        self.runner.choose()?;
        self.runner.tokens()
    }

    fn step(&mut self) -> Result<&[u32], Error> {
        self.runner.step()?;
        self.runner.tokens()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_predict_something_are_asked() {
        let batch = Batch::new(&[1, 2, 3, 4, 5, 6], &[2, 1, 3]);
        let mut to = [0.0; 3];
        let asked = asked(batch, &mut to);
        let lengths: Vec<_> = asked.iter().map(|row| (row.fed, row.next, row.to.len())).collect();
        assert_eq!(lengths, [(&[1][..], &[2][..], 1), (&[4, 5], &[5, 6], 2)]);
    }
}

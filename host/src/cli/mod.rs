//! The command line, as typed.

mod artifacts;
mod compare;
mod doctor;
mod folders;
mod hidden;
mod plugins;

pub use artifacts::{ArtifactsAction, ArtifactsArgs, PrepareArgs};
pub use compare::CompareArgs;
pub use doctor::DoctorArgs;
pub use folders::{Execution, ImportArgs, MergeArgs, RerunArgs, RunArgs};
pub use hidden::{GuardArgs, WorkerArgs};
pub use plugins::PluginDirs;

use crate::run::Isolation;
use crate::stats::Test;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Runs the same LLM inference work on every runtime plugin, each in its own worker process, and says with
/// numbers which runtime to use.
#[derive(Debug, Parser)]
#[command(name = "inferhost", version, arg_required_else_help = true)]
#[command(
    after_help = "Example:\n  inferhost run configs/quickstart.toml --out runs/first && inferhost report runs/first\n\n\
    Exit codes: 0 done, 1 failed (eval: a backend does not pass; compare: a regression), 2 bad input, 3 the plugin failed, 130 interrupted."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the plugins found, and what each says of itself
    #[command(after_help = "Example:\n  inferhost backends --plugin-dir target/release --json")]
    Backends(BackendsArgs),
    /// Show which runs a config asks for, and which profile of an engine runs what, without running any
    #[command(after_help = "Example:\n  inferhost plan configs/quickstart.toml\n\n\
        A cell on an engine (artifact plan-…) is followed by the shapes that it submits, rows x tokens after cached positions, each \
        with the profile that runs it; below are the profiles, and cells that none runs: runs of those are recorded as \
        shape_not_covered.")]
    Plan(PlanArgs),
    /// Run a config's matrix and record every run
    #[command(after_help = "Examples:\n  inferhost run configs/quickstart.toml\n  \
        inferhost run configs/quickstart.toml --resume --out runs/quickstart-20261120-160000\n  \
        inferhost run configs/quickstart.toml --shard 1/2 --out runs/here\n\n\
        Plugins are code that you chose to run: they run with your rights. They are loaded from the folders below and from \
        paths that you name, nowhere else; one that any user may change is refused. `sha256` of a [[backends]] table pins one.")]
    Run(RunArgs),
    /// Run a run folder's matrix again from its manifest, and say whether cells and outputs are the same
    #[command(
        after_help = "Example:\n  inferhost rerun runs/first --out runs/again && inferhost compare runs/first runs/again\n\n\
        A folder from elsewhere may name plugins, libraries and environment variables, which then run with your rights: those \
        it names are told before anything is run.\n\n\
        Exit codes: as run; that outputs differ is said, and no failure."
    )]
    Rerun(RerunArgs),
    /// Hold every backend of a config against its baseline, on the corpus that the config names
    #[command(after_help = "Example:\n  inferhost eval configs/reference.toml --out runs/accuracy\n\n\
        Exit codes: 0 every backend passes the gate, 1 one does not, 3 none could be evaluated.")]
    Eval(EvalArgs),
    /// Turn a run folder into a report: a page, tables, plots, and which backend to use
    #[command(after_help = "Example:\n  inferhost report runs/quickstart-20261120-160000")]
    Report(ReportArgs),
    /// Make one run folder of several of the same config: shards, resumed parts, other machines
    #[command(after_help = "Examples:\n  inferhost merge runs/here runs/there --out runs/both\n  \
        inferhost merge runs/monday runs/tuesday --as-rounds --out runs/two-days")]
    Merge(MergeArgs),
    /// Turn results of llama-bench (-o json, jsonl) and optimum-benchmark into records beside ours
    #[command(after_help = "Examples:\n  inferhost import llama-bench.jsonl --out runs/older\n  \
        inferhost import benchmark_report.json --into runs/first --model gpt2-124m")]
    Import(ImportArgs),
    /// Compare the same cells of run folders: another runtime version, another machine
    #[command(after_help = "Examples:\n  inferhost compare runs/before runs/after\n  \
        inferhost compare runs/main runs/branch --markdown --fail-above 10%\n  \
        inferhost compare runs/both runs/both --backend ort-1.30=ort-1.31\n\n\
        A change is a claim where it is significant and at least --threshold. Tested is the latency of each cell's fastest \
        run: of a model on a backend as a whole, of each of its calls, of each cell. Set so that at most 5% of comparisons \
        of two runs of the same have a claim.\n\n\
        Exit codes: 0 no regression, 1 a model on a backend, a call or a cell is significantly slower by more than --fail-above or has degraded runs where \
        it had none, 2 bad input.")]
    Compare(CompareArgs),
    /// Run prompts through a model once and print the last position's logits
    #[command(after_help = "Example:\n  inferhost prefill --plugin candle --model synthetic:tiny-gpt2 \
        --tokens prompts.json --json")]
    Prefill(CallArgs),
    /// Continue prompts once and print the new tokens
    #[command(after_help = "Example:\n  inferhost generate --plugin ort --model hf:openai-community/gpt2 \
        --prompt 'The answer is' --max-new-tokens 20")]
    Generate(GenerateArgs),
    /// Print the log-probability of every token of a prompt given those before it
    #[command(after_help = "Example:\n  inferhost logprobs --plugin candle --option dtype=f64 \
        --model ./my-gpt2 --tokens prompts.json --json")]
    Logprobs(CallArgs),
    /// Turn a model into the form a runtime loads, and say what it holds
    #[command(
        after_help = "Examples:\n  inferhost prepare --model hf:openai-community/gpt2 --artifact onnx-int8-dynamic\n  \
        inferhost prepare --model ./my-llama --artifact 'onnx-int4-weight?block=64' --out my-llama-int4\n  \
        inferhost prepare --model ./my-gpt2 --artifact plan-fp16 --rows 4 --option builder_level=5 --out my-engine\n\n\
        Artifacts: onnx-fp32, onnx-fp16, onnx-bf16, onnx-int8-dynamic, onnx-int8-weight, onnx-int4-weight, \
        onnx-int8-qdq, onnx-fp8-qdq,\nand engines that a plugin builds (by default tensorrt): plan-fp32, plan-fp16, plan-bf16, plan-int8-qdq, plan-fp8-qdq;\n\
        each with settings after a question mark, joined by &:\n  \
        dialect=ort|portable      fused operators of ONNX Runtime, or ai.onnx alone (onnx-…)\n  \
        ids=int64|int32           of token ids, mask and positions (int32: portable)\n  \
        per_channel=true|false    a scale for each output (int8-dynamic, int8-qdq, fp8-qdq)\n  \
        block=16|32|64|128|256    weights that share a scale (int8-weight, int4-weight)\n  \
        calibration=minmax|percentile|entropy, corpus=FILE, samples=N  (int8-qdq, fp8-qdq)"
    )]
    Prepare(PrepareArgs),
    /// List, verify or remove the artifacts in the cache
    #[command(after_help = "Examples:\n  inferhost artifacts list\n  inferhost artifacts verify\n  \
        inferhost artifacts prune --older-than 30")]
    Artifacts(ArtifactsArgs),
    /// Say what is wrong with this machine and its plugins, and the one line that mends each thing
    #[command(after_help = "Examples:\n  inferhost doctor\n  inferhost doctor --plugin ort --json\n\n\
        Every plugin is asked in a worker of its own what it is, and runs a small model whose answer is known. A plugin of \
        inferhost's own that was not built is a warning, unless it is asked for.\n\n\
        Exit codes: 0 all is well or there are warnings alone, 1 the machine lacks something that runs need, 2 bad input, \
        3 a plugin that was found, or asked for, does not work.\n\n\
        JSON: {schema: 1, host_version, interface, level, checks, plugins}. A level is ok, warn or fail; a check is {name, level, \
        message, fix}; a plugin has name, level, fix, path, shadowed, sha256, interface, description, library_from, \
        dependencies [{file, needed, resolved, missing [{name, needed_by, tried}], unreadable}], answer {precision, \
        largest_difference, ms} and checks. `schema` is raised where a field goes away or changes its meaning.")]
    Doctor(DoctorArgs),
    /// Check a plugin against known answers and every rule of the interface
    #[command(after_help = "Example:\n  inferhost conformance --plugin ort --option threads=2 \
        --golden tests/golden")]
    Conformance(ConformanceArgs),
    /// Serve a host (started by the host itself)
    #[command(hide = true)]
    Worker(WorkerArgs),
    /// Clean up after a host (started by the host itself)
    #[command(hide = true)]
    Guard(GuardArgs),
}

/// Of `backends`.
#[derive(Debug, Args)]
pub struct BackendsArgs {
    /// Where plugins are.
    #[command(flatten)]
    pub plugins: PluginDirs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Of `plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// The config
    pub config: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Of `eval`.
#[derive(Debug, Args)]
pub struct EvalArgs {
    /// The config
    pub config: PathBuf,
    /// The run folder [default: runs/NAME-eval-TIME]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Go on with an evaluation that ended early: in --out, or in the config's newest under runs/
    #[arg(long)]
    pub resume: bool,
    /// How it is run and told.
    #[command(flatten)]
    pub execution: Execution,
}

/// Of `report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// The run folder
    #[arg(required_unless_present = "schema")]
    pub run_dir: Option<PathBuf>,
    /// The t-test for differences: of unequal variances, or of one pooled variance
    #[arg(long, value_enum, default_value = "welch")]
    pub test: Test,
    /// Print the analysis as JSON
    #[arg(long)]
    pub json: bool,
    /// Print the JSON Schema of analysis.json, with what each field means
    #[arg(long, conflicts_with_all = ["run_dir", "json"])]
    pub schema: bool,
}

/// A plugin and how it is to be used.
#[derive(Debug, Args)]
pub struct BackendArgs {
    /// A plugin's name, or the path of its library
    #[arg(long, value_name = "NAME|PATH")]
    pub plugin: String,
    /// An option of the plugin; `inferhost backends` lists them
    #[arg(long = "option", value_name = "KEY=VALUE")]
    pub options: Vec<String>,
    /// The artifact to load, such as onnx-fp32 [default: what the plugin prefers]
    #[arg(long, value_name = "NAME")]
    pub artifact: Option<String>,
    /// Where plugins are.
    #[command(flatten)]
    pub plugins: PluginDirs,
}

/// Of the one-off calls.
#[derive(Debug, Args)]
pub struct CallArgs {
    /// On what.
    #[command(flatten)]
    pub backend: BackendArgs,
    /// A folder, an .onnx, .ts or .pt2 file, hf:ORG/NAME or hf:ORG/NAME@REV, or synthetic:SHAPE
    #[arg(long, value_name = "SPEC")]
    pub model: String,
    /// A JSON file of token ids: a list of lists, one a row
    #[arg(long, value_name = "FILE", required_unless_present = "prompt", conflicts_with = "prompt")]
    pub tokens: Option<PathBuf>,
    /// A text, tokenized by the model's own tokenizer
    #[arg(long, value_name = "TEXT")]
    pub prompt: Option<String>,
    /// Longest time for opening the model and for the call, each, seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 600.0)]
    pub deadline_s: f64,
    /// Where the plugin runs
    #[arg(long, value_enum, default_value = "process")]
    pub isolation: Isolation,
    /// Print JSON at full precision
    #[arg(long)]
    pub json: bool,
}

/// Of `generate`.
#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// What every one-off call takes.
    #[command(flatten)]
    pub call: CallArgs,
    /// Tokens to add to each row
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub max_new_tokens: u32,
    /// Run the whole row at every step instead of keeping past_key_values
    #[arg(long)]
    pub no_cache: bool,
    /// End a row at the model's end-of-text token
    #[arg(long)]
    pub stop_at_eos: bool,
    /// 0 is greedy
    #[arg(long, default_value_t = 0.0)]
    pub temperature: f32,
    /// Sample among the K likeliest only; 0 is off
    #[arg(long, value_name = "K", default_value_t = 0)]
    pub top_k: u32,
    /// Sample among the likeliest that together reach P; 1 is off
    #[arg(long, value_name = "P", default_value_t = 1.0)]
    pub top_p: f32,
    /// Of the sampler
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

/// Of `conformance`.
#[derive(Debug, Args)]
pub struct ConformanceArgs {
    /// Of what.
    #[command(flatten)]
    pub backend: BackendArgs,
    /// A folder of golden cases, as scripts/golden.py makes them
    #[arg(long, value_name = "DIR", required = true)]
    pub golden: Vec<PathBuf>,
    /// Largest difference of a logit and of a log-probability from float64
    #[arg(long, value_name = "X", default_value_t = 2e-5)]
    pub tolerance: f64,
    /// Longest time for the suite, which runs in a process of its own, in seconds
    #[arg(long, value_name = "S", default_value_t = 1800.0)]
    pub deadline_s: f64,
    /// Run the suite in this process and write what it found to a file (given by the host itself)
    #[arg(long, value_name = "FILE", hide = true)]
    pub report_to: Option<PathBuf>,
}

//! The least that a program must do to run a graph's prefill with `ort`: everything bound once, then a tight loop.
//! `scripts/bench/overhead.sh` holds the plugin against it.
//!
//! `minimal_loop LIBRARY MODEL TOKENS ITERATIONS THREADS` prints nanoseconds per call as JSON.

use ort::memory::Allocator;
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::{DynTensor, Outlet, Tensor, ValueType};
use std::error::Error;
use std::io::Write;
use std::time::Instant;

const WARM_UPS: usize = 50;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [library, model, tokens, iterations, threads] = arguments.as_slice() else {
        return Err("usage: minimal_loop LIBRARY MODEL TOKENS ITERATIONS THREADS".into());
    };
    let environment = ort::init_from(library)?.with_telemetry(false).build()?;
    let mut session = Session::builder(&environment)?
        .with_intra_threads(threads.parse()?)?
        .with_intra_op_spinning(true)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .commit_from_file(model)?;
    let tokens: i64 = tokens.parse()?;
    let keeps = session.inputs().iter().any(|input| input.name().ends_with("logits_to_keep"));
    let allocator = Allocator::default();
    let mut binding = session.create_binding()?;
    let in_place = session.metadata()?.custom("inferhost.kv_cache").is_some();
    for input in session.inputs() {
        let past = input.name().strip_prefix("past_key_values.").filter(|_| in_place);
        if let Some(part) = past {
            let cache = empty_tensor(&allocator, input, tokens)?;
            binding.bind_input(input.name(), &cache)?;
            binding.bind_output(format!("present.{part}"), cache)?;
        } else {
            binding.bind_input(input.name(), &input_tensor(&allocator, input, tokens)?)?;
        }
    }
    for output in session.outputs().iter().filter(|output| !in_place || output.name() == "logits") {
        let positions = if keeps && output.name() == "logits" { 1 } else { tokens };
        binding.bind_output(output.name(), empty_tensor(&allocator, output, positions)?)?;
    }
    let mut nanoseconds = Vec::new();
    for call in 0..WARM_UPS + iterations.parse::<usize>()? {
        let start = Instant::now();
        session.run_binding(&binding)?;
        if call >= WARM_UPS {
            nanoseconds.push(start.elapsed().as_nanos());
        }
    }
    print(&mut nanoseconds)
}

/// One row of `tokens` ids with nothing before it; 1 for `num_logits_to_keep`.
fn input_tensor(allocator: &Allocator, input: &Outlet, tokens: i64) -> ort::Result<DynTensor> {
    let row = |values: Vec<i64>| Tensor::from_array(([1, tokens], values)).map(Tensor::upcast);
    match input.name() {
        "input_ids" => row((0..tokens).map(|at| at * 31 % 97).collect()),
        "attention_mask" => row(vec![1; tokens as usize]),
        "position_ids" => row((0..tokens).collect()),
        "num_logits_to_keep" | "logits_to_keep" => {
            Tensor::from_array((Vec::<i64>::new(), vec![1i64])).map(Tensor::upcast)
        }
        _ => empty_tensor(allocator, input, 0),
    }
}

/// A tensor of one row, with `positions` where the graph leaves a size open.
fn empty_tensor(allocator: &Allocator, port: &Outlet, positions: i64) -> ort::Result<DynTensor> {
    let ValueType::Tensor { ty, shape, .. } = port.dtype() else {
        return Err(ort::Error::new(format!("{} is no tensor", port.name())));
    };
    let mut shape = shape.to_vec();
    shape[0] = 1;
    shape.iter_mut().filter(|size| **size < 0).for_each(|size| *size = positions);
    DynTensor::new(allocator, *ty, shape)
}

fn print(nanoseconds: &mut [u128]) -> Result<(), Box<dyn Error>> {
    nanoseconds.sort_unstable();
    let (least, median) = (nanoseconds[0], nanoseconds[nanoseconds.len() / 2]);
    let mean = nanoseconds.iter().sum::<u128>() / nanoseconds.len() as u128;
    writeln!(std::io::stdout(), r#"{{"min_ns":{least},"median_ns":{median},"mean_ns":{mean}}}"#)?;
    Ok(())
}

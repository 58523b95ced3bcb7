//! Input that nobody meant well, from outside every reader: files, folders, names and texts that were changed by chance
//! (`mutate`) until they are no longer what they should be. Whatever they hold, the host neither panics nor hangs, takes
//! no more memory than `fuzz` allows, and writes nowhere but where it was told to.
//!
//! Each target runs in a process of its own (`fuzz`), so that an overflown stack, an allocation without bounds or an
//! endless loop is a failed test with the number of its case. Cases are seeded, and a change of code changes none of them:
//!
//! - `INFERHOST_FUZZ_CASES=n` runs n cases of every target
//! - `INFERHOST_FUZZ_SECONDS=n` runs for about that long in all
//! - `INFERHOST_FUZZ_SEED=n` begins elsewhere, `INFERHOST_FUZZ_CASE=n` runs one case alone

mod fuzz;
#[cfg(unix)]
mod links;
mod markup;
mod models;
mod mutate;
mod results;
mod settings;
mod support;
mod worker;

use fuzz::fuzz;

/// One target: its test, the cases of a usual run, and what is done with one.
macro_rules! targets {
    ($($name:ident: $cases:literal, $case:path;)*) => {
        /// How many there are, which share the time that they are given.
        const TARGETS: u32 = [$(stringify!($name)),*].len() as u32;
        $(#[test]
        fn $name() {
            fuzz(concat!("hostile::", stringify!($name)), $cases, $case);
        })*
    };
}

targets! {
    configs: 400, settings::config;
    specs: 400, settings::spec;
    token_lists: 300, settings::token_list;
    hub_caches: 150, settings::hub_cache;
    safetensors: 300, models::safetensors;
    model_configs: 400, models::config;
    genai_configs: 300, models::genai;
    onnx_graphs: 250, models::onnx;
    tokenizers: 200, models::tokenizer;
    programs: 300, models::program;
    artifact_caches: 150, models::artifact_cache;
    run_folders: 60, results::run_folder;
    extreme_records: 40, results::extremes;
    compared_folders: 40, results::compared;
    imports: 200, results::import_results;
    worker_messages: 400, worker::messages;
    described_plugins: 300, worker::description;
    command_lines: 30, worker::command_line;
}

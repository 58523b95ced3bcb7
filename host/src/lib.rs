//! The host, in the order in which data passes through it: a [`config`] becomes a [`plan`]; [`plugins`] are found
//! and [`model`]s [`prepare`]d; the plan's groups [`run`] in [`worker`]s, each run a [`record`], with what speaks against its [`validity`], in the run folder's
//! [`store`], and backends are held to the baseline's [`accuracy`]; [`analysis`] and [`report`] work from that folder alone.

// Denied, not forbidden, for one module that is named in CONTRIBUTING: `worker/evaluate/vector`.
#![deny(unsafe_code)]

pub mod config;
pub mod plan;

pub mod plugins;

pub mod model;
pub mod prepare;

pub mod prompts;

pub mod run;

pub mod worker;

pub mod accuracy;

pub mod telemetry;

pub mod record;

pub mod validity;

pub mod store;

pub mod manifest;

pub mod merge;

pub mod import;

pub mod environment;

pub mod stats;

pub mod analysis;

pub mod report;

pub mod compare;

pub mod doctor;

// The program around it: what is typed, done and shown.
pub mod cli;
pub mod commands;
pub mod error;
pub mod input;
pub mod output;
pub mod progress;

// What every stage may use.
pub mod digest;
pub mod interrupt;
pub mod platform;
pub mod text;

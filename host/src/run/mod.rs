//! From a plan to records. [`setup()`] finds plugins and prepares models, a [`Matrix`] runs the groups of the plan
//! and writes one record per run into the [`Ledger`], a [`Starter`] makes workers. [`Event`]s are all that leaves
//! for the screen.

mod agreement;
mod backend;
mod build;
mod calibrate;
mod events;
mod exchange;
mod first_manifest;
mod group;
mod ledger;
mod matrix;
mod open;
mod recording;
mod setup;
mod start;

pub use agreement::{Agreement, Checker};
pub use backend::describe;
pub use build::PluginBuilder;
pub use calibrate::PluginObserver;
pub use events::Event;
pub use first_manifest::first_manifest;
pub use ledger::Ledger;
pub use matrix::{Matrix, RunError, now};
pub(crate) use open::misplaced_reply;
pub use open::{NotOpen, Opened, open_worker};
pub use setup::{ReadyBackend, ReadyModel, Setup, SetupError, open_request, setup};
pub use start::{Isolation, Serves, Starter};

//! Whether backends compute what the baseline computes. A corpus becomes a [`Dataset`] of windows; an [`Evaluator`] has
//! every backend of a model score them side by side, the baseline's distributions handed on batch by batch and never
//! kept; sums become [`Figures`], and the gate makes a [`Verdict`] of them. Each pair ends as one [`Evaluation`].

mod dataset;
mod evaluator;
mod events;
mod figures;
mod gate;
mod participant;
mod record;
mod source;

pub use dataset::{Corpus, Dataset, Window};
pub use evaluator::Evaluator;
pub use events::Event;
pub use figures::{Against, Distributions, Figures, Tally};
pub use gate::{PrecisionClass, Verdict, verdict};
#[cfg(test)]
pub(crate) use record::sample;
pub use record::{Evaluation, SCHEMA};
pub use source::{DatasetError, Source};

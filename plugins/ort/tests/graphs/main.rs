//! Graphs of many makers, through the plugin's ABI, against what transformers computes in float64.
//!
//! `optimum` are exports by optimum (`scripts/optimum_fixture.py`), `layouts` graphs that lay out rows and cache in
//! other ways (`scripts/ort_fixtures.py`).

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod layouts;
mod optimum;
mod support;

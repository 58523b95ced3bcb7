//! tmp
pub mod record;

//! Records of several folders as one stream in the order of time. Of each record a few bytes are kept, no more.

use super::MergeError;
use super::part::Part;
use crate::manifest::Counts;
use crate::record::Record;
use crate::store::{NewRecords, RecordLines};
use jiff::Timestamp;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// What became of them.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) counts: Counts,
    /// Those that inferhost did not make.
    pub(super) imported: u64,
    /// The same of each part, the repeated ones too.
    pub(super) imported_in: Vec<u64>,
    /// Those taken from each part.
    pub(super) taken: Vec<u64>,
    /// What was added to the rounds of each part.
    pub(super) rounds_before: Vec<u32>,
    /// Lines that another part held too.
    pub(super) repeated: u64,
    /// Parts that end in a torn line.
    pub(super) torn: Vec<usize>,
}

/// How records of further folders count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rounds {
    /// As what they say they are.
    Same,
    /// As rounds after those of the folders before.
    Further,
}

const AS_ROUNDS: &str = "where both count, give --as-rounds to make the second's rounds further ones";
const ONE_FOLDER: &str = "delete one of the two lines";

/// Writes the records of `parts` to `out`.
pub(super) fn write(parts: &[Part], rounds: Rounds, out: &mut NewRecords) -> Result<Written, MergeError> {
    let rounds_before = match rounds {
        Rounds::Same => vec![0; parts.len()],
        Rounds::Further => further_rounds(parts)?,
    };
    let mut sources = Vec::new();
    for part in parts {
        sources.push(Source::open(part)?);
    }
    let none = vec![0; parts.len()];
    let mut written = Written { taken: none.clone(), imported_in: none, rounds_before, ..Written::default() };
    let mut seen = Seen { parts, rounds, runs: HashMap::new() };
    while let Some(next) = earliest(&sources) {
        let source = &mut sources[next];
        let Some((record, _)) = source.head.take() else { break };
        written.imported_in[next] += u64::from(record.imported.is_some());
        if seen.is_new(next, &record, source.lines.line())? {
            append(out, record, source.lines.line(), next, &mut written, &parts[next])?;
        } else {
            written.repeated += 1;
        }
        source.advance()?;
    }
    let torn = sources.iter().enumerate().filter(|(_, source)| source.lines.torn());
    written.torn = torn.map(|(part, _)| part).collect();
    Ok(written)
}

fn append(
    out: &mut NewRecords,
    mut record: Record,
    line: &[u8],
    part: usize,
    written: &mut Written,
    of: &Part,
) -> Result<(), MergeError> {
    match written.rounds_before[part] {
        0 => out.append(line)?,
        before => {
            let round = record.round.checked_add(before);
            let last = || MergeError::Rounds { path: of.path.clone(), run: run_name(&record) };
            record.round = round.ok_or_else(last)?;
            let line = serde_json::to_vec(&record).map_err(|error| crate::store::StoreError::Io {
                action: "write",
                path: of.path.clone(),
                source: error.into(),
            })?;
            out.append(&line)?;
        }
    }
    written.counts.add(&record);
    written.imported += u64::from(record.imported.is_some());
    written.taken[part] += 1;
    Ok(())
}

#[derive(Deserialize)]
struct Round {
    round: u32,
}

/// Of each part, how many rounds the parts before it have.
fn further_rounds(parts: &[Part]) -> Result<Vec<u32>, MergeError> {
    let (mut before, mut offsets) = (0, Vec::new());
    for part in parts {
        offsets.push(before);
        let mut lines = RecordLines::open(&part.path)?;
        let mut rounds = 0;
        while lines.advance()? {
            // A line that is no record is told when it is read to be written.
            let last = serde_json::from_slice::<Round>(lines.line()).map_or(0, |of| of.round);
            rounds = rounds.max(last.saturating_add(1));
        }
        before = rounds.max(1).saturating_add(before);
    }
    Ok(offsets)
}

/// A part's records, the next of them read.
struct Source {
    lines: RecordLines,
    head: Option<(Record, Option<Timestamp>)>,
}

impl Source {
    fn open(part: &Part) -> Result<Self, MergeError> {
        let mut source = Self { lines: RecordLines::open(&part.path)?, head: None };
        source.advance()?;
        Ok(source)
    }

    fn advance(&mut self) -> Result<(), MergeError> {
        let record = self.lines.read()?;
        self.head = record.map(|record| {
            let started_at = record.started_at.parse().ok();
            (record, started_at)
        });
        Ok(())
    }
}

/// The part whose next record began first; one that does not say when follows the record before it.
fn earliest(sources: &[Source]) -> Option<usize> {
    let heads = sources.iter().enumerate().filter_map(|(i, source)| Some((source.head.as_ref()?.1, i)));
    heads.min().map(|(_, i)| i)
}

/// What was written, by hashes: SHA-256 cut to 128 bits, of which no two of 10^7 records will be the same.
struct Seen<'a> {
    parts: &'a [Part],
    rounds: Rounds,
    runs: HashMap<u128, (u128, u32)>,
}

impl Seen<'_> {
    /// Whether nothing is known of the record's run yet.
    fn is_new(&mut self, part: usize, record: &Record, line: &[u8]) -> Result<bool, MergeError> {
        let text = measured(record, line);
        let key = hash(format!("{} {} {}", record.round, record.repetition, record.cell).as_bytes());
        // Where rounds are further ones, the same run in another part is another run, unless it is a copy.
        let keys = match self.rounds {
            Rounds::Same => vec![key],
            Rounds::Further => vec![hash(format!("{part} {key}").as_bytes()), text],
        };
        for key in keys {
            let index = u32::try_from(part).unwrap_or(u32::MAX);
            let Some((known, other)) = self.runs.insert(key, (text, index)) else { continue };
            let (a, b) = (self.parts[other as usize].path.clone(), self.parts[part].path.clone());
            let run = run_name(record);
            return match (known == text, other == index, self.rounds) {
                (true, false, Rounds::Further) => Err(MergeError::Copied { a, b, run }),
                (true, _, _) => Ok(false),
                (false, true, _) => Err(MergeError::Records { a, b, run, remedy: ONE_FOLDER }),
                (false, false, _) => Err(MergeError::Records { a, b, run, remedy: AS_ROUNDS }),
            };
        }
        Ok(true)
    }
}

/// What a record says but for its round, which an earlier merge may have numbered anew; a copy may be laid out otherwise.
fn measured(record: &Record, line: &[u8]) -> u128 {
    let without_round = serde_json::to_vec(&Record { round: 0, ..record.clone() });
    hash(without_round.as_deref().unwrap_or(line))
}

fn hash(bytes: &[u8]) -> u128 {
    let digest = Sha256::digest(bytes);
    digest.iter().take(16).fold(0, |hash, &byte| hash << 8 | u128::from(byte))
}

fn run_name(record: &Record) -> String {
    let Record { model, backend, scenario, mode, round, repetition, cell, .. } = record;
    let mode = mode.name();
    format!("{model} on {backend}, {scenario}, {mode}, round {round}, repetition {repetition}, cell {cell}")
}

//! The faults, each one small function, and the count that says when one is due.

use crate::options::{Fault, Options, Stage};
use inferhost_plugin_api::{Error, ErrorKind};
use std::fs::File;
use std::io::{ErrorKind as IoErrorKind, Write};
use std::time::Duration;

/// What both `describe` and a failed call say.
pub(crate) const MISSING_RUNTIME: &str =
    "the library libfaulty_runtime.so is not there; it never is, as fault = missing_runtime asks";

const MB: usize = 1_000_000;

/// What a fault that lets its call go on does to the call's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tamper {
    Nothing,
    Nan,
    Noise,
    Short,
    WrongShape,
    TokenOutOfRange,
}

/// The options of one session, and how many calls they have met.
pub(crate) struct Faults {
    options: Options,
    calls: u64,
}

impl Faults {
    /// No calls yet.
    pub(crate) fn new(options: Options) -> Result<Self, Error> {
        let alters_output = tamper_of(options.fault) != Tamper::Nothing;
        if alters_output && options.stage == Stage::Open {
            return Err(Error::invalid(
                "this fault alters output and stage = open has none; set stage to prefill, generate, logprobs or any",
            ));
        }
        Ok(Self { options, calls: 0 })
    }

    /// Called first in every call; where the fault is due it strikes here, or leaves something to do to the output.
    pub(crate) fn before(&mut self, call: Stage) -> Result<Tamper, Error> {
        if !self.is_due(call)? {
            return Ok(Tamper::Nothing);
        }
        strike(&self.options)?;
        Ok(tamper_of(self.options.fault))
    }

    /// How far a logit is moved where the output is to be noisy.
    pub(crate) fn noise(&self) -> f32 {
        self.options.noise
    }

    fn is_due(&mut self, call: Stage) -> Result<bool, Error> {
        if self.options.fault == Fault::None || !self.options.stage.covers(call) {
            return Ok(false);
        }
        let index = self.calls;
        self.calls += 1;
        let due = index.checked_sub(self.options.after).is_some_and(|n| n % self.options.every == 0);
        Ok(due && self.is_first_worker()?)
    }

    /// Creates `once_file`; false where an earlier worker has.
    fn is_first_worker(&self) -> Result<bool, Error> {
        let Some(path) = &self.options.once_file else { return Ok(true) };
        match File::create_new(path) {
            Ok(_) => Ok(true),
            Err(e) if e.kind() == IoErrorKind::AlreadyExists => Ok(false),
            Err(e) => Err(Error::invalid(format!("cannot create once_file {}: {e}", path.display()))),
        }
    }
}

fn tamper_of(fault: Fault) -> Tamper {
    match fault {
        Fault::Nan => Tamper::Nan,
        Fault::LogitsNoise => Tamper::Noise,
        Fault::ShortOutput => Tamper::Short,
        Fault::WrongShape => Tamper::WrongShape,
        Fault::TokenOutOfRange => Tamper::TokenOutOfRange,
        _ => Tamper::Nothing,
    }
}

fn strike(options: &Options) -> Result<(), Error> {
    match options.fault {
        Fault::Segfault => segfault(),
        Fault::Abort => std::process::abort(),
        Fault::Exit => std::process::exit(options.exit_code),
        Fault::Hang => hang(),
        Fault::Leak => leak(options.leak_limit_mb),
        Fault::Panic => panic!("as fault = panic asks"),
        Fault::Slow => std::thread::sleep(Duration::from_millis(options.delay_ms)),
        Fault::PrintFlood => print_flood(options.flood_mb)?,
        Fault::Error => return fail(options.error_kind, "failed as fault = error asks"),
        Fault::MissingRuntime => return fail(ErrorKind::RuntimeMissing, MISSING_RUNTIME),
        Fault::OutOfMemoryError => return fail(ErrorKind::OutOfMemory, "no memory left, as asked"),
        Fault::Unsupported => return fail(ErrorKind::Unsupported, "not something faulty can do, as asked"),
        Fault::ShapeNotCovered => {
            return fail(ErrorKind::ShapeNotCovered, "no profile covers this shape, as asked");
        }
        Fault::None
        | Fault::Nan
        | Fault::LogitsNoise
        | Fault::ShortOutput
        | Fault::WrongShape
        | Fault::TokenOutOfRange => {}
    }
    Ok(())
}

fn fail(kind: ErrorKind, message: &str) -> Result<(), Error> {
    Err(Error::new(kind, message))
}

fn segfault() -> ! {
    let unmapped = std::ptr::without_provenance_mut::<u8>(8);
    // SAFETY: not memory of this program, and that is the point: no system maps the first page, so the volatile
    // write ends the process before anything can depend on it.
    unsafe { unmapped.write_volatile(1) };
    // Where a system maps it after all, the process must still end.
    std::process::abort()
}

fn hang() -> ! {
    loop {
        std::thread::park();
    }
}

/// Takes memory and touches it. Where the system gives no more the process aborts, as Rust does; the limit is for
/// machines that would rather swap.
fn leak(limit_mb: u64) -> ! {
    const CHUNK_MB: u64 = 16;
    for _ in 0..limit_mb.div_ceil(CHUNK_MB) {
        // Not zeros: those come from the system untouched.
        // Unseen, the optimiser would leave it out.
        std::hint::black_box(Vec::leak(vec![1u8; CHUNK_MB as usize * MB]));
    }
    hang()
}

fn print_flood(megabytes: u64) -> Result<(), Error> {
    let line = [b"faulty".repeat(16).as_slice(), b"\n"].concat();
    let block = line.repeat(MB / line.len());
    let failed = |e: std::io::Error| Error::internal(format!("cannot write the flood: {e}"));
    for _ in 0..megabytes {
        std::io::stdout().write_all(&block).map_err(failed)?;
        std::io::stderr().write_all(&block).map_err(failed)?;
    }
    std::io::stdout().flush().map_err(failed)
}

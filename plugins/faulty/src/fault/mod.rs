//! The faults, each one small function in a file by what it harms, and the count that says when one is due.

mod choice;
mod descriptors;
mod memory;
mod process;
mod signals;
mod text;

pub(crate) use process::exit_in_drop;
pub(crate) use text::long_text;

use crate::options::{Fault, Options, Stage};
use choice::Choice;
use inferhost_plugin_api::{Error, ErrorKind};
use std::fs::File;
use std::io::ErrorKind as IoErrorKind;
use std::time::Duration;

/// What both `describe` and a failed call say.
pub(crate) const MISSING_RUNTIME: &str =
    "the library libfaulty_runtime.so is not there; it never is, as fault = missing_runtime asks";

/// What a fault that lets its call go on does to the call's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tamper {
    Nothing,
    Nan,
    Noise,
    Short,
    WrongShape,
    TokenOutOfRange,
    TooManyTokens,
    EndlessTokens,
    HugeVocabulary,
    CallbackThread,
}

/// The options of one session, and how many calls they have met.
pub(crate) struct Faults {
    options: Options,
    choice: Choice,
    calls: u64,
}

impl Faults {
    /// No calls yet.
    pub(crate) fn new(options: Options) -> Result<Self, Error> {
        let alters_output = tamper_of(options.fault) != Tamper::Nothing;
        if alters_output
            && matches!(options.stage, Stage::Open | Stage::Describe | Stage::Identity | Stage::Build)
        {
            return Err(Error::invalid(
                "this fault alters output and stage = open has none; set stage to prefill, generate, logprobs or any",
            ));
        }
        let choice = Choice::new(&options)?;
        Ok(Self { options, choice, calls: 0 })
    }

    /// Called first in every call; where the fault is due it strikes here, or leaves something to do to the output.
    pub(crate) fn before(&mut self, call: Stage) -> Result<Tamper, Error> {
        let Some(fault) = self.due(call)? else { return Ok(Tamper::Nothing) };
        strike(fault, &self.options)?;
        strike(self.options.then, &self.options)?;
        Ok(tamper_of(fault))
    }

    /// What the plugin says of its own version.
    pub(crate) fn version(&self) -> String {
        match self.options.fault {
            Fault::LongDescription => long_text(self.options.flood_mb),
            _ => env!("CARGO_PKG_VERSION").into(),
        }
    }

    /// The code to exit with when the session is closed, where that is the fault.
    pub(crate) fn exit_in_drop(&self) -> Option<i32> {
        (self.options.fault == Fault::ExitInDrop).then_some(self.options.exit_code)
    }

    /// How far a logit is moved where the output is to be noisy.
    pub(crate) fn noise(&self) -> f32 {
        self.options.noise
    }

    fn due(&mut self, call: Stage) -> Result<Option<Fault>, Error> {
        let options = &self.options;
        if !options.stage.covers(call) || (options.fault == Fault::None && options.faults.is_empty()) {
            return Ok(None);
        }
        let index = self.calls;
        self.calls += 1;
        if !options.faults.is_empty() {
            return Ok(self.choice.of_call(index, options));
        }
        let due = index.checked_sub(options.after).is_some_and(|n| n % options.every == 0);
        Ok((due && self.is_first_worker()?).then_some(self.options.fault))
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
        Fault::TooManyTokens => Tamper::TooManyTokens,
        Fault::EndlessTokens => Tamper::EndlessTokens,
        Fault::HugeVocabulary => Tamper::HugeVocabulary,
        Fault::CallbackThread => Tamper::CallbackThread,
        _ => Tamper::Nothing,
    }
}

fn strike(fault: Fault, options: &Options) -> Result<(), Error> {
    match fault {
        Fault::Segfault => memory::segfault(),
        Fault::StackOverflow => memory::overflow_stack(),
        Fault::DoubleFree => memory::free_twice()?,
        Fault::HeapCorruption => memory::corrupt_heap()?,
        Fault::Leak => memory::leak(options.leak_limit_mb),
        Fault::Abort => std::process::abort(),
        Fault::Exit => std::process::exit(options.exit_code),
        Fault::ExitHandler => process::hang_at_exit(options.exit_code)?,
        Fault::ThreadDestructor => process::fail_at_thread_end(),
        Fault::Hang => process::hang(),
        Fault::Spin => signals::spin(),
        Fault::Stop => signals::stop()?,
        Fault::Children => process::leave_child()?,
        Fault::Twin => process::fork_twin()?,
        Fault::Daemons => process::leave_daemon()?,
        Fault::BusyThreads => process::leave_threads(),
        Fault::Surroundings => process::change_surroundings()?,
        Fault::TemporaryFiles => process::leave_files()?,
        Fault::IgnoreSignals => signals::ignore()?,
        Fault::SegfaultHandler => signals::handle_segfault()?,
        Fault::EatDescriptors => descriptors::eat()?,
        Fault::CloseDescriptors => descriptors::close_from(3)?,
        Fault::CloseAllDescriptors => descriptors::close_from(0)?,
        Fault::Nonblocking => descriptors::unblock_sockets()?,
        Fault::ChannelGarbage => descriptors::write_to_sockets(1)?,
        Fault::ChannelFlood => descriptors::write_to_sockets(u32::MAX)?,
        Fault::Panic => panic!("as fault = panic asks"),
        Fault::Slow => std::thread::sleep(Duration::from_millis(options.delay_ms)),
        Fault::PrintFlood => text::print_flood(options.flood_mb)?,
        Fault::PrintGarbage => text::print_garbage()?,
        _ => return fail(fault, options),
    }
    Ok(())
}

/// The faults that are no more than an error, and those that leave the call to go on.
fn fail(fault: Fault, options: &Options) -> Result<(), Error> {
    let error = |kind, message: &str| Err(Error::new(kind, message));
    match fault {
        Fault::Error => error(options.error_kind, "failed as fault = error asks"),
        Fault::LongError => error(options.error_kind, &long_text(options.flood_mb)),
        Fault::MissingRuntime => error(ErrorKind::RuntimeMissing, MISSING_RUNTIME),
        Fault::OutOfMemoryError => error(ErrorKind::OutOfMemory, "no memory left, as asked"),
        Fault::Unsupported => error(ErrorKind::Unsupported, "not something faulty can do, as asked"),
        Fault::ShapeNotCovered => error(ErrorKind::ShapeNotCovered, "no profile covers this shape, as asked"),
        _ => Ok(()),
    }
}

/// A fault that this operating system knows no way to.
#[cfg(not(unix))]
fn not_here(fault: &str) -> Result<(), Error> {
    Err(Error::unsupported(format!("the fault {fault} works on Unix only; choose another")))
}

/// A system call that was to do harm and could not.
#[cfg(unix)]
fn refused(call: &str) -> Error {
    Error::internal(format!("cannot {call}: {}", std::io::Error::last_os_error()))
}

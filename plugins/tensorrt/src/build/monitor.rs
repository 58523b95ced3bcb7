//! How far a build is, and giving it up: TensorRT's `IProgressMonitor`, whose calls may come from any thread.

use inferhost_plugin_api::build::Progress;
use std::ffi::{CStr, c_char, c_void};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use trtx::trtx_sys::{self, nvinfer1};

/// `done` of `total` steps of a phase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Step {
    phase: String,
    done: u32,
    total: u32,
}

/// The caller's side: hands steps on in the caller's own thread, until the [`Phases`] are gone.
pub(super) fn pass_on(steps: &Receiver<Step>, given_up: &AtomicBool, progress: &mut dyn Progress) {
    for Step { phase, done, total } in steps {
        if !given_up.load(Ordering::Relaxed) && !progress.report(&phase, done, total) {
            given_up.store(true, Ordering::Relaxed);
        }
    }
}

/// The build's side: the outermost phases go to the caller; steps of inner ones are a chance to give up.
pub(super) struct Phases<'a> {
    state: Mutex<(Option<Step>, Sender<Step>)>,
    given_up: &'a AtomicBool,
}

impl<'a> Phases<'a> {
    /// The phases, and where their steps come out.
    pub(super) fn new(given_up: &'a AtomicBool) -> (Self, Receiver<Step>) {
        let (sender, steps) = channel();
        (Self { state: Mutex::new((None, sender)), given_up }, steps)
    }

    fn start(&self, phase: &str, is_outermost: bool, steps: i32) {
        if is_outermost {
            let step = Step { phase: phase.into(), done: 0, total: u32::try_from(steps).unwrap_or(0) };
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            // Nobody listens any more where the caller has gone.
            state.1.send(step.clone()).ok();
            state.0 = Some(step);
        }
    }

    /// Whether to go on.
    fn step(&self, phase: &str, step: i32) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (outermost, sender) = &mut *state;
        if let Some(current) = outermost
            && current.phase == phase
        {
            current.done = u32::try_from(step).unwrap_or(0).saturating_add(1).min(current.total);
            sender.send(current.clone()).ok();
        }
        !self.given_up.load(Ordering::Relaxed)
    }

    fn finish(&self, phase: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.0.as_ref().is_some_and(|current| current.phase == phase) {
            state.0 = None;
        }
    }
}

/// The `IProgressMonitor` of some [`Phases`].
pub(super) struct Monitor<'a> {
    pub(super) pointer: *mut nvinfer1::IProgressMonitor,
    _phases: &'a Phases<'a>,
}

impl<'a> Monitor<'a> {
    /// Its pointer is null where memory ran out.
    pub(super) fn new(phases: &'a Phases<'a>) -> Self {
        let data: *const Phases<'_> = phases;
        // SAFETY: the callbacks take the phases, which outlive the monitor, and of which they need no exclusive use.
        let pointer = unsafe {
            trtx_sys::trtx_create_progress_monitor(
                data.cast_mut().cast(),
                phase_start,
                step_complete,
                phase_finish,
            )
        };
        Self { pointer, _phases: phases }
    }
}

impl Drop for Monitor<'_> {
    fn drop(&mut self) {
        if !self.pointer.is_null() {
            // SAFETY: made in `new`, and the config that used it is gone.
            unsafe { trtx_sys::trtx_destroy_progress_monitor(self.pointer) };
        }
    }
}

unsafe extern "system" fn phase_start(
    data: *mut c_void,
    phase: *const c_char,
    parent: *const c_char,
    steps: i32,
) {
    // SAFETY: `Monitor::new` gave phases that outlive the build.
    let phases = unsafe { &*data.cast::<Phases<'_>>() };
    // SAFETY: TensorRT gives a C string that lives as long as the call.
    let phase = unsafe { CStr::from_ptr(phase) }.to_string_lossy();
    phases.start(&phase, parent.is_null(), steps);
}

unsafe extern "system" fn step_complete(data: *mut c_void, phase: *const c_char, step: i32) -> bool {
    // SAFETY: as in `phase_start`.
    let phases = unsafe { &*data.cast::<Phases<'_>>() };
    // SAFETY: as in `phase_start`.
    let phase = unsafe { CStr::from_ptr(phase) }.to_string_lossy();
    phases.step(&phase, step)
}

unsafe extern "system" fn phase_finish(data: *mut c_void, phase: *const c_char) {
    // SAFETY: as in `phase_start`.
    let phases = unsafe { &*data.cast::<Phases<'_>>() };
    // SAFETY: as in `phase_start`.
    let phase = unsafe { CStr::from_ptr(phase) }.to_string_lossy();
    phases.finish(&phase);
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Kept(Vec<String>, usize);

    impl Progress for Kept {
        fn report(&mut self, phase: &str, done: u32, total: u32) -> bool {
            self.0.push(format!("{phase} {done}/{total}"));
            self.0.len() < self.1
        }
    }

    #[test]
    fn the_outermost_phases_reach_the_caller_and_giving_up_reaches_the_build() {
        for (patience, goes_on) in [(usize::MAX, true), (3, false)] {
            let given_up = AtomicBool::new(false);
            let (phases, steps) = Phases::new(&given_up);
            phases.start("Building", true, 2);
            phases.start("Timing", false, 9);
            assert!(phases.step("Timing", 4));
            phases.step("Building", 0);
            phases.step("Building", 1);
            phases.finish("Timing");
            phases.finish("Building");
            assert!(phases.step("Building", 1));
            drop(phases);
            let mut kept = Kept(Vec::new(), patience);
            pass_on(&steps, &given_up, &mut kept);
            assert_eq!(kept.0, ["Building 0/2", "Building 1/2", "Building 2/2"]);
            let (phases, _steps) = Phases::new(&given_up);
            assert_eq!(phases.step("Timing", 5), goes_on);
        }
    }
}

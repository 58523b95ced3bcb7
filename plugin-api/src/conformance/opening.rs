//! What a plugin says of itself, what it refuses to open, and whether a session's info is sane.

use super::mistakes::refused;
use super::subject::Subject;
use super::{Checked, Failure, ModelCheck, Report, Suite, passed, require};
use crate::ModelForm;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

pub(super) const CHECKS: &[ModelCheck] = &[("session info", info)];

/// The checks that need no session; `case` is a golden folder, for an open that fails by its options alone.
pub(super) fn run(suite: &Suite<'_>, case: Option<&Path>, report: &mut Report) {
    let unknown = with_unknown_option(&suite.options);
    report.add("plugin", "describe", describe(suite));
    let refusal = |result| refused(result).and_then(|()| passed());
    report.add("plugin", "describe refuses an unknown option", refusal(suite.plugin.describe(&unknown)));
    report.add(
        "plugin",
        "describe refuses options that are no object",
        refusal(suite.plugin.describe(&json!([]))),
    );
    report.add("plugin", "open refuses a missing path", open_missing(suite));
    report.add("plugin", "open refuses a folder that is no model", open_no_model(suite));
    report.add("plugin", "open refuses an unknown option", open_unknown_option(suite, case, &unknown));
}

fn with_unknown_option(options: &Value) -> Value {
    let mut options = options.clone();
    if let Some(keys) = options.as_object_mut() {
        keys.insert("no_such_option".into(), json!(1));
    }
    options
}

fn describe(suite: &Suite<'_>) -> Checked {
    let described = suite.plugin.describe(&suite.options)?;
    let named = [
        ("name", &described.name),
        ("version", &described.version),
        ("runtime name", &described.runtime.name),
    ];
    for (field, text) in named {
        require(!text.trim().is_empty(), || format!("the {field} is empty"))?;
    }
    let lists = [
        ("devices", described.devices.is_empty()),
        ("precisions", described.precisions.is_empty()),
        ("forms", described.forms.is_empty()),
    ];
    for (field, empty) in lists {
        require(!empty, || format!("{field} is an empty list"))?;
    }
    match described.runtime.problem {
        Some(problem) => Err(Failure(format!("the runtime has a problem: {problem}"))),
        None => passed(),
    }
}

fn preferred_form(suite: &Suite<'_>) -> Result<ModelForm, Failure> {
    let forms = suite.plugin.describe(&suite.options)?.forms;
    forms.first().copied().ok_or_else(|| Failure("the plugin opens no form of model".into()))
}

fn open_missing(suite: &Suite<'_>) -> Checked {
    let path = std::env::temp_dir().join("inferhost-conformance/no/such/model");
    refused(suite.plugin.open(&path, preferred_form(suite)?, &suite.options))?;
    passed()
}

fn open_no_model(suite: &Suite<'_>) -> Checked {
    let folder = EmptyFolder::new().map_err(|e| Failure(format!("no temporary folder: {e}")))?;
    refused(suite.plugin.open(&folder.0, preferred_form(suite)?, &suite.options))?;
    passed()
}

fn open_unknown_option(suite: &Suite<'_>, case: Option<&Path>, unknown: &Value) -> Checked {
    let Some(case) = case else { return super::skipped("no golden case") };
    let (path, form) = (suite.prepare)(case).map_err(Failure)?;
    refused(suite.plugin.open(&path, form, unknown))?;
    passed()
}

/// A folder without a model, gone when dropped.
struct EmptyFolder(PathBuf);

impl EmptyFolder {
    fn new() -> std::io::Result<Self> {
        let unique =
            format!("inferhost-conformance-{}-{:?}", std::process::id(), std::thread::current().id());
        let folder = std::env::temp_dir().join(unique.replace(['(', ')'], ""));
        std::fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }
}

impl Drop for EmptyFolder {
    fn drop(&mut self) {
        // A folder left behind in the temporary directory harms nobody.
        let _ = std::fs::remove_dir(&self.0);
    }
}

fn info(subject: &mut Subject<'_>) -> Checked {
    let (info, golden) = (subject.session.info(), subject.golden);
    let (vocab, wanted) = (info.vocab_size as usize, golden.vocab_size);
    require(vocab == wanted, || format!("vocab_size is {vocab}, the config has {wanted}"))?;
    let (context, wanted) = (info.context_length, golden.context_length);
    require(context.is_none_or(|n| n as usize == wanted), || {
        format!("context_length is {context:?}, the config has {wanted}")
    })?;
    for (field, text) in [("device", &info.device), ("precision", &info.precision)] {
        require(!text.trim().is_empty(), || format!("the {field} is empty"))?;
    }
    require(info.threads != Some(0), || "threads is 0".into())?;
    require(info.model_bytes != Some(0), || "model_bytes is 0".into())?;
    passed()
}

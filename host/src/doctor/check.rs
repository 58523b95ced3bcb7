//! One thing that was looked at: how it stands, in one line, and what would mend it.

use serde::Serialize;

/// How something stands; the worst of several is the largest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// It works, with something to know.
    Warn,
    /// It does not work.
    Fail,
}

impl Level {
    /// As reports write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What: `cache folder`, `runtime`.
    pub name: &'static str,
    /// How it stands.
    pub level: Level,
    /// One line: what was found.
    pub message: String,
    /// What mends it, in one line: a command where one does.
    pub fix: Option<String>,
}

impl Check {
    pub(super) fn ok(name: &'static str, message: impl Into<String>) -> Self {
        Self { name, level: Level::Ok, message: message.into(), fix: None }
    }

    pub(super) fn warn(name: &'static str, message: impl Into<String>) -> Self {
        Self { level: Level::Warn, ..Self::ok(name, message) }
    }

    pub(super) fn fail(name: &'static str, message: impl Into<String>) -> Self {
        Self { level: Level::Fail, ..Self::ok(name, message) }
    }

    pub(super) fn fix(self, fix: impl Into<String>) -> Self {
        Self { fix: Some(fix.into()), ..self }
    }
}

/// The worst of `checks`.
pub(super) fn worst(checks: &[Check]) -> Level {
    checks.iter().map(|check| check.level).max().unwrap_or(Level::Ok)
}

/// What mends the worst of `checks`, the first of equals.
pub(super) fn first_fix(checks: &[Check]) -> Option<String> {
    [Level::Fail, Level::Warn].into_iter().find_map(|level| {
        checks.iter().filter(|check| check.level == level).find_map(|check| check.fix.clone())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_is_mended_first() {
        let checks = [
            Check::ok("a", ""),
            Check::warn("b", "").fix("later"),
            Check::fail("c", ""),
            Check::fail("d", "").fix("now"),
        ];
        assert_eq!((worst(&checks), first_fix(&checks).as_deref()), (Level::Fail, Some("now")));
        assert_eq!((worst(&checks[..2]), first_fix(&checks[..2]).as_deref()), (Level::Warn, Some("later")));
        assert_eq!((worst(&[]), first_fix(&checks[..1])), (Level::Ok, None));
    }
}

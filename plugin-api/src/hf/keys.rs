//! Keys of a JSON object where absent and null mean different things; what is wrong is said with key and value.

use crate::Error;
use serde_json::{Map, Value};

/// An object of `config.json`.
pub(super) struct Keys<'a> {
    object: &'a Map<String, Value>,
    /// Before a key in messages: empty, or `<name of the object>.`.
    prefix: &'static str,
}

impl<'a> Keys<'a> {
    pub(super) const fn new(object: &'a Map<String, Value>) -> Self {
        Self { object, prefix: "" }
    }

    /// The object under `key`, with `prefix` for its messages; none where it is absent or null.
    pub(super) fn inside(&self, key: &str, prefix: &'static str) -> Result<Option<Keys<'a>>, Error> {
        match self.set(key) {
            None => Ok(None),
            Some(Value::Object(object)) => Ok(Some(Keys { object, prefix })),
            Some(found) => Err(self.wrong(key, found, "an object or null")),
        }
    }

    /// The value of a key that is there, null or not.
    pub(super) fn given(&self, key: &str) -> Option<&'a Value> {
        self.object.get(key)
    }

    /// The value of a key that is there and not null.
    pub(super) fn set(&self, key: &str) -> Option<&'a Value> {
        self.given(key).filter(|value| !value.is_null())
    }

    /// A whole number from 1 to `most`.
    pub(super) fn size(&self, key: &str, default: usize, most: usize) -> Result<usize, Error> {
        let Some(found) = self.set(key) else { return Ok(default) };
        let size = found.as_u64().and_then(|size| usize::try_from(size).ok());
        size.filter(|size| (1..=most).contains(size))
            .ok_or_else(|| self.wrong(key, found, &format!("a whole number from 1 to {most}")))
    }

    /// A number above 0 and at most 1e30, which is still one in float32.
    pub(super) fn positive(&self, key: &str) -> Result<Option<f64>, Error> {
        let Some(found) = self.set(key) else { return Ok(None) };
        let number = found.as_f64().filter(|number| *number > 0.0 && *number <= 1e30);
        number.map(Some).ok_or_else(|| self.wrong(key, found, "a number above 0 and at most 1e30"))
    }

    /// As [`positive`](Self::positive), where the key must be there.
    pub(super) fn required(&self, key: &str) -> Result<f64, Error> {
        self.positive(key)?.ok_or_else(|| self.wrong(key, &Value::Null, "a number above 0"))
    }

    pub(super) fn flag(&self, key: &str, default: bool) -> Result<bool, Error> {
        let Some(found) = self.set(key) else { return Ok(default) };
        found.as_bool().ok_or_else(|| self.wrong(key, found, "true or false"))
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&'a str>, Error> {
        let Some(found) = self.set(key) else { return Ok(None) };
        found.as_str().map(Some).ok_or_else(|| self.wrong(key, found, "a string"))
    }

    /// What to say of a value that is not what is expected.
    pub(super) fn wrong(&self, key: &str, found: &Value, expected: &str) -> Error {
        Error::invalid(format!("{}{key} is {found}, expected {expected}", self.prefix))
    }
}

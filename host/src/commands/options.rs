//! `--option key=value`: the value is JSON where it reads as JSON, else text.

use crate::error::AppError;
use serde_json::{Map, Value};

/// The options as one JSON object.
///
/// # Errors
/// An option without `=`, without a key, or given twice.
pub(super) fn parse(given: &[String]) -> Result<Map<String, Value>, AppError> {
    let mut options = Map::new();
    for option in given {
        let Some((key, value)) = option.split_once('=').filter(|(key, _)| !key.is_empty()) else {
            return Err(AppError::bad_input(format!("--option `{option}` is not of the form key=value")));
        };
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.into()));
        if options.insert(key.into(), value).is_some() {
            return Err(AppError::bad_input(format!("--option `{key}` is given twice")));
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_truth_values_keep_their_type() {
        let given =
            ["threads=2", "dtype=f64", "spin=true", "library=/a=b.so", "tag=\"1.31\""].map(String::from);
        let expected = serde_json::json!({
            "threads": 2, "dtype": "f64", "spin": true, "library": "/a=b.so", "tag": "1.31"
        });
        assert_eq!(Value::Object(parse(&given).unwrap()), expected);
        assert!(parse(&["threads".into()]).is_err());
        assert!(parse(&["=1".into()]).is_err());
        assert!(parse(&["a=1".into(), "a=2".into()]).is_err());
    }
}

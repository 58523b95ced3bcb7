//! The known answer: what a small model gives, computed once by candle in 64 bits. `tests/doctor.rs` has candle
//! compute it again.

/// Two layers, a vocabulary of 16, weights from a seed: 0.1 MB.
pub const MODEL: &str = "synthetic:gpt2?layers=2&embd=64&heads=4&vocab=16&ctx=32&seed=2";
/// Two rows of different lengths, so that padding shows where it should not.
pub const PROMPTS: [&[u32]; 2] = [&[3, 1, 4, 1, 5, 9, 2, 6], &[5, 3, 5]];
/// How each row goes on, greedily.
pub const TOKENS: [[u32; 5]; 2] = [[6, 6, 6, 11, 11], [5, 5, 5, 5, 5]];
/// Of each row's last position, to nine places.
pub const LOGITS: [[f64; 16]; 2] = [
    [
        -0.102490838,
        0.102352719,
        0.244789504,
        -0.071683371,
        0.135391081,
        0.112036651,
        0.571419014,
        0.051684243,
        0.309888460,
        0.118616928,
        0.346947550,
        0.315416284,
        -0.033542730,
        0.106014316,
        -0.347838609,
        -0.218680160,
    ],
    [
        0.233687250,
        -0.050389869,
        0.171636635,
        -0.184189606,
        -0.043975106,
        0.470156511,
        0.024756020,
        -0.043098315,
        0.215657803,
        0.060773726,
        0.132565398,
        -0.011618220,
        -0.125497602,
        -0.198491366,
        0.132215445,
        0.088396428,
    ],
];

/// How far a logit may be off where a session computes in `precision`; the logits' own standard deviation is about 0.25.
pub(super) fn tolerance(precision: &str) -> f64 {
    let precision = precision.to_ascii_lowercase();
    let is_any = |names: &[&str]| names.iter().any(|name| precision.contains(name));
    if is_any(&["int8", "int4", "i8", "i4"]) {
        0.2
    } else if is_any(&["f16", "fp16", "float16"]) {
        0.02
    } else {
        1e-4
    }
}

/// The largest difference from the known logits.
///
/// # Errors
/// One line: the logits are of another shape, or further off than `tolerance`.
pub(super) fn compare_logits(found: &[Vec<f64>], tolerance: f64) -> Result<f64, String> {
    let shape = |rows: &[Vec<f64>]| rows.iter().map(Vec::len).collect::<Vec<_>>();
    let expected: Vec<Vec<f64>> = LOGITS.iter().map(|row| row.to_vec()).collect();
    if shape(found) != shape(&expected) {
        return Err(format!("it gave rows of {:?} logits, expected {:?}", shape(found), shape(&expected)));
    }
    let pairs = found.iter().flatten().zip(expected.iter().flatten());
    let worst = pairs
        .map(|(found, expected)| (found - expected).abs())
        .fold(0.0, |worst: f64, next| if next.is_nan() { f64::INFINITY } else { worst.max(next) });
    if worst <= tolerance {
        return Ok(worst);
    }
    Err(format!(
        "it does not compute the model: its logits are up to {worst:.2e} from the known ones, and at most {tolerance:.0e} is rounding"
    ))
}

/// Whether the tokens are the known ones.
///
/// # Errors
/// One line with both.
pub(super) fn compare_tokens(found: &[Vec<u32>]) -> Result<(), String> {
    let expected: Vec<Vec<u32>> = TOKENS.iter().map(|row| row.to_vec()).collect();
    if found == expected {
        return Ok(());
    }
    let found = crate::text::clipped(&format!("{found:?}"), 100);
    Err(format!("it does not compute the model: it generated {found}, expected {expected:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Vec<Vec<f64>> {
        LOGITS.iter().map(|row| row.to_vec()).collect()
    }

    #[test]
    fn rounding_passes_and_another_answer_does_not() {
        let mut logits = known();
        logits[1][3] += 5e-5;
        assert!(compare_logits(&logits, tolerance("f32")).is_ok_and(|off| (off - 5e-5).abs() < 1e-9));
        logits[1][3] += 1e-3;
        assert!(compare_logits(&logits, tolerance("f32")).unwrap_err().contains("1.05e-3"));
        assert!(compare_logits(&logits, tolerance("bf16")).is_ok());
        logits[0][0] = f64::NAN;
        assert!(compare_logits(&logits, tolerance("int8")).is_err());
        assert!(compare_logits(&known()[..1], 1.0).unwrap_err().contains("[16]"));
        let mut tokens: Vec<Vec<u32>> = TOKENS.iter().map(|row| row.to_vec()).collect();
        assert!(compare_tokens(&tokens).is_ok());
        tokens[0][4] = 6;
        assert!(compare_tokens(&tokens).is_err());
    }

    /// No rounding changes a token: at every step the likeliest is clear of the next. The first step stands for all here;
    /// `tests/doctor.rs` computes every one of them again.
    #[test]
    fn the_first_token_of_each_row_is_clear_of_the_next() {
        for (row, tokens) in LOGITS.iter().zip(TOKENS) {
            let mut ranked: Vec<(usize, f64)> = row.iter().copied().enumerate().collect();
            ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
            assert_eq!(ranked[0].0, tokens[0] as usize);
            assert!(ranked[0].1 - ranked[1].1 > 100.0 * tolerance("f32"), "{ranked:?}");
        }
    }
}

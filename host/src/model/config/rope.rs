//! Rotary position embeddings (Su et al., 2021, "RoFormer"), with the ways of stretching them that transformers'
//! `modeling_rope_utils` knows and that do not depend on a row's length.
//!
//! transformers computes frequencies, angles, cosines and sines in float32 whatever the model's own type, so they
//! are part of the model: each step here rounds to `f32` where it does there.

use super::keys::Keys;
use std::f64::consts::PI;

const KINDS: &str = "default, linear, dynamic, llama3 or yarn";

/// The angle of each pair of a head's elements, per position.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    /// Radians per position, one for each pair.
    inv_freq: Vec<f32>,
    /// Cosines and sines are multiplied by it.
    attention_factor: f32,
}

impl Rope {
    /// Without any stretching.
    pub(crate) fn plain(theta: f64, head_dim: u32) -> Self {
        let inv_freq = powers(theta, head_dim).iter().map(|power| 1.0 / power).collect();
        Self { inv_freq, attention_factor: 1.0 }
    }

    /// From `rope_theta` and `rope_scaling`, or from the one `rope_parameters` that transformers 5 writes.
    pub(super) fn read(keys: &Keys<'_>, head_dim: u32, positions: u32) -> Result<Self, String> {
        let both = keys.inside("rope_parameters", "rope_parameters.")?;
        let theta = match (keys.positive("rope_theta")?, &both) {
            (Some(theta), _) => theta,
            (None, Some(both)) => both.positive("rope_theta")?.unwrap_or(10_000.0),
            (None, None) => 10_000.0,
        };
        if theta <= 1.0 {
            return Err(format!("rope_theta is {theta}; expected a number above 1"));
        }
        let plain = Self::plain(theta, head_dim);
        let Some(scaling) = keys.inside("rope_scaling", "rope_scaling.")?.or(both) else {
            return Ok(plain);
        };
        let of = Stretch { keys: scaling, theta, head_dim, positions };
        let rope = match of.kind()? {
            "default" => plain,
            "linear" => of.linear(plain)?,
            "dynamic" => of.dynamic()?,
            "llama3" => of.llama3(plain)?,
            "yarn" => of.yarn()?,
            other => return Err(of.keys.wrong("rope_type", &other.into(), KINDS)),
        };
        if rope.inv_freq.iter().chain([&rope.attention_factor]).all(|value| value.is_finite()) {
            return Ok(rope);
        }
        Err("rope_scaling: its numbers give angles that are not finite".into())
    }

    /// Cosines and sines of the first `positions` positions, `[positions, head_dim / 2]` each: element i of a head
    /// turns together with element `i + head_dim / 2`.
    pub fn tables(&self, positions: u32) -> (Vec<f32>, Vec<f32>) {
        let angles = (0..positions).flat_map(|p| self.inv_freq.iter().map(move |f| f64::from(f * p as f32)));
        // Through f64: correctly rounded, so the same on every machine.
        let turned =
            |(sin, cos): (f64, f64)| (cos as f32 * self.attention_factor, sin as f32 * self.attention_factor);
        angles.map(|angle| turned(angle.sin_cos())).unzip()
    }
}

/// theta^(2i / head_dim).
fn powers(theta: f64, head_dim: u32) -> Vec<f32> {
    let base = f64::from(theta as f32);
    let exponents = (0..head_dim).step_by(2).map(|i| i as f32 / head_dim as f32);
    exponents.map(|exponent| base.powf(exponent.into()) as f32).collect()
}

/// `rope_scaling`, and what its formulas need.
struct Stretch<'a> {
    keys: Keys<'a>,
    theta: f64,
    head_dim: u32,
    positions: u32,
}

impl Stretch<'_> {
    /// `type` is the key's older name.
    fn kind(&self) -> Result<&str, String> {
        match (self.keys.text("type")?, self.keys.text("rope_type")?) {
            (Some(old), Some(new)) if old != new => {
                Err(self.keys.wrong("type", &old.into(), &format!("rope_type's {new:?}, or one of the two")))
            }
            (Some(kind), _) | (None, Some(kind)) => Ok(kind),
            (None, None) => Err(self.keys.missing("rope_type", KINDS)),
        }
    }

    fn original_positions(&self) -> Result<Option<f64>, String> {
        self.keys.positive("original_max_position_embeddings")
    }

    fn linear(&self, plain: Rope) -> Result<Rope, String> {
        let factor = self.keys.required("factor")? as f32;
        Ok(Rope { inv_freq: plain.inv_freq.iter().map(|f| f / factor).collect(), ..plain })
    }

    /// Beyond `max_position_embeddings` the base would grow with the row. No row is longer, and up to there it is
    /// this one, the given base but for rounding.
    fn dynamic(&self) -> Result<Rope, String> {
        let factor = self.keys.required("factor")?;
        if self.head_dim <= 2 {
            return Err(self.keys.wrong("rope_type", &"dynamic".into(), "another, as head_dim is only 2"));
        }
        let (dim, positions) = (f64::from(self.head_dim), f64::from(self.positions));
        let growth = (factor * positions / positions) - (factor - 1.0);
        Ok(Rope::plain(self.theta * growth.powf(dim / (dim - 2.0)), self.head_dim))
    }

    /// Low frequencies divided by a factor, high ones kept, a smooth way between.
    fn llama3(&self, plain: Rope) -> Result<Rope, String> {
        let [factor, low, high, original] =
            ["factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"]
                .map(|key| self.keys.required(key));
        let (factor, low, high, original) = (factor? as f32, low?, high?, original?);
        if high <= low {
            let expected = format!("more than low_freq_factor, {low}");
            return Err(self.keys.wrong("high_freq_factor", &high.into(), &expected));
        }
        let (longest, shortest) = ((original / low) as f32, (original / high) as f32);
        let stretch = |&frequency: &f32| {
            // A number divided by a tensor is, in torch, the tensor's reciprocal times the number.
            let length = frequency.recip() * (2.0 * PI) as f32;
            if length > longest {
                return frequency / factor;
            }
            if length < shortest {
                return frequency;
            }
            let smooth = (length.recip() * original as f32 - low as f32) / (high - low) as f32;
            (1.0 - smooth) * frequency / factor + smooth * frequency
        };
        Ok(Rope { inv_freq: plain.inv_freq.iter().map(stretch).collect(), ..plain })
    }

    /// Peng et al. (2023), "YaRN": frequencies divided by a factor below a ramp over the pairs, kept above it.
    fn yarn(&self) -> Result<Rope, String> {
        let factor = self.keys.required("factor")?;
        let attention_factor = self.yarn_attention_factor(factor)? as f32;
        let (low, high) = self.yarn_range()?;
        let width = if low == high { 0.001 } else { high - low } as f32;
        let blend = |(pair, power): (usize, &f32)| {
            let kept = 1.0 - ((pair as f32 - low as f32) / width).clamp(0.0, 1.0);
            (factor as f32 * power).recip() * (1.0 - kept) + power.recip() * kept
        };
        let inv_freq = powers(self.theta, self.head_dim).iter().enumerate().map(blend).collect();
        Ok(Rope { inv_freq, attention_factor })
    }

    fn yarn_attention_factor(&self, factor: f64) -> Result<f64, String> {
        let at = |scale: f64| if factor <= 1.0 { 1.0 } else { 0.1 * scale * factor.ln() + 1.0 };
        Ok(match (self.keys.positive("attention_factor")?, self.scales()?) {
            (Some(given), _) => given,
            (None, Some((scale, all))) => at(scale) / at(all),
            (None, None) => at(1.0),
        })
    }

    fn scales(&self) -> Result<Option<(f64, f64)>, String> {
        Ok(self.keys.positive("mscale")?.zip(self.keys.positive("mscale_all_dim")?))
    }

    /// The first and the last pair of the ramp.
    fn yarn_range(&self) -> Result<(f64, f64), String> {
        let original = self.original_positions()?.unwrap_or_else(|| self.positions.into());
        let pair = |key: &str, default: f64| {
            let turns = self.keys.positive(key)?.unwrap_or(default);
            let length = original / (turns * 2.0 * PI);
            Ok::<f64, String>(f64::from(self.head_dim) * length.ln() / (2.0 * self.theta.ln()))
        };
        let (low, high) = (pair("beta_fast", 32.0)?, pair("beta_slow", 1.0)?);
        let truncate = self.keys.flag("truncate", true)?;
        let (low, high) = if truncate { (low.floor(), high.ceil()) } else { (low, high) };
        Ok((low.max(0.0), high.min(f64::from(self.head_dim) - 1.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(config: &Value, head_dim: u32) -> Result<Rope, String> {
        let keys = config.as_object().unwrap();
        Rope::read(&Keys::new(keys), head_dim, 64)
    }

    /// Frequencies and attention factors of transformers 4.57.6, to the last bit.
    #[test]
    fn frequencies_are_those_of_transformers() {
        let cases: [(Value, &[f32], f32); 7] = [
            (
                json!({"rope_scaling": null}),
                &[1.0, 0.215_443_45, 0.046_415_884, 0.01, 0.002_154_434_3, 0.000_464_158_95],
                1.0,
            ),
            (
                json!({"rope_scaling": {"rope_type": "linear", "factor": 3.7}}),
                &[
                    0.270_270_26,
                    0.058_227_956,
                    0.012_544_833,
                    0.002_702_702_5,
                    0.000_582_279_5,
                    0.000_125_448_37,
                ],
                1.0,
            ),
            (
                json!({"rope_theta": 54321, "rope_scaling": {"type": "dynamic", "factor": 2.3}}),
                &[1.0, 0.162_494_51, 0.026_404_465, 0.004_290_581, 0.000_697_195_76, 0.000_113_290_54],
                1.0,
            ),
            (
                json!({"rope_theta": 500_000.0, "rope_scaling": {"rope_type": "llama3", "factor": 32.0,
                    "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}}),
                &[
                    1.0,
                    0.193_922_76,
                    0.037_606_03,
                    0.007_292_665,
                    0.000_429_556_7,
                    8.570_256e-6,
                    1.661_967_4e-6,
                    3.222_933e-7,
                ],
                1.0,
            ),
            (
                json!({"rope_scaling": {"rope_type": "llama3", "factor": 3.3, "low_freq_factor": 1.1,
                    "high_freq_factor": 5.7, "original_max_position_embeddings": 100}}),
                &[
                    1.0,
                    0.464_158_9,
                    0.141_307_68,
                    0.037_750_75,
                    0.014_065_419,
                    0.006_528_590_3,
                    0.003_030_303,
                    0.001_406_542_4,
                    0.000_652_858_9,
                    0.000_303_030_33,
                    0.000_140_654_23,
                    6.528_589e-5,
                ],
                1.0,
            ),
            (
                json!({"rope_parameters": {"rope_theta": 1e6, "rope_type": "yarn", "factor": 4.0,
                    "original_max_position_embeddings": 32768}}),
                &[
                    1.0,
                    0.177_827_94,
                    0.031_622_78,
                    0.004_217_56,
                    0.000_5,
                    4.445_698_5e-5,
                    7.905_694e-6,
                    1.405_853_4e-6,
                ],
                1.138_629_4,
            ),
            (
                json!({"rope_scaling": {"rope_type": "yarn", "factor": 5.5, "beta_fast": 7.0, "beta_slow": 0.5,
                    "original_max_position_embeddings": 40, "truncate": false, "mscale": 1.3,
                    "mscale_all_dim": 0.7}}),
                &[
                    1.0,
                    0.280_188_44,
                    0.064_600_72,
                    0.011_471_95,
                    0.004_567_066,
                    0.001_818_181_8,
                    0.000_723_831_06,
                    0.000_288_162_4,
                    0.000_114_719_51,
                    4.567_067_3e-5,
                ],
                1.091_380_2,
            ),
        ];
        for (config, inv_freq, attention_factor) in cases {
            let rope = read(&config, 2 * inv_freq.len() as u32).unwrap();
            assert_eq!(rope.inv_freq, inv_freq, "{config}");
            assert!((rope.attention_factor - attention_factor).abs() <= f32::EPSILON, "{config}");
        }
    }

    #[test]
    fn tables_hold_one_row_a_position() {
        let rope =
            read(&json!({"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}}), 12).unwrap();
        let (cos, sin) = rope.tables(3);
        assert_eq!((cos.len(), sin.len()), (18, 18));
        assert_eq!((&cos[..6], &sin[..6]), (&[1.0; 6][..], &[0.0; 6][..]));
        assert_eq!(cos[12..], [-0.416_146_85, 0.908_595_7, 0.995_694_2, 0.999_8, 0.999_990_7, 0.999_999_6]);
    }

    #[test]
    fn what_cannot_be_is_said_with_key_and_value() {
        for (config, expected) in [
            (json!({"rope_theta": 0}), "rope_theta is 0; expected a number above 0"),
            (json!({"rope_theta": 1}), "rope_theta is 1; expected a number above 1"),
            (json!({"rope_theta": "x"}), "rope_theta is \"x\"; expected"),
            (json!({"rope_scaling": 2}), "rope_scaling is 2; expected an object or null"),
            (json!({"rope_scaling": {}}), "rope_scaling.rope_type is missing; expected default, linear"),
            (
                json!({"rope_scaling": {"type": "longrope"}}),
                "rope_scaling.rope_type is \"longrope\"; expected default, linear, dynamic, llama3 or yarn",
            ),
            (
                json!({"rope_scaling": {"type": "linear", "rope_type": "yarn"}}),
                "rope_scaling.type is \"linear\"; expected rope_type's \"yarn\"",
            ),
            (json!({"rope_scaling": {"type": "linear"}}), "rope_scaling.factor is missing"),
            (json!({"rope_scaling": {"type": "dynamic", "factor": 1e30}}), "give angles that are not finite"),
            (
                json!({"rope_scaling": {"type": "yarn", "factor": -1}}),
                "rope_scaling.factor is -1; expected a number above 0",
            ),
            (
                json!({"rope_scaling": {"type": "llama3", "factor": 8, "low_freq_factor": 4,
                    "high_freq_factor": 4, "original_max_position_embeddings": 32}}),
                "rope_scaling.high_freq_factor is 4.0; expected more than low_freq_factor, 4",
            ),
        ] {
            let message = read(&config, 8).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
        let message = read(&json!({"rope_scaling": {"type": "dynamic", "factor": 2}}), 2).unwrap_err();
        assert!(message.contains("head_dim is only 2"), "{message}");
    }
}

//! Which of an engine's profiles runs a shape. One that none runs never reaches TensorRT.

use inferhost_plugin_api::shapes::{self, Profile, Shapes};
use inferhost_plugin_api::{Error, ErrorKind};

/// The profile that runs all of `shapes`.
///
/// # Errors
/// [`ErrorKind::ShapeNotCovered`] naming the shapes, the profiles, and what to do.
pub(crate) fn covering(profiles: &[Profile], shapes: &Shapes) -> Result<usize, Error> {
    shapes::covering(profiles, shapes).ok_or_else(|| {
        let message = format!(
            "the engine was not built for {shapes} (rows x tokens, after cached positions); its profiles are {}; build it for a \
             matrix that submits this shape (inferhost plan shows which does), or ask for one of its own",
            profiles.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        );
        Error::new(ErrorKind::ShapeNotCovered, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use inferhost_plugin_api::shapes::{Shape, Span};

    #[test]
    fn a_shape_that_no_profile_runs_is_named_with_the_profiles() {
        let all =
            [Shapes::prefill(Span::of(1), Span::new(4, 8)), Shapes::decode(Span::of(1), Span::new(8, 9))];
        let profiles = all.map(|shapes| Profile::tuned(&shapes, shapes.largest()));
        assert_eq!(covering(&profiles, &Shape { batch: 1, tokens: 1, past: 9 }.into()).unwrap(), 1);
        let error = covering(&profiles, &Shape { batch: 2, tokens: 1, past: 9 }.into()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::ShapeNotCovered);
        for part in ["2 x 1 after 9", "1 x 4..8, 1 x 1 after 8..9", "inferhost plan"] {
            assert!(error.message.contains(part), "{}", error.message);
        }
    }
}

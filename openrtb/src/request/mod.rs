//! From bytes to a [`BidRequest`].

mod error;
mod lenient;
mod model;
mod object;
mod privacy;

pub use error::RequestError;
pub use lenient::{Floor, Presence, Words};
pub(crate) use model::User;
pub use model::{Banner, BidRequest, Channel, Content, Device, Format, Geo, Imp, Publisher};

use object::{Shape, read_object};
use smallvec::SmallVec;

/// Reads a request. Text is borrowed from the body wherever the JSON has no escapes in it.
///
/// Nesting in members that are not read costs no stack, and the depth of those that are is fixed, so deep nesting is
/// harmless; the size of the body is the caller's to cap.
///
/// # Errors
///
/// Only for what makes an answer impossible; see [`RequestError`]. A flawed imp is not an error: see
/// [`BidRequest::imps`].
pub fn parse(body: &[u8]) -> Result<BidRequest<'_>, RequestError> {
    // Once, up front: the JSON reader does not look into strings that it skips.
    let text = std::str::from_utf8(body)
        .map_err(|error| RequestError::InvalidUtf8 { offset: error.valid_up_to() })?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let mut request = BidRequest::default();
    let shape = read_object(&mut request, &mut deserializer)?;
    deserializer.end()?;
    if shape != Shape::Object {
        return Err(RequestError::NotAnObject);
    }
    if request.id.is_empty() {
        return Err(RequestError::MissingId);
    }
    if request.imps.is_empty() {
        return Err(RequestError::MissingImp);
    }
    mark_repeated_ids(&mut request.imps);
    Ok(request)
}

/// A bid names its imp by id, so of several imps with one id only the first can be meant.
fn mark_repeated_ids(imps: &mut [Imp<'_>]) {
    if imps.len() < 2 {
        return;
    }
    // Sorted rather than compared pairwise: a hostile body can hold very many imps.
    let mut order: SmallVec<[usize; 16]> = (0..imps.len()).collect();
    order.sort_unstable_by(|&a, &b| imps[a].id.cmp(&imps[b].id).then(a.cmp(&b)));
    let repeated: SmallVec<[usize; 16]> =
        order.windows(2).filter(|pair| imps[pair[0]].id == imps[pair[1]].id).map(|pair| pair[1]).collect();
    for index in repeated {
        imps[index].repeats_id = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_borrowed_unless_escaped() {
        let request = parse(br#"{"id":"plain","imp":[{"id":"a\u0041\n"}]}"#).unwrap();
        assert!(matches!(request.id, std::borrow::Cow::Borrowed("plain")));
        assert_eq!(request.imps[0].id, "aA\n");
    }

    #[test]
    fn errors_say_what_and_where() {
        let kind = |body: &[u8]| parse(body).unwrap_err().kind();
        assert_eq!(kind(b""), "invalid_json");
        assert_eq!(kind(b"{\"id\":\"\xff\"}"), "invalid_utf8");
        assert_eq!(kind(b"{\"x\":\"\xff\"}"), "invalid_utf8", "also where the member is not read");
        assert_eq!(kind(b"[]"), "not_an_object");
        assert_eq!(kind(b"{}"), "missing_id");
        assert_eq!(kind(b"{\"id\":\"\"}"), "missing_id");
        assert_eq!(kind(b"{\"id\":\"1\",\"imp\":[]}"), "missing_imp");
        assert_eq!(kind(b"{\"id\":\"1\",\"imp\":{}}"), "missing_imp");
        assert_eq!(kind(b"{\"id\":\"1\",\"imp\":[{}]} x"), "invalid_json");
        let error = parse(b"{\"id\":\"1\",\n  oops}").unwrap_err();
        assert!(error.to_string().contains("line 2 column 3"), "{error}");
    }

    #[test]
    fn deep_nesting_is_harmless() {
        let deep = |member: &str| {
            let (open, close) = ("[".repeat(200_000), "]".repeat(200_000));
            format!(r#"{{"id":"1","imp":[{{"id":"1"}}],"{member}":{open}{close}}}"#)
        };
        for member in ["ext", "site", "regs", "cur", "test", "user"] {
            assert!(parse(deep(member).as_bytes()).is_ok(), "{member}");
        }
        assert_eq!(parse("[".repeat(200_000).as_bytes()).unwrap_err().kind(), "invalid_json");
        assert_eq!(parse("{\"imp\":[".repeat(50_000).as_bytes()).unwrap_err().kind(), "invalid_json");
    }

    #[test]
    fn numbers_beyond_a_float_are_no_error_of_the_call() {
        let body =
            br#"{"id":"1","tmax":1e999,"imp":[{"id":"1","bidfloor":1e999,"banner":{"w":1e999,"h":-1e999}}]}"#;
        let request = parse(body).unwrap();
        assert_eq!(request.imps[0].bidfloor, Floor::Unreadable);
    }

    #[test]
    fn the_first_imp_keeps_a_shared_id() {
        let request =
            parse(br#"{"id":"1","imp":[{"id":"b"},{"id":"a"},{"id":"b"},{"id":"c"},{"id":"b"}]}"#).unwrap();
        let repeats: Vec<bool> = request.imps.iter().map(|imp| imp.repeats_id).collect();
        assert_eq!(repeats, [false, false, true, false, true]);
    }
}

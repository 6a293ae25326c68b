//! From bytes to a [`BidRequest`].

mod banner;
mod channel;
mod deal;
mod device;
mod error;
mod fault;
mod imp;
mod json;
mod lenient;
mod model;
mod native;
mod object;
mod privacy;
mod regs;
mod source;
mod stream;
mod user;

pub use banner::{Banner, Format};
pub use channel::{Channel, Content, Publisher};
pub use deal::{Deal, DurFloor, Pmp};
pub use device::{BrandVersion, Device, Geo, Sua, TrafficOrigin};
pub use error::RequestError;
pub use imp::{Imp, Metric, Qty};
pub use lenient::{Floor, Id, Ints, Presence, Words};
pub use model::BidRequest;
pub use native::{Asset, DataAsset, EventTracker, Image, Native, NativeRequest, Title};
pub use object::{EveryOne, Offer};
pub use source::{ChainNode, Source, SupplyChain};
pub use stream::Stream;
pub(crate) use user::User;

use json::Json;
pub(crate) use json::plain_length;
use object::{Shape, read_object};
use smallvec::SmallVec;

/// Reads a request. Text is borrowed from the body wherever the JSON has no escapes in it.
///
/// The time is proportional to the size of the body, which is the caller's to cap; so is the memory. Nesting in members
/// that are not read costs no stack, and the depth of those that are is fixed.
///
/// # Errors
///
/// Only for what makes an answer impossible or its meaning doubtful; see [`RequestError`]. A flawed imp is not an error:
/// see [`BidRequest::imps`].
pub fn parse(body: &[u8]) -> Result<BidRequest<'_>, RequestError> {
    let text = std::str::from_utf8(body)
        .map_err(|error| RequestError::InvalidUtf8 { offset: error.valid_up_to() })?;
    let mut json = Json::new(text);
    let mut request = BidRequest::default();
    let shape = read_object(&mut request, &mut json)
        .and_then(|shape| json.end().map(|()| shape))
        .map_err(|fault| fault.in_body(text))?;
    if shape != Shape::Object {
        return Err(RequestError::NotAnObject);
    }
    if request.id.is_empty() {
        return Err(RequestError::MissingId);
    }
    if request.imps.is_empty() {
        return Err(RequestError::MissingImp);
    }
    // Section 3.2: of site, app and dooh there is at most one.
    request.contradicts_itself = json.misplaced() || request.channels().count() > 1;
    mark_repeated_ids(&mut request.imps.0);
    Ok(request)
}

/// A bid names its imp by id, so of several imps with one id none can be meant.
fn mark_repeated_ids(imps: &mut [Imp<'_>]) {
    if imps.len() < 2 {
        return;
    }
    // Sorted rather than compared pairwise: a hostile body can hold very many imps.
    let mut order: SmallVec<[usize; 16]> = (0..imps.len()).collect();
    order.sort_unstable_by(|&a, &b| imps[a].id.cmp(&imps[b].id).then(a.cmp(&b)));
    let repeated: SmallVec<[usize; 16]> =
        order.windows(2).filter(|pair| imps[pair[0]].id == imps[pair[1]].id).flatten().copied().collect();
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
        assert!(matches!(request.id.0, std::borrow::Cow::Borrowed("plain")));
        assert_eq!(&*request.imps[0].id, "aA\n");
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
    fn a_member_that_is_read_comes_once() {
        let twice = |body: &str| match parse(body.as_bytes()).unwrap_err() {
            RequestError::Duplicate { member, line, column } => (member, line, column),
            error => panic!("{error}"),
        };
        assert_eq!(twice(r#"{"id":"1","id":"2","imp":[{}]}"#), ("id".to_owned(), 1, 16));
        assert_eq!(twice(r#"{"id":"1","imp":[{},{"banner":{"w":1,"w":null}}]}"#).0, "imp[1].banner.w");
        assert_eq!(twice(r#"{"imp":[{"id":"1"}],"\u0069mp":[]}"#).0, "imp");
        assert_eq!(twice(r#"{"regs":{"ext":{"gpc":1,"gpc":0}}}"#).0, "regs.ext.gpc");
        assert!(parse(br#"{"id":"1","imp":[{"id":"1","x":1,"x":2}],"y":{},"y":{}}"#).is_ok(), "unread");
    }

    #[test]
    fn a_number_that_is_read_is_in_range() {
        let member = |body: &str| match parse(body.as_bytes()).unwrap_err() {
            RequestError::NumberOutOfRange { member, .. } => member,
            error => panic!("{error}"),
        };
        assert_eq!(member(r#"{"id":"1","tmax":1e999,"imp":[{}]}"#), "tmax");
        assert_eq!(
            member(r#"{"id":"1","imp":[{"banner":{"format":[{},{"h":-1e999}]}}]}"#),
            "imp[0].banner.format[1].h"
        );
        assert_eq!(member(&format!(r#"{{"id":{}}}"#, "9".repeat(400))), "id");
        assert_eq!(member(r#"{"site":{"cat":[1,1e999]}}"#), "site.cat[1]");
        assert!(parse(br#"{"id":"1","imp":[{"id":"1","x":1e999}],"at":1e308,"tmax":1e-999}"#).is_ok());
    }

    #[test]
    fn nesting_has_its_limit_everywhere() {
        let nested = |member: &str, levels: usize| {
            let (open, close) = ("[".repeat(levels), "]".repeat(levels));
            format!(r#"{{"id":"1","imp":[{{"id":"1"}}],"{member}":{open}{close}}}"#)
        };
        for member in ["ext", "site", "regs", "cur", "test", "user"] {
            assert!(parse(nested(member, 63).as_bytes()).is_ok(), "{member}");
            for levels in [64, 200_000] {
                assert_eq!(
                    parse(nested(member, levels).as_bytes()).unwrap_err().kind(),
                    "too_deep",
                    "{member}"
                );
            }
        }
        assert_eq!(parse("[".repeat(200_000).as_bytes()).unwrap_err().kind(), "too_deep");
        assert_eq!(parse("{\"imp\":[".repeat(50_000).as_bytes()).unwrap_err().kind(), "too_deep");
    }

    #[test]
    fn what_moved_between_versions_is_found_in_either_place() {
        let chain = r#"{"complete":1,"ver":"1.0","nodes":[{"asi":"a.example","sid":"7","hp":1}]}"#;
        for (source, nodes) in [
            (format!(r#"{{"schain":{chain}}}"#), Some(1)),
            (format!(r#"{{"ext":{{"schain":{chain}}}}}"#), Some(1)),
            (format!(r#"{{"schain":{chain},"ext":{{"schain":{{}}}}}}"#), Some(1)),
            ("{\"schain\":7}".to_owned(), None),
        ] {
            let body = format!(r#"{{"id":"1","imp":[{{}}],"source":{source}}}"#);
            assert_eq!(parse(body.as_bytes()).unwrap().supply_chain().map(|chain| chain.nodes.len()), nodes);
        }
        let rewarded = |imp: &str| {
            parse(format!(r#"{{"id":"1","imp":[{imp}]}}"#).as_bytes()).unwrap().imps[0].rewarded()
        };
        assert!(rewarded(r#"{"rwdd":1}"#));
        assert!(rewarded(r#"{"ext":{"rewarded":1}}"#));
        assert!(rewarded(r#"{"ext":{"prebid":{"is_rewarded_inventory":"1"}}}"#));
        assert!(rewarded(r#"{"video":{"ext":{"rewarded":true}}}"#));
        assert!(!rewarded(r#"{"rwdd":0,"ext":{"prebid":"x"}}"#));
    }

    #[test]
    fn a_format_of_a_wrong_type_is_not_an_absent_one() {
        let body = br#"{"id":"1","imp":[{"banner":[],"video":"x","audio":null,"native":{}}]}"#;
        let request = parse(body).unwrap();
        let imp = &request.imps[0];
        assert!(imp.banner.is_malformed() && imp.video.is_malformed());
        assert!(matches!(imp.audio, Offer::Absent));
        assert!(imp.native.get().is_some());
    }

    #[test]
    fn codes_are_read_from_what_stands_for_a_list() {
        let codes = |value: &str| {
            let body = format!(r#"{{"id":"1","imp":[{{"banner":{{"battr":{value}}}}}]}}"#);
            parse(body.as_bytes()).unwrap().imps[0].banner.get().map(|banner| banner.battr.to_vec())
        };
        for (value, expected) in [
            ("[1,2]", &[1, 2][..]),
            (r#"["1",2.0,null,{},"x"]"#, &[1, 2]),
            ("7", &[7]),
            (r#""1, 2,,3""#, &[1, 2, 3]),
            ("null", &[]),
            ("{}", &[]),
        ] {
            assert_eq!(codes(value).as_deref(), Some(expected), "{value}");
        }
    }

    #[test]
    fn no_imp_keeps_a_shared_id() {
        let request =
            parse(br#"{"id":"1","imp":[{"id":"b"},{"id":"a"},{"id":"b"},{"id":"c"},{"id":"b"}]}"#).unwrap();
        let repeats: Vec<bool> = request.imps.iter().map(|imp| imp.repeats_id).collect();
        assert_eq!(repeats, [true, false, true, false, true]);
    }
}

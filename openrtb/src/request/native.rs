//! Native ads (OpenRTB Native 1.2).

use super::fault::Fault;
use super::json::{Json, Scalar};
use super::lenient::{Ints, Presence, Tags};
use super::object::{Member, Object, Seen, Shape, object, read_object};

object! {
    /// Room for a native ad (section 3.2.9).
    pub Native {
        b"request" => request: Embedded,
        b"request_native" => request_native: Embedded,
        b"battr" =>
        /// Creative attributes that are not wanted.
        pub battr: Ints,
        b"api" =>
        /// Frameworks that the page supports.
        pub api: Ints,
    }
}

impl Native {
    /// What the page wants: `request`, else `request_native`, where some exchanges put it. `None` where neither is
    /// there.
    pub fn request(&self) -> Option<&NativeRequest> {
        let readable = |request: &&NativeRequest| request.readable;
        let (first, second) = (self.request.0.as_deref(), self.request_native.0.as_deref());
        first.filter(readable).or(second).or(first)
    }
}

object! {
    /// What the page wants (Native 1.2 section 4.1).
    pub NativeRequest {
        b"ver" =>
        /// Version of the native specification.
        pub ver: String,
        b"context" =>
        /// Content, social or product (section 7.1).
        pub context: Option<i64>,
        b"plcmttype" =>
        /// In the feed, beside it, outside the content, a widget (section 7.3).
        pub plcmttype: Option<i64>,
        b"plcmtcnt" =>
        /// How many identical placements.
        pub plcmtcnt: Option<i64>,
        b"assets" =>
        /// The parts that are asked for; elements that are no objects are left out.
        pub assets: Vec<Asset>,
        b"eventtrackers" =>
        /// What may be tracked, and how.
        pub eventtrackers: Option<Vec<EventTracker>>,
        and
        /// Whether a native request stands there at all: a text that holds a JSON object, or an object.
        pub readable: bool,
        and
        /// Whether it stands below a member `native`, as before version 1.1.
        pub wrapped: bool,
    }
}

object! {
    /// A part of the ad (section 4.2). One of the four kinds.
    pub Asset {
        b"id" =>
        /// Unique within the native request.
        pub id: Option<i64>,
        b"required" =>
        /// No ad without it.
        pub required: bool,
        b"title" =>
        /// A title.
        pub title: Option<Box<Title>>,
        b"img" =>
        /// A picture.
        pub img: Option<Box<Image>>,
        b"video" =>
        /// A film.
        pub video: Presence,
        b"data" =>
        /// A text.
        pub data: Option<Box<DataAsset>>,
    }
}

object! {
    /// A title (section 4.3).
    pub Title {
        b"len" =>
        /// At most so many characters.
        pub len: Option<i64>,
    }
}

object! {
    /// A picture (section 4.4).
    pub Image {
        b"type" =>
        /// 1 icon, 3 main image (section 7.4).
        pub kind: Option<i64>,
        b"w" =>
        /// Width.
        pub w: Option<i64>,
        b"wmin" =>
        /// Least width.
        pub wmin: Option<i64>,
        b"h" =>
        /// Height.
        pub h: Option<i64>,
        b"hmin" =>
        /// Least height.
        pub hmin: Option<i64>,
        b"mimes" =>
        /// Media types that are wanted; empty for any.
        pub mimes: Tags,
    }
}

object! {
    /// A text (section 4.6).
    pub DataAsset {
        b"type" =>
        /// 1 sponsored by, 2 description, … (section 7.5).
        pub kind: Option<i64>,
        b"len" =>
        /// At most so many characters.
        pub len: Option<i64>,
    }
}

object! {
    /// What may be tracked (section 4.7).
    pub EventTracker {
        b"event" =>
        /// 1 impression, 2 to 4 viewable (section 7.6).
        pub event: Option<i64>,
        b"methods" =>
        /// 1 an image, 2 a script (section 7.7).
        pub methods: Ints,
    }
}

/// A native request in one of its four ways: as an object or as a text that holds one, bare or as `{"native": …}`.
#[derive(Clone, Debug, Default)]
struct Embedded(Option<Box<NativeRequest>>);

impl<'a> Member<'a> for Embedded {
    fn read(&mut self, json: &mut Json<'a>) -> Result<(), Fault> {
        if json.peek() == b'{' {
            let mut wish = Box::<NativeRequest>::default();
            read_object(&mut Wrapped(&mut wish), json)?;
            wish.readable = true;
            self.0 = Some(wish);
            return Ok(());
        }
        self.0 = match json.scalar()? {
            Scalar::Null => None,
            Scalar::Text(text) => Some(Box::new(within_text(&text).unwrap_or_default())),
            _ => Some(Box::default()),
        };
        Ok(())
    }
}

/// What is wrong with a text within the body is wrong with its imp, not with the call.
fn within_text(text: &str) -> Option<NativeRequest> {
    let mut json = Json::new(text);
    let mut wish = NativeRequest::default();
    let shape = read_object(&mut Wrapped(&mut wish), &mut json).ok()?;
    json.end().ok()?;
    wish.readable = shape == Shape::Object;
    Some(wish)
}

/// Takes `{"native": …}` for what it holds.
struct Wrapped<'p>(&'p mut NativeRequest);

impl<'a> Object<'a> for Wrapped<'_> {
    fn member(&mut self, key: &str, json: &mut Json<'a>, seen: &mut Seen) -> Result<(), Fault> {
        if key == "native" {
            seen.once(1 << 63, json)?;
            self.0.wrapped = true;
            return read_object(self.0, json).map(drop);
        }
        self.0.member(key, json, seen)
    }
}

#[cfg(test)]
mod tests {
    use crate::parse;

    /// The number of assets in `native`, where its request can be read.
    fn assets(native: &str) -> Option<usize> {
        let body = format!(r#"{{"id":"1","imp":[{{"id":"1","native":{native}}}]}}"#);
        let request = parse(body.as_bytes()).unwrap();
        let wish = request.imps[0].native.get()?.request()?;
        wish.readable.then_some(wish.assets.len())
    }

    #[test]
    fn a_native_request_is_read_however_it_is_embedded() {
        for native in [
            r#"{"request":"{\"assets\":[{\"id\":1}]}"}"#,
            r#"{"request":"{\"native\":{\"assets\":[{\"id\":1}]}}"}"#,
            r#"{"request":{"assets":[{"id":1}]}}"#,
            r#"{"request":{"native":{"assets":[{"id":1}]}}}"#,
            r#"{"request_native":{"assets":[{"id":1}]}}"#,
            r#"{"request":"","request_native":"{\"assets\":[{\"id\":1}]}"}"#,
        ] {
            assert_eq!(assets(native), Some(1), "{native}");
        }
    }

    #[test]
    fn a_text_that_holds_no_object_costs_the_imp_alone() {
        let deep = format!(r#"{{"request":"{{\"a\":{}{}}}"}}"#, "[".repeat(64), "]".repeat(64));
        for native in [
            r#"{"request":""}"#,
            r#"{"request":"oops"}"#,
            r#"{"request":"[]"}"#,
            r#"{"request":"{\"ver\":\"1\",\"ver\":\"2\"}"}"#,
            r#"{"request":"{} x"}"#,
            r#"{"request":7}"#,
            r#"{"request":null}"#,
            "{}",
            &deep,
        ] {
            assert_eq!(assets(native), None, "{native}");
        }
    }
}

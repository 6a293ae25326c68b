//! What is wrong with a request by OpenRTB 2.6 itself: what the specification requires and is missing or of another
//! type, what it says must not stand together, and imps of which nobody can know what would fit.
//!
//! What only one exchange or server asks for (members of `ext` above all) is no flaw, and neither is what bidders that
//! tolerate it can honour: a number that is written as a string or a string as a number, one string in place of an array,
//! and `native.request_native`, where some exchanges put the request.

use std::collections::BTreeMap;

use serde_json::Value;

use super::format::Format;
use super::value::{at, flag, is_strings, list, member, nanos, strings, text, whole, whole_at};

/// Top-level objects of a request, and objects within them.
const OBJECTS: [&[&str]; 18] = [
    &["site"],
    &["app"],
    &["dooh"],
    &["device"],
    &["device", "geo"],
    &["device", "sua"],
    &["user"],
    &["user", "geo"],
    &["source"],
    &["source", "schain"],
    &["regs"],
    &["ext"],
    &["site", "ext"],
    &["app", "ext"],
    &["device", "ext"],
    &["user", "ext"],
    &["source", "ext"],
    &["regs", "ext"],
];
/// Top-level lists of strings: what cannot be read cannot be honoured.
const STRINGS: [&str; 7] = ["cur", "wseat", "bseat", "acat", "bcat", "badv", "bapp"];

/// What is wrong with a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flaws {
    /// With the request as a whole: nothing of it can be bid on.
    pub request: Vec<String>,
    /// With single imps, or with one format that an imp offers.
    pub imps: Vec<ImpFlaw>,
}

/// What is wrong with an imp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImpFlaw {
    /// The imp's place.
    pub index: usize,
    /// Its id, empty where it has none.
    pub id: String,
    /// The format that is flawed; none where it is the imp.
    pub format: Option<Format>,
    /// What is wrong.
    pub what: String,
}

impl Flaws {
    /// Looks at a request.
    pub fn of(request: &Value) -> Self {
        let mut flaws = Self::default();
        if !request.is_object() {
            flaws.request.push("the request is no object".to_owned());
            return flaws;
        }
        flaws.look_at_request(request);
        let imps = list(request, "imp");
        let side = |name| at(request, &["device", name]).and_then(whole).is_some_and(|side| side > 0);
        let screen = side("w") && side("h");
        let mut seen = BTreeMap::<&str, usize>::new();
        for id in imps.iter().filter_map(|imp| text(imp, "id")) {
            *seen.entry(id).or_default() += 1;
        }
        for (index, imp) in imps.iter().enumerate() {
            let id = text(imp, "id").unwrap_or_default();
            let mut add = |format, what: String| {
                flaws.imps.push(ImpFlaw { index, id: id.to_owned(), format, what });
            };
            if id.is_empty() {
                add(None, "id is missing, empty or no string".to_owned());
            } else if seen.get(id).is_some_and(|times| *times > 1) {
                add(None, format!("id {id} is that of another imp too"));
            }
            look_at_imp(imp, &mut |what| add(None, what));
            for format in Format::offered(imp) {
                let mut add = |what: &str| add(Some(format), format!("{}: {what}", format.as_str()));
                look_at_format(imp, format, screen, &mut add);
            }
        }
        flaws
    }

    fn look_at_request(&mut self, request: &Value) {
        let mut add = |what: String| self.request.push(what);
        if text(request, "id").is_none() {
            add("id is missing, empty or no string".to_owned());
        }
        match member(request, "imp").map(Value::as_array) {
            None => add("imp is missing".to_owned()),
            Some(None) => add("imp is no array".to_owned()),
            Some(Some(imps)) if imps.is_empty() => add("imp is empty".to_owned()),
            Some(Some(_)) => {}
        }
        let channels: Vec<_> =
            ["site", "app", "dooh"].into_iter().filter(|name| member(request, name).is_some()).collect();
        if channels.len() > 1 {
            add(format!("{} exclude each other", channels.join(" and ")));
        }
        for path in OBJECTS {
            if at(request, path).is_some_and(|value| !value.is_object()) {
                add(format!("{} is no object", path.join(".")));
            }
        }
        for name in STRINGS {
            if member(request, name).is_some_and(|value| !is_strings(value)) {
                add(format!("{name} is no list of strings"));
            }
        }
    }

    /// Whether something is wrong at all.
    pub fn any(&self) -> bool {
        !self.request.is_empty() || !self.imps.is_empty()
    }

    /// Why an imp must get no bid of this format (or, where that is not known, of any that it offers).
    pub fn forbids(&self, imp: Option<&Value>, id: &str, format: Option<Format>) -> Option<&str> {
        if let Some(what) = self.request.first() {
            return Some(what);
        }
        let mut own = self.imps.iter().filter(|flaw| flaw.id == id);
        if let Some(flaw) = own.clone().find(|flaw| flaw.format.is_none()) {
            return Some(&flaw.what);
        }
        match format {
            Some(format) => own.find(|flaw| flaw.format == Some(format)),
            None => {
                let mut offered = imp.into_iter().flat_map(Format::offered);
                let all = offered.all(|format| own.clone().any(|flaw| flaw.format == Some(format)));
                own.next().filter(|_| all)
            }
        }
        .map(|flaw| flaw.what.as_str())
    }

    /// All of them, for a person.
    pub fn text(&self) -> String {
        let imps = self.imps.iter().map(|flaw| format!("imp[{}]: {}", flaw.index, flaw.what));
        self.request.iter().cloned().chain(imps).collect::<Vec<_>>().join("; ")
    }
}

fn is_array_of(value: &Value, is: impl Fn(&Value) -> bool) -> bool {
    value.as_array().is_some_and(|array| array.iter().all(is))
}

fn look_at_imp(imp: &Value, add: &mut dyn FnMut(String)) {
    if !imp.is_object() {
        add("is no object".to_owned());
        return;
    }
    if Format::offered(imp).next().is_none() {
        add("offers none of banner, video, audio and native".to_owned());
    }
    look_at_floor(imp, "bidfloor", add);
    look_at_currency(imp, add);
    for metric in list(imp, "metric") {
        if text(metric, "type").is_none() || member(metric, "value").and_then(nanos).is_none() {
            add("metric without type or value".to_owned());
        }
    }
    if member(imp, "metric").is_some_and(|value| !is_array_of(value, Value::is_object)) {
        add("metric is no array of objects".to_owned());
    }
    if let Some(qty) = member(imp, "qty")
        && member(qty, "multiplier").and_then(nanos).is_none_or(|multiplier| multiplier <= 0)
    {
        add("qty without a multiplier above 0".to_owned());
    }
    let Some(pmp) = member(imp, "pmp") else { return };
    if member(pmp, "deals").is_some_and(|value| !is_array_of(value, Value::is_object)) || !pmp.is_object() {
        add("pmp.deals is no array of objects".to_owned());
    }
    for deal in list(pmp, "deals") {
        if text(deal, "id").is_none() {
            add("a deal without id".to_owned());
        }
        look_at_floor(deal, "bidfloor", add);
        look_at_floor(deal, "mincpmpersec", add);
        look_at_currency(deal, add);
    }
}

fn look_at_floor(object: &Value, name: &str, add: &mut dyn FnMut(String)) {
    match member(object, name).map(nanos) {
        Some(None) => add(format!("{name} is no number")),
        Some(Some(floor)) if floor < 0 => add(format!("{name} is negative")),
        _ => {}
    }
}

fn look_at_currency(object: &Value, add: &mut dyn FnMut(String)) {
    if let Some(code) = member(object, "bidfloorcur")
        && !code
            .as_str()
            .is_some_and(|code| code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_alphabetic()))
    {
        add("bidfloorcur is no ISO 4217 code".to_owned());
    }
}

fn look_at_format(imp: &Value, format: Format, screen: bool, add: &mut dyn FnMut(&str)) {
    let Some(slot) = member(imp, format.as_str()) else { return };
    if !slot.is_object() {
        add("is no object");
        return;
    }
    match format {
        Format::Banner => look_at_banner(slot, screen && flag(imp, &["instl"]), add),
        Format::Video | Format::Audio => look_at_timed(slot, add),
        Format::Native => look_at_native(slot, add),
    }
}

/// The specification recommends sizes without requiring them; but a bid has to be of the slot's size, so where the
/// request holds none, no bid can be right. An interstitial may take its size from the device: `full_screen`.
fn look_at_banner(banner: &Value, full_screen: bool, add: &mut dyn FnMut(&str)) {
    if member(banner, "format").is_some_and(|value| !is_array_of(value, Value::is_object)) {
        add("format is no array of objects");
        return;
    }
    let size = |object: &Value, width: &str, height: &str| {
        let read = |name| member(object, name).map_or(Some(0), whole);
        match (read(width), read(height)) {
            (Some(width), Some(height)) if width >= 0 && height >= 0 => Ok(width > 0 && height > 0),
            _ => Err(()),
        }
    };
    let mut known = false;
    let formats = list(banner, "format");
    for (object, width, height) in std::iter::once((banner, "w", "h"))
        .chain(formats.iter().flat_map(|format| [(format, "w", "h"), (format, "wratio", "hratio")]))
    {
        match size(object, width, height) {
            Ok(complete) => known |= complete,
            Err(()) => add("a size that is negative or no whole number"),
        }
    }
    if !known && !full_screen {
        add("no size: neither w and h nor format");
    }
}

fn look_at_timed(slot: &Value, add: &mut dyn FnMut(&str)) {
    match member(slot, "mimes") {
        Some(mimes) if is_strings(mimes) => {
            if strings(slot, "mimes").iter().all(|mime| mime.is_empty()) {
                add("mimes is empty");
            }
        }
        Some(_) => add("mimes is no list of strings"),
        None => add("mimes is missing"),
    }
    for name in ["minduration", "maxduration", "poddur", "maxseq", "w", "h"] {
        if member(slot, name).is_some_and(|value| whole(value).is_none_or(|value| value < 0)) {
            add(&format!("{name} is negative or no whole number"));
        }
    }
    let range =
        ["minduration", "maxduration"].iter().any(|name| whole_at(slot, name).is_some_and(|it| it > 0));
    if range && !list(slot, "rqddurs").is_empty() {
        add("rqddurs excludes minduration and maxduration");
    }
    look_at_floor(slot, "mincpmpersec", &mut |what| add(&what));
    for range in list(slot, "durfloors") {
        look_at_floor(range, "bidfloor", &mut |what| add(&format!("durfloors: {what}")));
    }
}

fn look_at_native(native: &Value, add: &mut dyn FnMut(&str)) {
    if NATIVE_REQUESTS.iter().all(|name| member(native, name).is_none()) {
        add("request is missing");
    } else if native_request(native).is_none() {
        add("request cannot be read or asks for no assets");
    }
}

/// Where a native request stands: by the specification, and where some exchanges put it.
const NATIVE_REQUESTS: [&str; 2] = ["request", "request_native"];

/// The native request: a JSON text by the specification, an object as some exchanges send it; bare or below `native`.
pub(super) fn native_request(native: &Value) -> Option<Value> {
    NATIVE_REQUESTS.iter().find_map(|name| readable_request(member(native, name)?))
}

fn readable_request(request: &Value) -> Option<Value> {
    let request = match request {
        Value::String(text) => serde_json::from_str(text).ok()?,
        object @ Value::Object(_) => object.clone(),
        _ => return None,
    };
    let request = member(&request, "native").cloned().unwrap_or(request);
    let assets = list(&request, "assets");
    (!assets.is_empty() && assets.iter().all(Value::is_object)).then_some(request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[allow(clippy::needless_pass_by_value, reason = "values are written where it is called")]
    fn flaws(imp: Value) -> String {
        Flaws::of(&json!({"id": "r", "imp": [imp], "site": {}})).text()
    }

    #[test]
    fn a_sound_request_has_no_flaws() {
        let request = json!({"id": "r", "imp": [
            {"id": "1", "banner": {"w": 300, "h": 250}, "bidfloor": "0.5", "ext": {"anything": [1]}},
            {"id": "2", "banner": {"format": [{"wratio": 16, "hratio": 9, "wmin": 100}]}},
            {"id": "3", "banner": {}, "instl": 1},
            {"id": "4", "video": {"mimes": ["video/mp4"], "minduration": 5}},
            {"id": "5", "audio": {"mimes": ["audio/mpeg"], "rqddurs": [15, 30]}},
            {"id": "6", "native": {"request": "{\"native\":{\"assets\":[{\"id\":1}]}}"}},
            {"id": "7", "native": {"request": {"assets": [{"id": 1}]}}, "video": null},
            {"id": "8", "banner": {"w": "300", "h": "250"}, "metric": [{"type": "viewability", "value": 0.5}],
             "pmp": {"deals": [{"id": "d", "bidfloor": 1}]}, "qty": {"multiplier": 14.2}},
            {"id": "9", "video": {"mimes": "video/mp4"}, "native": {"request_native": {"assets": [{"id": 1}]}}},
            {"id": "10", "native": {"request_native": "{\"native\":{\"assets\":[{\"id\":1}]}}"}}],
            "badv": "ford.example", "bcat": ["IAB1", 7], "wseat": 12,
            "device": {"w": 320, "h": 480}, "ext": {"prebid": {"cache": {}}}, "user": {"ext": {"prebid": {}}}});
        assert_eq!(Flaws::of(&request), Flaws::default());
    }

    #[test]
    fn flaws_of_the_request() {
        let imp = json!([{"id": "1", "banner": {"w": 1, "h": 1}}]);
        for (request, said) in [
            (json!([]), "no object"),
            (json!({"imp": imp}), "id is missing"),
            (json!({"id": "", "imp": imp}), "id is missing"),
            (json!({"id": 7, "imp": imp}), "id is missing"),
            (json!({"id": "r"}), "imp is missing"),
            (json!({"id": "r", "imp": {}}), "imp is no array"),
            (json!({"id": "r", "imp": []}), "imp is empty"),
            (json!({"id": "r", "imp": imp, "site": {}, "app": {}}), "site and app exclude"),
            (json!({"id": "r", "imp": imp, "site": {}, "dooh": {}}), "site and dooh exclude"),
            (json!({"id": "r", "imp": imp, "regs": {"ext": "malformed"}}), "regs.ext is no object"),
            (json!({"id": "r", "imp": imp, "device": "phone"}), "device is no object"),
            (json!({"id": "r", "imp": imp, "badv": {"ford.example": 1}}), "badv is no list of strings"),
            (json!({"id": "r", "imp": imp, "bcat": ["IAB1", ["IAB2"]]}), "bcat is no list of strings"),
        ] {
            let flaws = Flaws::of(&request);
            assert!(flaws.request.iter().any(|flaw| flaw.contains(said)), "{request}: {flaws:?}");
            assert!(flaws.forbids(None, "1", None).is_some());
        }
    }

    #[test]
    fn flaws_of_an_imp() {
        let banner = json!({"w": 300, "h": 250});
        for (imp, said) in [
            (json!({"banner": banner}), "id is missing"),
            (json!({"id": 1, "banner": banner}), "id is missing"),
            (json!("imp"), "is no object"),
            (json!({"id": "1", "metric": [{}]}), "offers none"),
            (json!({"id": "1", "banner": banner, "metric": [{}]}), "metric without"),
            (json!({"id": "1", "banner": {"h": 250}}), "banner: no size"),
            (json!({"id": "1", "banner": {"w": 300}}), "banner: no size"),
            (json!({"id": "1", "banner": {}}), "banner: no size"),
            (json!({"id": "1", "banner": {"wmax": 300, "hmax": 250}}), "banner: no size"),
            (json!({"id": "1", "banner": {"format": []}}), "banner: no size"),
            (json!({"id": "1", "banner": {}, "instl": 1}), "banner: no size"),
            (json!({"id": "1", "banner": {"format": {}}}), "banner: format is no array"),
            (json!({"id": "1", "banner": {"w": -1, "h": 250}}), "banner: a size that is negative"),
            (json!({"id": "1", "banner": []}), "banner: is no object"),
            (json!({"id": "1", "video": {"w": 1}}), "video: mimes is missing"),
            (json!({"id": "1", "audio": {"mimes": []}}), "audio: mimes is empty"),
            (json!({"id": "1", "audio": {"mimes": ""}}), "audio: mimes is empty"),
            (json!({"id": "1", "video": {"mimes": true}}), "video: mimes is no list"),
            (
                json!({"id": "1", "video": {"mimes": ["a"], "rqddurs": [15], "maxduration": 30}}),
                "rqddurs excludes",
            ),
            (json!({"id": "1", "video": {"mimes": ["a"], "mincpmpersec": -1}}), "mincpmpersec is negative"),
            (
                json!({"id": "1", "video": {"mimes": ["a"], "maxduration": "x"}}),
                "maxduration is negative or no",
            ),
            (json!({"id": "1", "native": {}}), "native: request is missing"),
            (json!({"id": "1", "native": {"request": "{"}}), "native: request cannot be read"),
            (json!({"id": "1", "native": {"request_native": "{"}}), "native: request cannot be read"),
            (json!({"id": "1", "banner": banner, "bidfloor": -0.1}), "bidfloor is negative"),
            (json!({"id": "1", "banner": banner, "bidfloor": "cheap"}), "bidfloor is no number"),
            (json!({"id": "1", "banner": banner, "bidfloorcur": "$"}), "bidfloorcur is no"),
            (json!({"id": "1", "banner": banner, "pmp": {"deals": [{}]}}), "deal without id"),
            (json!({"id": "1", "banner": banner, "qty": {}}), "qty without"),
        ] {
            let found = flaws(imp.clone());
            assert!(found.contains(said), "{imp}: {found}");
        }
    }

    #[test]
    fn a_repeated_id_spoils_both_and_a_flawed_format_only_itself() {
        let request = json!({"id": "r", "imp": [
            {"id": "a", "banner": {"w": 1, "h": 1}}, {"id": "a", "banner": {"w": 1, "h": 1}},
            {"id": "b", "banner": {}, "video": {"mimes": ["video/mp4"]}}]});
        let flaws = Flaws::of(&request);
        assert!(flaws.forbids(request["imp"].get(0), "a", Some(Format::Banner)).is_some());
        let mixed = request["imp"].get(2);
        assert!(flaws.forbids(mixed, "b", Some(Format::Banner)).is_some());
        assert!(flaws.forbids(mixed, "b", Some(Format::Video)).is_none());
        assert!(flaws.forbids(mixed, "b", None).is_none());
        assert!(flaws.any());
    }
}

//! One bid beside what it answers: the request, the imp and the format, and what its markup is.

use serde_json::Value;

use super::format::Format;
use super::value::{member, text, whole_at};
use super::vast::{self, Vast};

/// What `bid.adm` holds.
#[derive(Debug)]
pub(super) enum Markup<'a> {
    /// None: it may come with the win notice.
    None,
    /// Neither of the others.
    Html(&'a str),
    /// A document of VAST or DAAST, or what keeps it from being one.
    Vast(Result<Vast, String>),
    /// A native answer, or what keeps it from being one.
    Native(Result<Value, String>),
}

impl<'a> Markup<'a> {
    /// Tells markup by how it begins.
    fn of(bid: &'a Value) -> Self {
        let adm = match member(bid, "adm") {
            Some(Value::String(adm)) => adm.trim(),
            // Against the specification, which the schema says; what is in it can be looked at nevertheless.
            Some(object @ Value::Object(_)) => return Self::Native(Ok(object.clone())),
            _ => "",
        };
        let start = adm.trim_start_matches('\u{feff}');
        // A prologue or a comment may come first, in XHTML as in VAST.
        let begins = |with: &str| start.get(..with.len()).is_some_and(|head| head.eq_ignore_ascii_case(with));
        let holds = |tag: &str| start.to_ascii_lowercase().contains(tag);
        let is_vast = begins("<vast")
            || begins("<daast")
            || (begins("<?xml") || begins("<!--")) && (holds("<vast") || holds("<daast"));
        if start.is_empty() {
            Self::None
        } else if start.starts_with('{') {
            Self::Native(serde_json::from_str(start).map_err(|error| format!("adm is no JSON: {error}")))
        } else if is_vast {
            Self::Vast(vast::read(start))
        } else {
            Self::Html(start)
        }
    }
}

/// One bid.
#[derive(Debug)]
pub(super) struct Offer<'a> {
    pub(super) request: &'a Value,
    pub(super) imp: &'a Value,
    pub(super) bid: &'a Value,
    /// Of the seatbid; none where it has none.
    pub(super) seat: Option<&'a str>,
    /// Of the response, or US dollars.
    pub(super) currency: &'a str,
    pub(super) markup: Markup<'a>,
    /// By `mtype`, else by the markup, else the only one that the imp offers.
    pub(super) format: Option<Format>,
    /// For messages.
    pub(super) name: String,
}

impl<'a> Offer<'a> {
    pub(super) fn new(
        request: &'a Value,
        imp: &'a Value,
        bid: &'a Value,
        seat: Option<&'a str>,
        currency: &'a str,
    ) -> Self {
        let markup = Markup::of(bid);
        let format = whole_at(bid, "mtype").and_then(Format::of_mtype).or_else(|| sniff(&markup, imp));
        let name =
            format!("bid {} on imp {}", text(bid, "id").unwrap_or("?"), text(imp, "id").unwrap_or("?"));
        Self { request, imp, bid, seat, currency, markup, format, name }
    }

    /// The imp's object of the bid's format.
    pub(super) fn slot(&self) -> Option<&'a Value> {
        member(self.imp, self.format?.as_str()).filter(|slot| slot.is_object())
    }

    /// The deal that the bid names, if the imp has it.
    pub(super) fn deal(&self) -> Option<&'a Value> {
        let id = text(self.bid, "dealid")?;
        let deals = super::value::list(member(self.imp, "pmp")?, "deals");
        deals.iter().find(|deal| text(deal, "id") == Some(id))
    }

    /// The document of VAST or DAAST, where there is one that can be read.
    pub(super) fn vast(&self) -> Option<&Vast> {
        match &self.markup {
            Markup::Vast(Ok(vast)) => Some(vast),
            _ => None,
        }
    }

    /// How long a video or audio ad is, in milliseconds: `dur`, or what the VAST document says.
    pub(super) fn duration_ms(&self) -> Option<i64> {
        whole_at(self.bid, "dur")
            .filter(|seconds| (1..1_000_000).contains(seconds))
            .map(|seconds| seconds * 1000)
            .or_else(|| self.vast().and_then(|vast| vast.duration_ms))
    }
}

fn sniff(markup: &Markup<'_>, imp: &Value) -> Option<Format> {
    let offers = |format: Format| member(imp, format.as_str()).is_some();
    match markup {
        Markup::Html(_) => Some(Format::Banner),
        Markup::Native(_) => Some(Format::Native),
        Markup::Vast(read) => {
            let audible = read.as_ref().is_ok_and(Vast::is_audio);
            let audio = offers(Format::Audio) && (audible || !offers(Format::Video));
            Some(if audio { Format::Audio } else { Format::Video })
        }
        Markup::None => {
            let mut offered = Format::offered(imp);
            offered.next().filter(|_| offered.next().is_none())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_format_is_told_by_mtype_then_markup_then_imp() {
        let imp = json!({"id": "1", "banner": {}, "audio": {}, "native": {}});
        let format = |imp: &Value, bid: Value| Offer::new(&Value::Null, imp, &bid, None, "USD").format;
        assert_eq!(format(&imp, json!({"mtype": 4, "adm": "<b>"})), Some(Format::Native));
        assert_eq!(format(&imp, json!({"adm": "<b>hello</b>"})), Some(Format::Banner));
        assert_eq!(format(&imp, json!({"adm": " {\"assets\":[]}"})), Some(Format::Native));
        assert_eq!(format(&imp, json!({"adm": "<?xml version=\"1.0\"?><VAST/>"})), Some(Format::Audio));
        assert_eq!(
            format(&json!({"video": {}, "audio": {}}), json!({"adm": "<DAAST version=\"1.0\"/>"})),
            Some(Format::Audio)
        );
        assert_eq!(
            format(&json!({"video": {}}), json!({"adm": "<VAST version=\"3.0\"/>"})),
            Some(Format::Video)
        );
        assert_eq!(format(&imp, json!({"nurl": "https://a.example"})), None);
        assert_eq!(format(&json!({"video": {}}), json!({})), Some(Format::Video));
    }
}

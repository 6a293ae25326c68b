//! Bid responses (OpenRTB 2.6 section 4.2), appended to a buffer as they are made.

use haggle_domain::fit::OMID;
use haggle_domain::{Category, Codes, CpmMicros, Size};

use crate::escape::{push_integer, push_json};
use crate::markup::Markup;

/// What `cattax` means where it is absent: IAB's content taxonomy 1.0 (section 4.2.3).
const DEFAULT_TAXONOMY: u8 = 1;

/// What the response says besides its bids.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'a> {
    /// The request's id.
    pub request_id: &'a str,
    /// Our id for the response, sent as `bidid`.
    pub response_id: &'a str,
    /// Of all prices, ISO 4217.
    pub currency: &'a str,
    /// Our seat at the exchange.
    pub seat: &'a str,
}

/// One bid (section 4.2.3). Empty text is left out. Macros in the addresses are left for the exchange.
#[derive(Clone, Copy, Debug)]
pub struct Bid<'a> {
    /// Our id for the bid.
    pub id: &'a str,
    /// The imp it is for.
    pub imp_id: &'a str,
    /// Written as an exact decimal.
    pub price: CpmMicros,
    /// Win notice.
    pub nurl: &'a str,
    /// Billing notice.
    pub burl: &'a str,
    /// Loss notice.
    pub lurl: &'a str,
    /// What is shown; `mtype`, `dur`, `protocol`, `apis`, `w` and `h` follow from it.
    pub markup: Markup<'a>,
    /// The advertiser's domain.
    pub adomain: &'a str,
    /// The advertised app's id in its store.
    pub bundle: &'a str,
    /// The campaign's id.
    pub cid: &'a str,
    /// The creative's id.
    pub crid: &'a str,
    /// What the ad is about; sent are those of the taxonomy `cattax`.
    pub cat: &'a [Category],
    /// The taxonomy that the request uses (AdCOM 1.0, list of category taxonomies); 0 for the default, 1.
    pub cattax: u8,
    /// The ad's attributes; see [`haggle_domain::fit::attributes`].
    pub attr: Codes,
    /// The deal that the bid is made under.
    pub dealid: &'a str,
    /// The ad's language, ISO 639-1.
    pub language: &'a str,
    /// Which place in its pod the ad is for: 0 any, 1 first, -1 last, 2 first or last. Only for VAST.
    pub slotinpod: i8,
    /// How many seconds may pass between the bid and the impression.
    pub exp: u32,
}

/// Appends a whole response that says only why there is no bid: `nbr` (AdCOM 1.0, list of no-bid reason codes).
pub fn write_no_bid(out: &mut Vec<u8>, request_id: &str, nbr: u16) {
    out.extend_from_slice(b"{\"id\":\"");
    push_json(out, request_id);
    out.push(b'"');
    push_number(out, "nbr", nbr);
    out.push(b'}');
}

/// Writes one response. Without [`ResponseWriter::finish`] it is cut short.
#[derive(Debug)]
#[must_use = "the response is complete only after `finish`"]
pub struct ResponseWriter<'o> {
    out: &'o mut Vec<u8>,
    seat: &'o str,
    bids: usize,
}

impl<'o> ResponseWriter<'o> {
    /// Appends the head of a response to `out`.
    pub fn new(out: &'o mut Vec<u8>, head: &ResponseHead<'o>) -> Self {
        out.extend_from_slice(b"{\"id\":\"");
        push_json(out, head.request_id);
        push_member(out, "bidid", head.response_id);
        push_member(out, "cur", head.currency);
        out.extend_from_slice(b"\",\"seatbid\":[");
        Self { out, seat: head.seat, bids: 0 }
    }

    /// Appends one bid.
    pub fn bid(&mut self, bid: &Bid<'_>) {
        let out = &mut *self.out;
        if self.bids == 0 {
            out.extend_from_slice(b"{\"seat\":\"");
            push_json(out, self.seat);
            out.extend_from_slice(b"\",\"bid\":[");
        } else {
            out.push(b',');
        }
        self.bids += 1;
        out.extend_from_slice(b"{\"id\":\"");
        push_json(out, bid.id);
        out.extend_from_slice(b"\",\"impid\":\"");
        push_json(out, bid.imp_id);
        out.extend_from_slice(b"\",\"price\":");
        push_price(out, bid.price);
        out.extend_from_slice(b",\"adm\":\"");
        bid.markup.write(out);
        push_member(out, "nurl", bid.nurl);
        push_member(out, "burl", bid.burl);
        push_member(out, "lurl", bid.lurl);
        push_member(out, "dealid", bid.dealid);
        push_member(out, "bundle", bid.bundle);
        push_member(out, "cid", bid.cid);
        push_member(out, "crid", bid.crid);
        push_member(out, "language", bid.language);
        out.push(b'"');
        if !bid.adomain.is_empty() {
            out.extend_from_slice(b",\"adomain\":[\"");
            push_json(out, bid.adomain);
            out.extend_from_slice(b"\"]");
        }
        push_categories(out, bid.cat, bid.cattax);
        push_list(out, "attr", bid.attr.iter(), push_integer);
        let Size { width, height } = bid.markup.size();
        if width > 0 && height > 0 {
            push_number(out, "w", width);
            push_number(out, "h", height);
        }
        if let Markup::Vast(vast) = &bid.markup {
            push_number(out, "protocol", vast.template.protocol(vast.is_wrapper()));
            push_number(out, "dur", vast.stream.duration);
            if bid.slotinpod != 0 {
                push_number(out, "slotinpod", bid.slotinpod);
            }
        }
        if bid.markup.verification().is_some() {
            push_list(out, "apis", [OMID].into_iter(), push_integer);
        }
        push_number(out, "exp", bid.exp);
        push_number(out, "mtype", bid.markup.kind());
        out.push(b'}');
    }

    /// Completes the response. One without bids is well-formed; exchanges prefer an empty answer (HTTP 204) to it.
    pub fn finish(self) {
        self.out.extend_from_slice(if self.bids == 0 { b"]}" } else { b"]}]}" });
    }
}

/// Ends the text before and begins the next, leaving its end open; nothing for an empty text.
fn push_member(out: &mut Vec<u8>, key: &str, text: &str) {
    if !text.is_empty() {
        out.extend_from_slice(b"\",\"");
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(b"\":\"");
        push_json(out, text);
    }
}

/// `cat` in one taxonomy, and `cattax` where it is not the one that is assumed.
fn push_categories(out: &mut Vec<u8>, categories: &[Category], taxonomy: u8) {
    let taxonomy = if taxonomy == 0 { DEFAULT_TAXONOMY } else { taxonomy };
    let any =
        push_list(out, "cat", categories.iter().filter(|it| it.taxonomy == taxonomy), |out, category| {
            out.push(b'"');
            push_json(out, &category.code);
            out.push(b'"');
        });
    if any && taxonomy != DEFAULT_TAXONOMY {
        push_number(out, "cattax", taxonomy);
    }
}

/// A list, unless there is nothing in it; says whether there was.
fn push_list<T>(
    out: &mut Vec<u8>,
    key: &str,
    items: impl Iterator<Item = T>,
    push: impl Fn(&mut Vec<u8>, T),
) -> bool {
    let mut any = false;
    for item in items {
        if any {
            out.push(b',');
        } else {
            push_key(out, key);
            out.push(b'[');
        }
        any = true;
        push(out, item);
    }
    if any {
        out.push(b']');
    }
    any
}

fn push_number(out: &mut Vec<u8>, key: &str, value: impl itoa::Integer) {
    push_key(out, key);
    push_integer(out, value);
}

fn push_key(out: &mut Vec<u8>, key: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"\":");
}

/// An exact decimal, without zeros at its end.
fn push_price(out: &mut Vec<u8>, price: CpmMicros) {
    let magnitude = price.0.unsigned_abs();
    if price.0 < 0 {
        out.push(b'-');
    }
    push_integer(out, magnitude / 1_000_000);
    let mut fraction = magnitude % 1_000_000;
    if fraction == 0 {
        return;
    }
    out.push(b'.');
    let mut place = 100_000;
    while fraction > 0 {
        // One digit, so the cast loses nothing.
        out.push(b'0' + (fraction / place) as u8);
        fraction %= place;
        place /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::markup::{BannerMarkup, NativeMarkup, VastMarkup};
    use haggle_domain::{
        Media, MediaFile, NativeAd, NativeAsset, NativeKind, NativeSlot, Stream, StreamSlot, Template,
        Verification,
    };
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn banner<'a>() -> Markup<'a> {
        Markup::Banner(BannerMarkup {
            click_url: "https://click.test",
            image_url: "https://cdn.test/a.png",
            title: "",
            size: Size { width: 300, height: 250 },
            impression_url: "https://track.test",
            verification: None,
        })
    }

    fn vast<'a>(slot: &'a StreamSlot, stream: &'a Stream) -> VastMarkup<'a> {
        VastMarkup {
            template: Template::Vast41,
            slot,
            stream,
            ad_id: "1",
            creative_id: "1",
            title: "Shoes",
            category: "",
            advertiser: "shop.test",
            click_url: "https://click.test",
            impression_url: "https://track.test",
            error_url: "",
            verification: None,
        }
    }

    fn bid<'a>(text: &'a str, cat: &'a [Category], price: CpmMicros, markup: Markup<'a>) -> Bid<'a> {
        Bid {
            id: text,
            imp_id: text,
            price,
            nurl: text,
            burl: text,
            lurl: text,
            markup,
            adomain: text,
            bundle: text,
            cid: text,
            crid: text,
            cat,
            cattax: 0,
            attr: Codes::NONE,
            dealid: text,
            language: text,
            slotinpod: 0,
            exp: 300,
        }
    }

    fn bare(markup: Markup<'_>) -> Bid<'_> {
        bid("", &[], CpmMicros::ZERO, markup)
    }

    fn category(taxonomy: u8, code: &str) -> Category {
        Category { taxonomy, code: code.to_owned() }
    }

    fn written(head: &ResponseHead<'_>, bids: &[Bid<'_>]) -> Value {
        let mut out = b"kept ".to_vec();
        let mut writer = ResponseWriter::new(&mut out, head);
        for bid in bids {
            writer.bid(bid);
        }
        writer.finish();
        serde_json::from_slice(out.strip_prefix(b"kept ").unwrap()).unwrap()
    }

    const HEAD: ResponseHead<'static> =
        ResponseHead { request_id: "r", response_id: "b", currency: "USD", seat: "s" };

    /// What one bid says beside its markup.
    fn said(bid: &Bid<'_>) -> Value {
        let mut response = written(&HEAD, std::slice::from_ref(bid));
        let mut bid = response["seatbid"][0]["bid"][0].take();
        bid.as_object_mut().unwrap().remove("adm");
        bid
    }

    #[test]
    fn a_response_reads_back() {
        let cat = [category(1, "IAB18"), category(7, "596"), category(1, "IAB22-3")];
        let adm = concat!(
            r#"<a href="https://click.test" target="_blank" rel="noopener">"#,
            r#"<img src="https://cdn.test/a.png" width="300" height="250" alt=""></a>"#,
            r#"<img src="https://track.test" width="1" height="1" alt="" style="position:absolute">"#
        );
        let full = json!({
            "id": "x", "impid": "x", "price": 1.25, "adm": adm, "nurl": "x", "burl": "x", "lurl": "x", "dealid": "x",
            "bundle": "x", "cid": "x", "crid": "x", "language": "x", "adomain": ["x"], "cat": ["IAB18", "IAB22-3"],
            "attr": [6, 16], "w": 300, "h": 250, "exp": 300, "mtype": 1
        });
        let bare_bid = json!({"id": "", "impid": "", "price": 0, "adm": adm, "w": 300, "h": 250, "exp": 300, "mtype": 1});
        let attr = [6, 16].into_iter().collect();
        let bids = [Bid { attr, ..bid("x", &cat, CpmMicros(1_250_000), banner()) }, bare(banner())];
        assert_eq!(
            written(&HEAD, &bids),
            json!({"id": "r", "bidid": "b", "cur": "USD", "seatbid": [{"seat": "s", "bid": [full, bare_bid]}]})
        );
        assert_eq!(written(&HEAD, &[]), json!({"id": "r", "bidid": "b", "cur": "USD", "seatbid": []}));
    }

    #[test]
    fn categories_are_those_of_the_request_s_taxonomy() {
        let cat = [category(1, "IAB18"), category(7, "596")];
        for (cattax, codes, named) in [
            (0, json!(["IAB18"]), Value::Null),
            (1, json!(["IAB18"]), Value::Null),
            (7, json!(["596"]), json!(7)),
            (6, Value::Null, Value::Null),
        ] {
            let said = said(&Bid { cattax, cat: &cat, ..bare(banner()) });
            assert_eq!((&said["cat"], &said["cattax"]), (&codes, &named), "cattax {cattax}");
        }
    }

    #[test]
    fn each_format_says_what_belongs_to_it() {
        let verification = Verification {
            vendor: "vendor.test-omid".to_owned(),
            script: "https://vendor.test/omid.js".to_owned(),
            parameters: String::new(),
        };
        let slot = StreamSlot { most_bitrate: u32::MAX, ..StreamSlot::default() };
        let file = |width| MediaFile {
            url: "https://cdn.test/a".to_owned(),
            mime: "video/mp4".to_owned(),
            size: Size { width, height: width / 2 },
            bitrate: 0,
        };
        let film = Stream { duration: 15, skip_after: None, media: Media::Files(vec![file(320), file(640)]) };
        let markup = VastMarkup { verification: Some(&verification), ..vast(&slot, &film) };
        let common = json!({"id": "", "impid": "", "price": 0, "exp": 300});
        let with = |others: Value| {
            let mut all = common.clone();
            all.as_object_mut().unwrap().append(&mut others.as_object().unwrap().clone());
            all
        };
        assert_eq!(
            said(&Bid { slotinpod: -1, ..bare(Markup::Vast(markup)) }),
            with(
                json!({"mtype": 2, "w": 640, "h": 320, "protocol": 11, "dur": 15, "slotinpod": -1, "apis": [7]})
            )
        );
        let tag =
            Media::Wrapper { tag: "https://vast.test".to_owned(), mimes: vec![], size: Size::default() };
        let sound = Stream { duration: 30, skip_after: None, media: tag };
        let speaker = StreamSlot { audio: true, ..slot };
        let markup = vast(&speaker, &sound);
        assert_eq!(said(&bare(Markup::Vast(markup))), with(json!({"mtype": 3, "protocol": 12, "dur": 30})));
        assert_eq!(
            said(&bare(Markup::Vast(VastMarkup { template: Template::Daast, ..markup }))),
            with(json!({"mtype": 3, "protocol": 10, "dur": 30}))
        );
        let title = NativeAsset { id: 1, required: true, kind: NativeKind::Title { longest: 0 } };
        let page = NativeSlot { assets: [title].into_iter().collect(), ..NativeSlot::default() };
        let ad = NativeAd { images: vec![], data: vec![] };
        let native = Markup::Native(NativeMarkup {
            slot: &page,
            ad: &ad,
            title: "Shoes",
            click_url: "https://click.test",
            impression_url: "https://track.test",
            verification: None,
            wrapped: false,
        });
        assert_eq!(said(&Bid { slotinpod: 1, ..bare(native) }), with(json!({"mtype": 4})));
    }

    #[test]
    fn no_bid_says_why() {
        let mut out = Vec::new();
        write_no_bid(&mut out, "a\"b", 7);
        assert_eq!(String::from_utf8(out).unwrap(), r#"{"id":"a\"b","nbr":7}"#);
    }

    proptest! {
        #[test]
        fn any_text_reads_back(text in any::<String>(), codes in prop::collection::vec(any::<String>(), 0..3)) {
            let head = ResponseHead { request_id: &text, response_id: &text, currency: "EUR", seat: &text };
            let cat: Vec<_> = codes.iter().map(|code| category(1, code)).collect();
            let response = written(&head, &[bid(&text, &cat, CpmMicros(1), banner())]);
            prop_assert_eq!(&response["id"], &json!(text));
            prop_assert_eq!(&response["seatbid"][0]["seat"], &json!(text));
            let sent = &response["seatbid"][0]["bid"][0];
            prop_assert_eq!(&sent["impid"], &json!(text));
            if !text.is_empty() {
                prop_assert_eq!(&response["bidid"], &json!(text));
                for member in ["nurl", "burl", "lurl", "cid", "crid", "dealid", "bundle", "language"] {
                    prop_assert_eq!(&sent[member], &json!(text));
                }
                prop_assert_eq!(&sent["adomain"], &json!([text]));
            }
            prop_assert_eq!(sent.get("cat").cloned().unwrap_or(json!([])), json!(codes));
        }

        #[test]
        fn prices_are_exact(micros in any::<i64>()) {
            let mut out = Vec::new();
            push_price(&mut out, CpmMicros(micros));
            prop_assert_eq!(String::from_utf8(out).unwrap(), CpmMicros(micros).to_string());
        }
    }
}

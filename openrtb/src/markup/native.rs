//! A native ad's JSON (OpenRTB Native 1.2 section 5), itself inside a JSON string.

use haggle_domain::fit::{NativeAnswer, native_answers};
use haggle_domain::{NativeAd, NativeAsset, NativeSlot, Verification};

use crate::escape::{push_integer, push_json_in_json};

/// The assets that the page asked for, as far as the ad has them.
#[derive(Clone, Copy, Debug)]
pub struct NativeMarkup<'a> {
    /// What the page asked for.
    pub slot: &'a NativeSlot,
    /// What answers it.
    pub ad: &'a NativeAd,
    /// The ad's title.
    pub title: &'a str,
    /// Where a click leads.
    pub click_url: &'a str,
    /// Called when the ad is shown.
    pub impression_url: &'a str,
    /// Whose script is sent with it, where the answer is by version 1.2 and the page runs scripts on impressions.
    pub verification: Option<&'a Verification>,
    /// Whether the answer is the single member `native` of an object, as before version 1.1 and still at many exchanges.
    pub wrapped: bool,
}

impl NativeMarkup<'_> {
    /// Appends the JSON as the inside of a JSON string, so with every quote escaped.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        if self.wrapped {
            out.extend_from_slice(br#"{\"native\":"#);
        }
        let version = if self.slot.event_trackers { "1.2" } else { "1.1" };
        push_text(out, br#"{\"ver\":\""#, version);
        out.extend_from_slice(br#",\"assets\":["#);
        for (index, (asset, answer)) in native_answers(self.slot, self.ad, self.title).enumerate() {
            if index > 0 {
                out.push(b',');
            }
            push_asset(out, asset, answer);
        }
        push_text(out, br#"],\"link\":{\"url\":\""#, self.click_url);
        self.push_trackers(out);
        out.push(b'}');
        if self.wrapped {
            out.push(b'}');
        }
    }

    /// Only what the page offers may be asked for (section 5.8).
    fn push_trackers(&self, out: &mut Vec<u8>) {
        if !self.slot.event_trackers {
            push_text(out, br#"},\"imptrackers\":[\""#, self.impression_url);
            out.push(b']');
            return;
        }
        push_text(out, br#"},\"eventtrackers\":[{\"event\":1,\"method\":1,\"url\":\""#, self.impression_url);
        if let Some(verification) = self.verification {
            push_text(out, br#"},{\"event\":1,\"method\":2,\"url\":\""#, &verification.script);
            push_text(out, br#",\"ext\":{\"vendorKey\":\""#, &verification.vendor);
            push_text(out, br#",\"verification_parameters\":\""#, &verification.parameters);
            out.push(b'}');
        }
        out.extend_from_slice(b"}]");
    }
}

fn push_asset(out: &mut Vec<u8>, asset: &NativeAsset, answer: NativeAnswer<'_>) {
    out.extend_from_slice(br#"{\"id\":"#);
    push_integer(out, asset.id);
    if asset.required {
        out.extend_from_slice(br#",\"required\":1"#);
    }
    match answer {
        NativeAnswer::Title(text) => push_text(out, br#",\"title\":{\"text\":\""#, text),
        NativeAnswer::Image(image) => {
            out.extend_from_slice(br#",\"img\":{\"type\":"#);
            push_integer(out, image.kind);
            push_text(out, br#",\"url\":\""#, &image.url);
            out.extend_from_slice(br#",\"w\":"#);
            push_integer(out, image.size.width);
            out.extend_from_slice(br#",\"h\":"#);
            push_integer(out, image.size.height);
        }
        NativeAnswer::Data { kind, value } => {
            out.extend_from_slice(br#",\"data\":{\"type\":"#);
            push_integer(out, kind);
            out.extend_from_slice(br#",\"len\":"#);
            push_integer(out, value.chars().count());
            push_text(out, br#",\"value\":\""#, value);
        }
    }
    out.extend_from_slice(b"}}");
}

/// Appends `before`, which ends in an opening quote, the text and the closing quote.
fn push_text(out: &mut Vec<u8>, before: &[u8], text: &str) {
    out.extend_from_slice(before);
    push_json_in_json(out, text);
    out.extend_from_slice(br#"\""#);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::markup::test_support::{read, verification};
    use haggle_domain::{NativeImage, NativeKind, Size};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn slot(event_trackers: bool) -> NativeSlot {
        let asset = |id, required, kind| NativeAsset { id, required, kind };
        let image = NativeKind::Image {
            kind: 3,
            size: Size::default(),
            least: Size { width: 600, height: 315 },
            mimes: Default::default(),
        };
        NativeSlot {
            assets: vec![
                asset(4, true, NativeKind::Title { longest: 0 }),
                asset(-1, false, NativeKind::Video),
                asset(0, true, image),
                asset(7, false, NativeKind::Data { kind: 1, longest: 25 }),
            ]
            .into(),
            image_tracker: true,
            script_tracker: true,
            event_trackers,
            ..NativeSlot::default()
        }
    }

    fn ad(text: &str) -> NativeAd {
        NativeAd {
            images: vec![NativeImage {
                kind: 3,
                url: "https://cdn.test/a.jpg".to_owned(),
                mime: "image/jpeg".to_owned(),
                size: Size { width: 1200, height: 627 },
            }],
            data: vec![(1, text.to_owned())],
        }
    }

    fn markup<'a>(slot: &'a NativeSlot, ad: &'a NativeAd) -> NativeMarkup<'a> {
        NativeMarkup {
            slot,
            ad,
            title: "Tom's \"big\" sale",
            click_url: "https://click.test/?a=1&b=2",
            impression_url: "https://track.test/i?p=${AUCTION_PRICE}",
            verification: None,
            wrapped: false,
        }
    }

    #[test]
    fn the_answer_by_version_1_2() {
        let (slot, ad, verification) = (slot(true), ad("Sho\u{df}"), verification());
        let plain = read(|out| markup(&slot, &ad).write(out));
        let expected = concat!(
            r#"{"ver":"1.2","assets":[{"id":4,"required":1,"title":{"text":"Tom's \"big\" sale"}},"#,
            r#"{"id":0,"required":1,"img":{"type":3,"url":"https://cdn.test/a.jpg","w":1200,"h":627}},"#,
            "{\"id\":7,\"data\":{\"type\":1,\"len\":4,\"value\":\"Sho\u{df}\"}}],",
            r#""link":{"url":"https://click.test/?a=1&b=2"},"#,
            r#""eventtrackers":[{"event":1,"method":1,"url":"https://track.test/i?p=${AUCTION_PRICE}"}]}"#
        );
        assert_eq!(plain, expected);
        let measured =
            NativeMarkup { verification: Some(&verification), wrapped: true, ..markup(&slot, &ad) };
        let read: Value = serde_json::from_str(&read(|out| measured.write(out))).unwrap();
        assert_eq!(
            read["native"]["eventtrackers"],
            json!([
                {"event": 1, "method": 1, "url": "https://track.test/i?p=${AUCTION_PRICE}"},
                {"event": 1, "method": 2, "url": verification.script, "ext":
                    {"vendorKey": verification.vendor, "verification_parameters": verification.parameters}}
            ])
        );
    }

    #[test]
    fn before_that_trackers_are_a_list_of_addresses() {
        let (slot, ad, verification) = (slot(false), ad("Shoes"), verification());
        let markup = NativeMarkup { verification: Some(&verification), ..markup(&slot, &ad) };
        let read: Value = serde_json::from_str(&read(|out| markup.write(out))).unwrap();
        assert_eq!(read["ver"], "1.1");
        assert_eq!(read["imptrackers"], json!(["https://track.test/i?p=${AUCTION_PRICE}"]));
        assert!(read.get("eventtrackers").is_none() && read.get("native").is_none());
    }

    proptest! {
        #[test]
        fn any_text_reads_back(text in "[\\x00-\\x7f\u{e9}\u{2028}\u{1f600}]{1,25}", wrapped in any::<bool>()) {
            let (slot, ad) = (slot(true), ad(&text));
            let markup = NativeMarkup {
                title: &text,
                click_url: &text,
                impression_url: &text,
                wrapped,
                ..markup(&slot, &ad)
            };
            let read: Value = serde_json::from_str(&read(|out| markup.write(out))).unwrap();
            let native = if wrapped { &read["native"] } else { &read };
            prop_assert_eq!(&native["assets"][0]["title"]["text"], &json!(text));
            prop_assert_eq!(&native["assets"][2]["data"]["value"], &json!(text));
            prop_assert_eq!(&native["link"]["url"], &json!(text));
            prop_assert_eq!(&native["eventtrackers"][0]["url"], &json!(text));
        }
    }
}

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

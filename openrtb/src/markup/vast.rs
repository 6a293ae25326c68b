//! A video's or audio's VAST, versions 2.0 to 4.2, or an audio's DAAST 1.0, inline or as a wrapper. The order of elements
//! is that of each version's schema.
//!
//! DAAST (IAB, Digital Audio Ad Serving Template 1.0) has the structure of VAST 3.0 with these differences, by the
//! sections of its specification: the root's name (3.1.1), a `Category` that `InLine` must have (3.1.4.1; `Expires` is
//! optional, and left out), media files with an id and without a size (3.2.1.4), `AdInteractions` in place of
//! `VideoClicks` (3.2.1.6), and `DAASTAdTagURI` (3.3.1.1).

use haggle_domain::fit::files_that_fit;
use haggle_domain::{Media, Size, Stream, StreamSlot, Template, Verification};

use crate::escape::{push_cdata_in_json, push_integer, push_xml_in_json};

/// Who serves the ad, in `AdSystem`.
const AD_SYSTEM: &str = "Haggle";

/// Whose list DAAST's `Category` is of: IAB's content taxonomy 1.0.
const CATEGORY_AUTHORITY: &str = "https://iabtechlab.com";
/// That list's code for what it has no other for.
const UNCATEGORIZED: &str = "IAB24";

/// One linear ad.
#[derive(Clone, Copy, Debug)]
pub struct VastMarkup<'a> {
    /// See [`haggle_domain::fit::template`].
    pub template: Template,
    /// What the player takes: of the stream's files, those that fit it are sent.
    pub slot: &'a StreamSlot,
    /// The ad.
    pub stream: &'a Stream,
    /// This bid's id: `Ad`'s `id`, and `AdServingId`.
    pub ad_id: &'a str,
    /// The creative's id, in `UniversalAdId`.
    pub creative_id: &'a str,
    /// The ad's title.
    pub title: &'a str,
    /// What it is about, in IAB's content taxonomy 1.0, for DAAST, which asks for it; empty where that is not known.
    pub category: &'a str,
    /// The advertiser's domain: `Advertiser`, and the registry of the creative's id.
    pub advertiser: &'a str,
    /// Where a click leads. In a wrapper only called on a click: where that leads is the inner ad's matter.
    pub click_url: &'a str,
    /// Called when the ad starts.
    pub impression_url: &'a str,
    /// Called when it cannot be played, with the macro `[ERRORCODE]`; empty for none.
    pub error_url: &'a str,
    /// Whose script is sent with it; only where the player runs it.
    pub verification: Option<&'a Verification>,
}

impl VastMarkup<'_> {
    /// Whether it is somebody else's VAST that is wrapped.
    pub(crate) fn is_wrapper(&self) -> bool {
        matches!(self.stream.media, Media::Wrapper { .. })
    }

    /// Of the widest picture that is sent; zero for audio.
    pub(crate) fn size(&self) -> Size {
        match &self.stream.media {
            _ if self.slot.audio => Size::default(),
            Media::Wrapper { size, .. } => *size,
            Media::Files(_) => files_that_fit(self.slot, self.stream)
                .map(|fitting| fitting.file.size)
                .max_by_key(|size| (size.width, size.height))
                .unwrap_or_default(),
        }
    }

    /// Appends the XML as the inside of a JSON string.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.push(b'<');
        out.extend_from_slice(self.root().as_bytes());
        out.extend_from_slice(br#" version=\""#);
        out.extend_from_slice(self.template.version().as_bytes());
        if self.template >= Template::Vast40 {
            out.extend_from_slice(br#"\" xmlns=\"http://www.iab.com/VAST"#);
        }
        out.extend_from_slice(br#"\"><Ad id=\""#);
        push_xml_in_json(out, self.ad_id);
        if self.slot.audio && self.template >= Template::Vast41 {
            out.extend_from_slice(br#"\" adType=\"audio"#);
        }
        out.extend_from_slice(br#"\">"#);
        match &self.stream.media {
            Media::Files(_) => self.push_inline(out),
            Media::Wrapper { tag, .. } => self.push_wrapper(out, tag),
        }
        out.extend_from_slice(b"</Ad></");
        out.extend_from_slice(self.root().as_bytes());
        out.push(b'>');
    }

    fn is_daast(&self) -> bool {
        self.template == Template::Daast
    }

    /// The name of the document's root.
    fn root(&self) -> &'static str {
        if self.is_daast() { "DAAST" } else { "VAST" }
    }

    fn push_inline(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"<InLine>");
        push_text(out, "AdSystem", AD_SYSTEM);
        if self.template < Template::Vast40 {
            push_text(out, "AdTitle", self.title);
            if self.template >= Template::Vast3 {
                self.push_advertiser(out);
            }
            self.push_category(out);
            self.push_events(out);
            self.push_linear(out);
            self.push_verification_extension(out);
        } else {
            self.push_events(out);
            if self.template >= Template::Vast41 {
                push_text(out, "AdServingId", self.ad_id);
            }
            push_text(out, "AdTitle", self.title);
            self.push_verification(out);
            self.push_advertiser(out);
            self.push_linear(out);
        }
        out.extend_from_slice(b"</InLine>");
    }

    fn push_wrapper(&self, out: &mut Vec<u8>, tag: &str) {
        out.extend_from_slice(b"<Wrapper>");
        push_text(out, "AdSystem", AD_SYSTEM);
        let early = self.template < Template::Vast40;
        if early {
            let name = if self.is_daast() { "DAASTAdTagURI" } else { "VASTAdTagURI" };
            push_cdata(out, name, tag);
        }
        self.push_events(out);
        self.push_verification(out);
        out.extend_from_slice(b"<Creatives><Creative><Linear>");
        self.push_click(out, "ClickTracking");
        out.extend_from_slice(b"</Linear></Creative></Creatives>");
        if early {
            self.push_verification_extension(out);
        } else {
            push_cdata(out, "VASTAdTagURI", tag);
        }
        out.extend_from_slice(b"</Wrapper>");
    }

    /// What is called, and for 4.0 the extension, which stands between the two.
    fn push_events(&self, out: &mut Vec<u8>) {
        if !self.error_url.is_empty() {
            push_cdata(out, "Error", self.error_url);
        }
        if self.template == Template::Vast40 {
            self.push_verification_extension(out);
        }
        push_cdata(out, "Impression", self.impression_url);
    }

    fn push_advertiser(&self, out: &mut Vec<u8>) {
        if !self.advertiser.is_empty() {
            push_text(out, "Advertiser", self.advertiser);
        }
    }

    /// Of DAAST alone, which must have one.
    fn push_category(&self, out: &mut Vec<u8>) {
        if self.is_daast() {
            out.extend_from_slice(br#"<Category authority=\""#);
            out.extend_from_slice(CATEGORY_AUTHORITY.as_bytes());
            out.extend_from_slice(br#"\">"#);
            push_xml_in_json(out, if self.category.is_empty() { UNCATEGORIZED } else { self.category });
            out.extend_from_slice(b"</Category>");
        }
    }

    /// The one creative of an inline ad.
    fn push_linear(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"<Creatives><Creative id=\""#);
        push_xml_in_json(out, self.creative_id);
        out.extend_from_slice(br#"\"><Linear"#);
        if let Some(seconds) = self.stream.skip_after.filter(|_| self.template >= Template::Vast3) {
            out.extend_from_slice(br#" skipoffset=\""#);
            push_time(out, seconds);
            out.extend_from_slice(br#"\""#);
        }
        out.extend_from_slice(b"><Duration>");
        push_time(out, self.stream.duration);
        out.extend_from_slice(b"</Duration>");
        if self.template < Template::Vast40 {
            self.push_click(out, "ClickThrough");
            self.push_files(out);
        } else {
            self.push_files(out);
            self.push_click(out, "ClickThrough");
        }
        out.extend_from_slice(b"</Linear>");
        if self.template >= Template::Vast40 {
            self.push_universal_id(out);
        }
        out.extend_from_slice(b"</Creative></Creatives>");
    }

    /// The click's address, as where it leads or as what is called.
    fn push_click(&self, out: &mut Vec<u8>, name: &str) {
        let around = if self.is_daast() { "AdInteractions" } else { "VideoClicks" };
        push_element(out, around, |out| push_cdata(out, name, self.click_url));
    }

    fn push_files(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"<MediaFiles>");
        for (number, fitting) in (1_u32..).zip(files_that_fit(self.slot, self.stream)) {
            let delivery = if is_playlist(fitting.mime) { "streaming" } else { "progressive" };
            out.extend_from_slice(b"<MediaFile ");
            if self.is_daast() {
                out.extend_from_slice(br#"id=\""#);
                push_integer(out, number);
                out.extend_from_slice(br#"\" "#);
            }
            out.extend_from_slice(br#"delivery=\""#);
            out.extend_from_slice(delivery.as_bytes());
            out.extend_from_slice(br#"\" type=\""#);
            push_xml_in_json(out, fitting.mime);
            if !self.is_daast() {
                out.extend_from_slice(br#"\" width=\""#);
                push_integer(out, fitting.file.size.width);
                out.extend_from_slice(br#"\" height=\""#);
                push_integer(out, fitting.file.size.height);
            }
            if fitting.file.bitrate > 0 {
                out.extend_from_slice(br#"\" bitrate=\""#);
                push_integer(out, fitting.file.bitrate);
            }
            out.extend_from_slice(br#"\">"#);
            push_cdata_in_json(out, &fitting.file.url);
            out.extend_from_slice(b"</MediaFile>");
        }
        out.extend_from_slice(b"</MediaFiles>");
    }

    /// The advertiser's domain is the registry in which the creative's id is unique.
    fn push_universal_id(&self, out: &mut Vec<u8>) {
        let registry = if self.advertiser.is_empty() { "unknown" } else { self.advertiser };
        out.extend_from_slice(br#"<UniversalAdId idRegistry=\""#);
        push_xml_in_json(out, registry);
        if self.template == Template::Vast40 {
            out.extend_from_slice(br#"\" idValue=\""#);
            push_xml_in_json(out, self.creative_id);
        }
        out.extend_from_slice(br#"\">"#);
        push_xml_in_json(out, self.creative_id);
        out.extend_from_slice(b"</UniversalAdId>");
    }

    /// In its own place from 4.1 on.
    fn push_verification(&self, out: &mut Vec<u8>) {
        let Some(verification) = self.verification.filter(|_| self.template >= Template::Vast41) else {
            return;
        };
        push_ad_verifications(out, verification);
    }

    /// Before 4.1, which brought its elements, as the extension that 4.1 names for older versions.
    fn push_verification_extension(&self, out: &mut Vec<u8>) {
        let Some(verification) = self.verification else { return };
        out.extend_from_slice(br#"<Extensions><Extension type=\"AdVerifications\">"#);
        push_ad_verifications(out, verification);
        out.extend_from_slice(b"</Extension></Extensions>");
    }
}

fn push_ad_verifications(out: &mut Vec<u8>, verification: &Verification) {
    out.extend_from_slice(br#"<AdVerifications><Verification vendor=\""#);
    push_xml_in_json(out, &verification.vendor);
    out.extend_from_slice(br#"\"><JavaScriptResource apiFramework=\"omid\" browserOptional=\"true\">"#);
    push_cdata_in_json(out, &verification.script);
    out.extend_from_slice(b"</JavaScriptResource>");
    if !verification.parameters.is_empty() {
        push_cdata(out, "VerificationParameters", &verification.parameters);
    }
    out.extend_from_slice(b"</Verification></AdVerifications>");
}

/// Whether a media type is that of a playlist (HLS, DASH) rather than of one file.
fn is_playlist(mime: &str) -> bool {
    ["application/x-mpegurl", "application/vnd.apple.mpegurl", "application/dash+xml"]
        .iter()
        .any(|playlist| playlist.eq_ignore_ascii_case(mime))
}

/// `HH:MM:SS`; a `u16` of seconds has less than a day.
fn push_time(out: &mut Vec<u8>, seconds: u16) {
    let two_digits = |out: &mut Vec<u8>, number: u16| {
        // Below 60, so the casts lose nothing.
        out.extend([b'0' + (number / 10) as u8, b'0' + (number % 10) as u8]);
    };
    two_digits(out, seconds / 3600);
    out.push(b':');
    two_digits(out, seconds / 60 % 60);
    out.push(b':');
    two_digits(out, seconds % 60);
}

/// An element around text.
fn push_text(out: &mut Vec<u8>, name: &str, text: &str) {
    push_element(out, name, |out| push_xml_in_json(out, text));
}

/// An element around an address or a parameter, as CDATA: players that look for addresses without reading XML find them
/// unescaped.
fn push_cdata(out: &mut Vec<u8>, name: &str, text: &str) {
    push_element(out, name, |out| push_cdata_in_json(out, text));
}

fn push_element(out: &mut Vec<u8>, name: &str, content: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'<');
    out.extend_from_slice(name.as_bytes());
    out.push(b'>');
    content(out);
    out.extend_from_slice(b"</");
    out.extend_from_slice(name.as_bytes());
    out.push(b'>');
}

#[cfg(test)]
mod tests;

//! A banner's HTML.

use haggle_domain::{Size, Verification};

use crate::escape::{push_html_in_json, push_integer};

/// A linked image, an impression pixel, and the viewability vendor's script where one is given.
#[derive(Clone, Copy, Debug)]
pub struct BannerMarkup<'a> {
    /// Where a click leads.
    pub click_url: &'a str,
    /// The image's address.
    pub image_url: &'a str,
    /// Alternative text of the image.
    pub title: &'a str,
    /// Of the image.
    pub size: Size,
    /// Called when the ad is shown.
    pub impression_url: &'a str,
    /// Whose script is sent with it; only where the slot runs it. In HTML there is no place for its parameters: a
    /// vendor takes them from the script's address.
    pub verification: Option<&'a Verification>,
}

impl BannerMarkup<'_> {
    /// Appends the HTML as the inside of a JSON string.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"<a href=\""#);
        push_html_in_json(out, self.click_url);
        out.extend_from_slice(br#"\" target=\"_blank\" rel=\"noopener\"><img src=\""#);
        push_html_in_json(out, self.image_url);
        out.extend_from_slice(br#"\" width=\""#);
        push_integer(out, self.size.width);
        out.extend_from_slice(br#"\" height=\""#);
        push_integer(out, self.size.height);
        out.extend_from_slice(br#"\" alt=\""#);
        push_html_in_json(out, self.title);
        // Out of the flow, so that it does not push the image out of its frame.
        out.extend_from_slice(br#"\"></a><img src=\""#);
        push_html_in_json(out, self.impression_url);
        out.extend_from_slice(br#"\" width=\"1\" height=\"1\" alt=\"\" style=\"position:absolute\">"#);
        if let Some(verification) = self.verification {
            out.extend_from_slice(br#"<script src=\""#);
            push_html_in_json(out, &verification.script);
            out.extend_from_slice(br#"\"></script>"#);
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::markup::test_support::{read, verification};

    #[test]
    fn a_linked_image_a_pixel_and_a_script_where_one_is_given() {
        let verification = verification();
        let markup = BannerMarkup {
            click_url: "https://click.test/?a=1&b=2",
            image_url: "https://cdn.test/a.png",
            title: "Tom's \"big\" <sale>",
            size: Size { width: 300, height: 250 },
            impression_url: "https://track.test/i?p=${AUCTION_PRICE}",
            verification: None,
        };
        let html = concat!(
            r#"<a href="https://click.test/?a=1&amp;b=2" target="_blank" rel="noopener">"#,
            r#"<img src="https://cdn.test/a.png" width="300" height="250" alt="Tom&#39;s &quot;big&quot; &lt;sale&gt;"></a>"#,
            r#"<img src="https://track.test/i?p=${AUCTION_PRICE}" width="1" height="1" alt="" style="position:absolute">"#
        );
        assert_eq!(read(|out| markup.write(out)), html);
        let measured = BannerMarkup { verification: Some(&verification), ..markup };
        assert_eq!(
            read(|out| measured.write(out)),
            format!(r#"{html}<script src="https://vendor.test/omid.js?a=1&amp;b=2"></script>"#)
        );
    }
}

//! A banner's HTML.

use haggle_domain::Size;

use crate::escape::push_html_in_json;

/// A linked image and an impression pixel. Macros in the addresses (`${AUCTION_PRICE}`) are left for the exchange.
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
}

impl BannerMarkup<'_> {
    /// Appends the HTML as the inside of a JSON string.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let mut number = itoa::Buffer::new();
        out.extend_from_slice(br#"<a href=\""#);
        push_html_in_json(out, self.click_url);
        out.extend_from_slice(br#"\" target=\"_blank\" rel=\"noopener\"><img src=\""#);
        push_html_in_json(out, self.image_url);
        out.extend_from_slice(br#"\" width=\""#);
        out.extend_from_slice(number.format(self.size.width).as_bytes());
        out.extend_from_slice(br#"\" height=\""#);
        out.extend_from_slice(number.format(self.size.height).as_bytes());
        out.extend_from_slice(br#"\" alt=\""#);
        push_html_in_json(out, self.title);
        // Out of the flow, so that it does not push the image out of its frame.
        out.extend_from_slice(br#"\"></a><img src=\""#);
        push_html_in_json(out, self.impression_url);
        out.extend_from_slice(br#"\" width=\"1\" height=\"1\" alt=\"\" style=\"position:absolute\">"#);
    }
}

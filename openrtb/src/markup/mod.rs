//! What is shown, as the inside of `adm`: HTML, VAST (for audio also DAAST) or native JSON, escaped straight into the response's string.

mod banner;
mod native;
mod vast;

pub use banner::BannerMarkup;
pub use native::NativeMarkup;
pub use vast::VastMarkup;

use haggle_domain::{Size, Verification};

/// What is shown, in one of the four formats. Macros in the addresses (`${AUCTION_PRICE}`) are left for the exchange.
#[derive(Clone, Copy, Debug)]
pub enum Markup<'a> {
    /// HTML.
    Banner(BannerMarkup<'a>),
    /// VAST, of a video or of audio, or DAAST, of audio.
    Vast(VastMarkup<'a>),
    /// OpenRTB Native.
    Native(NativeMarkup<'a>),
}

impl Markup<'_> {
    /// AdCOM 1.0, list of markup types, as `mtype` uses them: 1 banner, 2 video, 3 audio, 4 native.
    pub(crate) fn kind(&self) -> u32 {
        match self {
            Self::Banner(_) => 1,
            Self::Vast(vast) if vast.slot.audio => 3,
            Self::Vast(_) => 2,
            Self::Native(_) => 4,
        }
    }

    /// Of what is shown; zero where it has none, or takes the page's.
    pub(crate) fn size(&self) -> Size {
        match self {
            Self::Banner(banner) => banner.size,
            Self::Vast(vast) => vast.size(),
            Self::Native(_) => Size::default(),
        }
    }

    /// Whose viewability script is among it.
    pub(crate) fn verification(&self) -> Option<&Verification> {
        match self {
            Self::Banner(banner) => banner.verification,
            Self::Vast(vast) => vast.verification,
            Self::Native(native) => native.verification,
        }
    }

    /// Appends the inside of the JSON string.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Banner(banner) => banner.write(out),
            Self::Vast(vast) => vast.write(out),
            Self::Native(native) => native.write(out),
        }
    }
}

#[cfg(test)]
pub(crate) mod test_support {
    use haggle_domain::Verification;

    /// What a reader of the response's JSON finds in `adm`.
    pub(crate) fn read(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = vec![b'"'];
        write(&mut out);
        out.push(b'"');
        serde_json::from_slice(&out).unwrap()
    }

    pub(crate) fn verification() -> Verification {
        Verification {
            vendor: "vendor.test-omid".to_owned(),
            script: "https://vendor.test/omid.js?a=1&b=2".to_owned(),
            parameters: r#"{"key":"]]>"}"#.to_owned(),
        }
    }
}

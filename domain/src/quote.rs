//! How a bid was priced: what its outcome tells of the market, and how likely its price was.

use crate::draw::mix;
use crate::id::Tag;
use crate::opportunity::{AuctionType, Opportunity, Size};

/// Where in an exchange an imp was sold: the formats and the size that it offered, and the site or app, hashed to 24 bits.
///
/// Fine enough to tell markets apart, small enough for a token. Sites that share a hash share what is learned of them.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, minicbor::Encode, minicbor::Decode,
)]
#[cbor(transparent)]
pub struct Segment(#[n(0)] pub u32);

/// Bits of the site in a segment; the class stands above them.
const SITE_BITS: u32 = 24;

impl Segment {
    /// That of an imp on a site or in an app.
    pub fn of(inventory: Tag, opportunity: &Opportunity) -> Self {
        let site = (mix(inventory.0) >> (64 - SITE_BITS)) as u32;
        Self(u32::from(class(opportunity)) << SITE_BITS | site)
    }

    /// Formats and size alone, for all sites together.
    pub fn class(self) -> u8 {
        (self.0 >> SITE_BITS) as u8
    }
}

/// The formats, a bit each, and how much room the first size of a banner has, in eight steps by octaves of its area.
fn class(opportunity: &Opportunity) -> u8 {
    let formats = [
        opportunity.banner.is_some(),
        opportunity.video.is_some(),
        opportunity.audio.is_some(),
        opportunity.native.is_some(),
    ];
    let formats = formats.iter().rev().fold(0u8, |bits, offered| bits << 1 | u8::from(*offered));
    let size = opportunity.banner.as_ref().and_then(|banner| banner.sizes.first());
    formats << 4 | size.map_or(0, |size| octave(*size))
}

/// 1 for the smallest banners, such as 88×31, to 8 for those of half a million pixels and more.
fn octave(size: Size) -> u8 {
    let area = (u32::from(size.width) * u32::from(size.height)).max(1);
    area.ilog2().clamp(12, 19) as u8 - 11
}

/// On which terms the price of a bid was offered, and so what its outcome tells of the open auction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(index_only)]
pub enum Footing {
    /// Not known: bids of before this was kept, or that many see at once. Only what it would have taken to win counts.
    #[default]
    #[n(0)]
    Unknown,
    /// In an open auction whose winner pays its bid.
    #[n(1)]
    First,
    /// In an open auction whose winner pays the next best price, which it is told.
    #[n(2)]
    Second,
    /// Under a deal, whose auction is not the open one.
    #[n(3)]
    Deal,
}

impl From<AuctionType> for Footing {
    fn from(auction: AuctionType) -> Self {
        match auction {
            AuctionType::First => Self::First,
            AuctionType::SecondPlus => Self::Second,
        }
    }
}

/// How a bid was priced. Travels in its tokens and comes back with its outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, minicbor::Encode, minicbor::Decode)]
pub struct Quote {
    /// Where.
    #[n(0)]
    pub segment: Segment,
    /// On which terms.
    #[n(1)]
    pub footing: Footing,
    /// The probability with which this price was drawn, in (0, 1), where prices were drawn at all: most bids have the best one,
    /// a few try others.
    #[n(2)]
    pub propensity: Option<f32>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;
    use crate::id::{BidId, ExchangeKey};
    use crate::money::CpmMicros;
    use crate::opportunity::{BannerSlot, StreamSlot};

    fn banner(width: u16, height: u16) -> Opportunity {
        Opportunity { banner: Some(BannerSlot::of([Size { width, height }])), ..Opportunity::default() }
    }

    #[test]
    fn a_segment_tells_sites_formats_and_sizes_apart() {
        let (news, blog) = (Tag::of("news.example"), Tag::of("blog.example"));
        let small = Segment::of(news, &banner(320, 50));
        assert_eq!(small, Segment::of(news, &banner(320, 50)));
        let large = Segment::of(news, &banner(970, 250));
        assert_ne!(small.class(), large.class());
        let elsewhere = Segment::of(blog, &banner(320, 50));
        assert_ne!(small, elsewhere);
        assert_eq!(small.class(), elsewhere.class());
        let video = Opportunity { video: Some(StreamSlot::default()), ..Opportunity::default() };
        assert_ne!(Segment::of(news, &video).class(), small.class());
        assert_eq!(octave(Size { width: 1, height: 1 }), 1);
        assert_eq!(octave(Size { width: u16::MAX, height: u16::MAX }), 8);
    }

    /// As it was before bids said how they were priced.
    #[derive(minicbor::Encode)]
    enum Before {
        #[n(16)]
        Won {
            #[n(0)]
            bid: BidId,
            #[n(1)]
            price: CpmMicros,
            #[n(2)]
            ceiling: CpmMicros,
            #[n(3)]
            exchange: ExchangeKey,
            #[n(4)]
            min_to_win: Option<CpmMicros>,
        },
    }

    #[test]
    fn what_was_written_before_reads_as_unknown() {
        let (bid, price, exchange) = (BidId::default(), CpmMicros(7), ExchangeKey(9));
        let before = Before::Won { bid, price, ceiling: price, exchange, min_to_win: Some(price) };
        let read: Event = minicbor::decode(&minicbor::to_vec(before).unwrap()).unwrap();
        let quote = Quote::default();
        assert_eq!(read, Event::Won { bid, price, ceiling: price, exchange, min_to_win: Some(price), quote });
        assert_eq!((quote.footing, quote.propensity), (Footing::Unknown, None));
    }
}

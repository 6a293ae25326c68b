//! Who else took part in the sale.

use std::borrow::Cow;

use super::object::object;

object! {
    /// Where the request comes from (section 3.2.2).
    pub Source<'a> {
        b"schain" => pub(super) schain: Option<Box<SupplyChain<'a>>>,
        b"ext" => pub(super) ext: SourceExt<'a>,
    }
}

object! {
    /// Where the supply chain stood before OpenRTB 2.6.
    pub SourceExt<'a> {
        b"schain" => pub(super) schain: Option<Box<SupplyChain<'a>>>,
    }
}

object! {
    /// Everyone who is paid for the impression (section 3.2.25).
    pub SupplyChain<'a> {
        b"complete" =>
        /// 1 where the chain leads back to the owner of the site or app.
        pub complete: Option<i64>,
        b"ver" =>
        /// Version of the supply chain specification.
        pub ver: Cow<'a, str>,
        b"nodes" =>
        /// From the owner to the one who sent the request.
        pub nodes: Vec<ChainNode<'a>>,
    }
}

object! {
    /// One link of the chain (section 3.2.26).
    pub ChainNode<'a> {
        b"asi" =>
        /// Domain of the exchange or reseller, where its `sellers.json` is.
        pub asi: Cow<'a, str>,
        b"sid" =>
        /// The seller's id there.
        pub sid: Cow<'a, str>,
        b"hp" =>
        /// 1 where this one takes part in the payment.
        pub hp: Option<i64>,
        b"rid" =>
        /// The id of the request that this one sent.
        pub rid: Cow<'a, str>,
        b"name" =>
        /// The seller's name.
        pub name: Cow<'a, str>,
        b"domain" =>
        /// The seller's domain.
        pub domain: Cow<'a, str>,
    }
}

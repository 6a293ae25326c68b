//! The members that are read, as plain derived types: what a reader without tolerance makes of a body.

#![allow(dead_code, reason = "read, not used")]

use serde::Deserialize;

#[derive(Deserialize)]
pub struct BidRequest<'a> {
    #[serde(borrow)]
    pub id: Option<&'a str>,
    #[serde(rename = "imp")]
    #[serde(borrow)]
    pub imps: Option<Vec<Imp<'a>>>,
    pub at: Option<i64>,
    pub tmax: Option<i64>,
    pub test: Option<i64>,
    pub allimps: Option<i64>,
    #[serde(borrow)]
    pub cur: Option<Vec<&'a str>>,
    #[serde(borrow)]
    pub bcat: Option<Vec<&'a str>>,
    #[serde(borrow)]
    pub acat: Option<Vec<&'a str>>,
    pub cattax: Option<i64>,
    #[serde(borrow)]
    pub badv: Option<Vec<&'a str>>,
    #[serde(borrow)]
    pub bapp: Option<Vec<&'a str>>,
    #[serde(borrow)]
    pub wseat: Option<Vec<&'a str>>,
    #[serde(borrow)]
    pub bseat: Option<Vec<&'a str>>,
    #[serde(borrow)]
    pub wlang: Option<Vec<&'a str>>,
    #[serde(borrow)]
    pub wlangb: Option<Vec<&'a str>>,
    #[serde(borrow)]
    pub site: Option<Box<Channel<'a>>>,
    #[serde(borrow)]
    pub app: Option<Box<Channel<'a>>>,
    #[serde(borrow)]
    pub dooh: Option<Box<Channel<'a>>>,
    #[serde(borrow)]
    pub device: Option<Device<'a>>,
    #[serde(borrow)]
    pub source: Option<Source<'a>>,
    #[serde(borrow)]
    pub user: Option<User<'a>>,
    #[serde(borrow)]
    pub regs: Option<Regs<'a>>,
}

#[derive(Deserialize)]
pub struct Source<'a> {
    #[serde(borrow)]
    pub schain: Option<Box<SupplyChain<'a>>>,
    #[serde(borrow)]
    pub ext: Option<SourceExt<'a>>,
}

#[derive(Deserialize)]
pub struct SourceExt<'a> {
    #[serde(borrow)]
    pub schain: Option<Box<SupplyChain<'a>>>,
}

#[derive(Deserialize)]
pub struct SupplyChain<'a> {
    pub complete: Option<i64>,
    #[serde(borrow)]
    pub ver: Option<&'a str>,
    #[serde(borrow)]
    pub nodes: Option<Vec<ChainNode<'a>>>,
}

#[derive(Deserialize)]
pub struct ChainNode<'a> {
    #[serde(borrow)]
    pub asi: Option<&'a str>,
    #[serde(borrow)]
    pub sid: Option<&'a str>,
    pub hp: Option<i64>,
    #[serde(borrow)]
    pub rid: Option<&'a str>,
    #[serde(borrow)]
    pub name: Option<&'a str>,
    #[serde(borrow)]
    pub domain: Option<&'a str>,
}

#[derive(Deserialize)]
pub struct Imp<'a> {
    #[serde(borrow)]
    pub id: Option<&'a str>,
    #[serde(borrow)]
    pub tagid: Option<&'a str>,
    #[serde(borrow)]
    pub displaymanager: Option<&'a str>,
    pub bidfloor: Option<f64>,
    #[serde(borrow)]
    pub bidfloorcur: Option<&'a str>,
    pub secure: Option<i64>,
    pub instl: Option<i64>,
    pub ssai: Option<i64>,
    pub exp: Option<i64>,
    #[serde(borrow)]
    pub banner: Option<Box<Banner<'a>>>,
    #[serde(borrow)]
    pub video: Option<Box<Stream<'a>>>,
    #[serde(borrow)]
    pub audio: Option<Box<Stream<'a>>>,
    #[serde(borrow)]
    pub native: Option<Box<Native<'a>>>,
    #[serde(borrow)]
    pub pmp: Option<Box<Pmp<'a>>>,
    #[serde(borrow)]
    pub qty: Option<Box<Qty<'a>>>,
    pub rwdd: Option<i64>,
    pub ext: Option<ImpExt>,
}

#[derive(Deserialize)]
pub struct ImpExt {
    pub rewarded: Option<i64>,
    pub prebid: Option<PrebidExt>,
}

#[derive(Deserialize)]
pub struct PrebidExt {
    pub is_rewarded_inventory: Option<i64>,
}

#[derive(Deserialize)]
pub struct Qty<'a> {
    pub multiplier: Option<f64>,
    pub sourcetype: Option<i64>,
    #[serde(borrow)]
    pub vendor: Option<&'a str>,
}

#[derive(Deserialize)]
pub struct Pmp<'a> {
    pub private_auction: Option<i64>,
    #[serde(borrow)]
    pub deals: Option<Vec<Deal<'a>>>,
}

#[derive(Deserialize)]
pub struct Deal<'a> {
    #[serde(borrow)]
    pub id: Option<&'a str>,
    pub bidfloor: Option<f64>,
    #[serde(borrow)]
    pub bidfloorcur: Option<&'a str>,
    pub at: Option<i64>,
    #[serde(borrow)]
    pub wseat: Option<Vec<&'a str>>,
    #[serde(borrow)]
    pub wadomain: Option<Vec<&'a str>>,
    pub guar: Option<i64>,
    pub mincpmpersec: Option<f64>,
    pub durfloors: Option<Vec<DurFloor>>,
}

#[derive(Deserialize)]
pub struct DurFloor {
    pub mindur: Option<i64>,
    pub maxdur: Option<i64>,
    pub bidfloor: Option<f64>,
}

#[derive(Deserialize)]
pub struct Banner<'a> {
    #[serde(borrow)]
    pub id: Option<&'a str>,
    pub w: Option<i64>,
    pub h: Option<i64>,
    pub format: Option<Vec<Format>>,
    pub pos: Option<i64>,
    pub btype: Option<Vec<i64>>,
    pub battr: Option<Vec<i64>>,
    #[serde(borrow)]
    pub mimes: Option<Vec<&'a str>>,
    pub api: Option<Vec<i64>>,
    pub expdir: Option<Vec<i64>>,
    pub topframe: Option<i64>,
    pub vcm: Option<i64>,
}

#[derive(Deserialize)]
pub struct Format {
    pub w: Option<i64>,
    pub h: Option<i64>,
    pub wratio: Option<i64>,
    pub hratio: Option<i64>,
}

#[derive(Deserialize)]
pub struct Stream<'a> {
    #[serde(borrow)]
    pub mimes: Option<Vec<&'a str>>,
    pub minduration: Option<i64>,
    pub maxduration: Option<i64>,
    pub rqddurs: Option<Vec<i64>>,
    pub startdelay: Option<i64>,
    pub protocols: Option<Vec<i64>>,
    pub protocol: Option<i64>,
    pub w: Option<i64>,
    pub h: Option<i64>,
    pub placement: Option<i64>,
    pub plcmt: Option<i64>,
    pub linearity: Option<i64>,
    pub skip: Option<i64>,
    pub battr: Option<Vec<i64>>,
    pub api: Option<Vec<i64>>,
    pub minbitrate: Option<i64>,
    pub maxbitrate: Option<i64>,
    pub pos: Option<i64>,
    #[serde(borrow)]
    pub podid: Option<&'a str>,
    pub podseq: Option<i64>,
    pub poddur: Option<i64>,
    pub maxseq: Option<i64>,
    pub slotinpod: Option<i64>,
    pub mincpmpersec: Option<f64>,
    pub durfloors: Option<Vec<DurFloor>>,
    pub poddedupe: Option<Vec<i64>>,
    pub ext: Option<StreamExt>,
}

#[derive(Deserialize)]
pub struct StreamExt {
    pub rewarded: Option<i64>,
}

#[derive(Deserialize)]
pub struct Native<'a> {
    #[serde(borrow)]
    pub request: Option<&'a str>,
    #[serde(borrow)]
    pub request_native: Option<&'a str>,
    pub battr: Option<Vec<i64>>,
    pub api: Option<Vec<i64>>,
}

#[derive(Deserialize)]
pub struct Channel<'a> {
    #[serde(borrow)]
    pub id: Option<&'a str>,
    #[serde(borrow)]
    pub name: Option<&'a str>,
    #[serde(borrow)]
    pub domain: Option<&'a str>,
    #[serde(borrow)]
    pub page: Option<&'a str>,
    #[serde(rename = "ref")]
    #[serde(borrow)]
    pub ref_: Option<&'a str>,
    pub mobile: Option<i64>,
    #[serde(borrow)]
    pub bundle: Option<&'a str>,
    #[serde(borrow)]
    pub storeurl: Option<&'a str>,
    #[serde(borrow)]
    pub inventorypartnerdomain: Option<&'a str>,
    pub cattax: Option<i64>,
    #[serde(borrow)]
    pub cat: Option<Vec<&'a str>>,
    #[serde(borrow)]
    pub sectioncat: Option<Vec<&'a str>>,
    #[serde(borrow)]
    pub pagecat: Option<Vec<&'a str>>,
    #[serde(borrow)]
    pub keywords: Option<Vec<&'a str>>,
    #[serde(borrow)]
    pub kwarray: Option<Vec<&'a str>>,
    #[serde(borrow)]
    pub venuetype: Option<Vec<&'a str>>,
    pub venuetypetax: Option<i64>,
    #[serde(borrow)]
    pub publisher: Option<Publisher<'a>>,
    #[serde(borrow)]
    pub content: Option<Box<Content<'a>>>,
}

#[derive(Deserialize)]
pub struct Publisher<'a> {
    #[serde(borrow)]
    pub id: Option<&'a str>,
    #[serde(borrow)]
    pub name: Option<&'a str>,
    #[serde(borrow)]
    pub domain: Option<&'a str>,
    #[serde(borrow)]
    pub cat: Option<Vec<&'a str>>,
}

#[derive(Deserialize)]
pub struct Content<'a> {
    #[serde(borrow)]
    pub id: Option<&'a str>,
    #[serde(borrow)]
    pub title: Option<&'a str>,
    #[serde(borrow)]
    pub series: Option<&'a str>,
    #[serde(borrow)]
    pub season: Option<&'a str>,
    #[serde(borrow)]
    pub genre: Option<&'a str>,
    #[serde(borrow)]
    pub language: Option<&'a str>,
    #[serde(borrow)]
    pub langb: Option<&'a str>,
    #[serde(borrow)]
    pub contentrating: Option<&'a str>,
    pub cattax: Option<i64>,
    #[serde(borrow)]
    pub cat: Option<Vec<&'a str>>,
    #[serde(borrow)]
    pub keywords: Option<Vec<&'a str>>,
    #[serde(borrow)]
    pub kwarray: Option<Vec<&'a str>>,
}

#[derive(Deserialize)]
pub struct Device<'a> {
    pub devicetype: Option<i64>,
    #[serde(borrow)]
    pub make: Option<&'a str>,
    #[serde(borrow)]
    pub model: Option<&'a str>,
    #[serde(borrow)]
    pub os: Option<&'a str>,
    #[serde(borrow)]
    pub osv: Option<&'a str>,
    #[serde(borrow)]
    pub sua: Option<Box<Sua<'a>>>,
    #[serde(borrow)]
    pub language: Option<&'a str>,
    #[serde(borrow)]
    pub langb: Option<&'a str>,
    pub connectiontype: Option<i64>,
    #[serde(borrow)]
    pub carrier: Option<&'a str>,
    pub js: Option<i64>,
    pub w: Option<i64>,
    pub h: Option<i64>,
    #[serde(borrow)]
    pub geo: Option<Geo<'a>>,
    #[serde(borrow)]
    pub ua: Option<&'a str>,
    #[serde(borrow)]
    pub ip: Option<&'a str>,
    #[serde(borrow)]
    pub ipv6: Option<&'a str>,
    #[serde(borrow)]
    pub ifa: Option<&'a str>,
    pub dnt: Option<i64>,
    pub lmt: Option<i64>,
}

#[derive(Deserialize)]
pub struct Sua<'a> {
    #[serde(borrow)]
    pub browsers: Option<Vec<BrandVersion<'a>>>,
    #[serde(borrow)]
    pub platform: Option<Box<BrandVersion<'a>>>,
    pub mobile: Option<i64>,
    #[serde(borrow)]
    pub model: Option<&'a str>,
}

#[derive(Deserialize)]
pub struct BrandVersion<'a> {
    #[serde(borrow)]
    pub brand: Option<&'a str>,
    #[serde(borrow)]
    pub version: Option<Vec<&'a str>>,
}

#[derive(Deserialize)]
pub struct Geo<'a> {
    #[serde(borrow)]
    pub country: Option<&'a str>,
    #[serde(borrow)]
    pub region: Option<&'a str>,
    #[serde(borrow)]
    pub city: Option<&'a str>,
}

#[derive(Deserialize)]
pub struct User<'a> {
    #[serde(borrow)]
    pub id: Option<&'a str>,
    #[serde(borrow)]
    pub buyeruid: Option<&'a str>,
    #[serde(borrow)]
    pub keywords: Option<Vec<&'a str>>,
    #[serde(borrow)]
    pub kwarray: Option<Vec<&'a str>>,
    #[serde(borrow)]
    pub data: Option<Vec<Data<'a>>>,
    #[serde(borrow)]
    pub geo: Option<Geo<'a>>,
    #[serde(borrow)]
    pub eids: Option<Vec<Eid<'a>>>,
    #[serde(borrow)]
    pub consent: Option<&'a str>,
    #[serde(borrow)]
    pub ext: Option<UserExt<'a>>,
}

#[derive(Deserialize)]
pub struct UserExt<'a> {
    #[serde(borrow)]
    pub eids: Option<Vec<Eid<'a>>>,
    #[serde(borrow)]
    pub consent: Option<&'a str>,
}

#[derive(Deserialize)]
pub struct Eid<'a> {
    #[serde(borrow)]
    pub source: Option<&'a str>,
    #[serde(borrow)]
    pub uids: Option<Vec<Uid<'a>>>,
}

#[derive(Deserialize)]
pub struct Uid<'a> {
    #[serde(borrow)]
    pub id: Option<&'a str>,
}

#[derive(Deserialize)]
pub struct Data<'a> {
    #[serde(borrow)]
    pub segment: Option<Vec<Segment<'a>>>,
}

#[derive(Deserialize)]
pub struct Segment<'a> {
    #[serde(borrow)]
    pub id: Option<&'a str>,
}

#[derive(Deserialize)]
pub struct Regs<'a> {
    pub coppa: Option<i64>,
    pub gdpr: Option<i64>,
    #[serde(borrow)]
    pub us_privacy: Option<&'a str>,
    #[serde(borrow)]
    pub gpp: Option<&'a str>,
    pub gpp_sid: Option<Vec<i64>>,
    pub gpc: Option<i64>,
    #[serde(borrow)]
    pub ext: Option<RegsExt<'a>>,
}

#[derive(Deserialize)]
pub struct RegsExt<'a> {
    pub gdpr: Option<i64>,
    #[serde(borrow)]
    pub us_privacy: Option<&'a str>,
    #[serde(borrow)]
    pub gpp: Option<&'a str>,
    pub gpp_sid: Option<Vec<i64>>,
    pub gpc: Option<i64>,
}

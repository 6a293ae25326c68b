//! OpenRTB 2.x requests in, bids out

//! The decision core: targeting, exploration, pacing, pricing, rank, commit, lease

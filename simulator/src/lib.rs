//! A shop's world: traffic, users, rivals and an exchange

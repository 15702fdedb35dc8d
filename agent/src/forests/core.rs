//! The decisions of this room: pure.

pub(super) mod found;
pub(super) mod health;
pub(super) mod routes;

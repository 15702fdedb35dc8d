//! What cloud and agent must compute alike.

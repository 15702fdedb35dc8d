//! Lab, demo and checks over the whole system.

//! An Active Directory lookalike.

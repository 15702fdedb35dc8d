//! The cloud service: takes sign-ins and has them judged by agents inside the organisations'
//! networks. It keeps no password in any form.
//!
//! [`service::serve`] runs it, [`cli`] is its command line. Rooms, top to bottom; a room uses only
//! rooms below it:
//!
//! * [`admin`]: administration by RPC and command line.
//! * [`web`]: the sign-in pages and the `SignIn` RPC.
//! * [`sign_in`]: one sign-in from first byte to outcome, and the log.
//! * [`budget`]: how often an account may fail before nobody is asked any more.
//! * [`dispatch`]: which agent judges a password; [`bus`] carries it there.
//! * [`trust`]: the private certificate authority, enrolment, the registry of agents.
//! * [`tenants`]: tenants, domains, users, clients.
//! * [`store`]: durable state.
//!
//! [`callers`] is the table of who may call what.

pub mod admin;
pub mod budget;
pub mod bus;
pub mod callers;
pub mod cli;
pub mod config;
pub mod dispatch;
pub mod service;
pub mod sign_in;
pub mod store;
pub mod tenants;
pub mod trust;
pub mod web;

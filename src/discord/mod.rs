//! Discord: the gateway and its watchdog, the REST client, registration, decoding interactions, rendering replies. The only
//! place that knows serenity's types.

mod audit_channel;
pub mod bot;
pub mod cards;
pub mod conversation;
pub mod decode;
mod files;
pub mod gateway;
pub mod limiter;
mod registration;
mod relay;
mod render;
mod requests;
pub mod rest;
mod shown;
pub mod watchdog;

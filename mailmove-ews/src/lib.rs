//! Exchange Web Services (EWS) source and destination for mailmove: Exchange 2013, 2016, 2019 and SE,
//! hosted or on premises.

mod error;
mod generate;
mod http;
#[doc(hidden)]
pub mod ntlm;
#[doc(hidden)]
pub mod wire;

//! Whose error is the last failure of a thread? Its connection is asked.

use super::host;
use super::mains;
use ground::error::Fault;
use ground::failure::{Says, take};

/// Takes the calling thread's last failure if it may be what an error of the library `host` with the text `message` is
/// about, and says whether its connection confirms that.
pub fn behind(host: u32, message: &str) -> Option<(Fault, Says)> {
    let fault = take().filter(|fault| fault.host == Some(host))?;
    let api = host::host(host).ok()?.api;
    let says = mains::ask(&api, fault.connection, fault.code, message);
    Some((fault, says))
}

//! What a Sentinel knows of the primary that it watches.

use super::resp::Reply;
use super::server::unknown;
use crate::network::Address;

/// The view of one Sentinel. It only moves forward.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    pub(crate) epoch: u64,
    pub(crate) primary: Address,
}

impl Watch {
    /// Takes over a view that is newer; whether it was.
    pub(crate) fn advance(&mut self, epoch: u64, primary: &Address) -> bool {
        let is_newer = epoch > self.epoch;
        if is_newer {
            self.epoch = epoch;
            self.primary = primary.clone();
        }
        is_newer
    }

    pub(super) fn answer(&self, name: &str, arguments: &[Vec<u8>]) -> Reply {
        let words: Vec<_> = arguments.iter().map(|word| String::from_utf8_lossy(word).to_uppercase()).collect();
        match (name, words.first().map(String::as_str)) {
            ("SENTINEL", Some("GET-MASTER-ADDR-BY-NAME")) => {
                let Address { host, port } = &self.primary;
                Reply::Array(vec![Reply::bulk(host), Reply::bulk(port.to_string())])
            }
            ("ROLE", _) => Reply::Array(vec![Reply::bulk("sentinel"), Reply::Array(vec![Reply::bulk("mymaster")])]),
            ("INFO", _) => Reply::bulk("# Server\r\nredis_version:7.0.15\r\nredis_mode:sentinel\r\n"),
            _ => unknown(name, arguments),
        }
    }
}

//! Ports that tests beside each other do not take from each other.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// A port that nobody else takes as long as this is held, even while no server listens there.
pub(super) struct Port {
    pub(super) number: u16,
    /// The same port of another loopback address: what test runs beside each other keep away by.
    _claim: Option<TcpListener>,
}

impl Port {
    /// One that is free now and is not handed out for outgoing connections.
    pub(super) fn claim() -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        const FIRST: u16 = 20_000;
        const COUNT: u16 = 12_000;
        const BESIDE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
        // Test runs beside each other begin at different places.
        let start = u16::try_from(std::process::id() % u32::from(COUNT)).unwrap();
        loop {
            let offset = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
            let number = FIRST + offset;
            let claim = match TcpListener::bind((BESIDE, number)) {
                Ok(claim) => Some(claim),
                // Not every system has more than one loopback address.
                Err(error) if error.kind() == ErrorKind::AddrNotAvailable => None,
                Err(_) => continue,
            };
            if TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() {
                return Self { number, _claim: claim };
            }
        }
    }
}

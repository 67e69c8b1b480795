//! `[forward_auth]`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::client::EVERY_AUDIENCE;
use crate::config::reader::Reader;
use crate::config::{ForwardAuthConfig, Network};

/// A gateway beside us; everything else is named.
const SOURCES: [Network; 2] = [
    Network { address: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), prefix_length: 8 },
    Network { address: IpAddr::V6(Ipv6Addr::LOCALHOST), prefix_length: 128 },
];

/// A guess hits it as seldom as a token.
const SECRET_MIN_BYTES: usize = 16;

pub(super) fn forward_auth(reader: &mut Reader<'_>) -> ForwardAuthConfig {
    reader.section("forward_auth", "`/forward-auth`, where gateways ask whether a request may pass.", |section| {
        let enabled = section.value("enabled", false, "Whether there is such a route on the public listener.");
        let sources = section.value(
            "sources",
            SOURCES.to_vec(),
            "Addresses, or networks as `10.0.0.0/8`, of the gateways: nobody else is answered.",
        );
        let audiences: Vec<String> = section.value(
            "audiences",
            vec![EVERY_AUDIENCE.to_owned()],
            "The audiences of the APIs behind the gateways: tokens for others do not pass; `*` is all.",
        );
        let secret = section.secret(
            "secret",
            false,
            "What gateways send as `X-Forward-Auth-Secret`; without one, the address is all that counts.",
        );
        if let Some(secret) = &secret {
            let key = if section.is_set("secret") { "secret" } else { "secret_file" };
            let visible = secret.expose().bytes().all(|byte| byte.is_ascii_graphic());
            if secret.expose().len() < SECRET_MIN_BYTES || !visible {
                section.reject(key, format!("must hold at least {SECRET_MIN_BYTES} visible ASCII characters"));
            }
        }
        ForwardAuthConfig { enabled, sources, secret, audiences: audiences.into_iter().map(Into::into).collect() }
    })
}

//! `--nvme ADDR:PORT[,advertise=ADDR[:PORT]]`, `--discovery` likewise, `--api ADDR:PORT` and `--referral ADDR:PORT`.

use std::{
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use dataplane::node::{Advertise, PortalConfig};

/// One `--nvme` or `--discovery` as written.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct PortalFlag {
    pub(crate) listen: SocketAddr,
    pub(crate) advertise: Option<Advertise>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PortalFlagError {
    #[error(
        "`{0}` is not ADDRESS:PORT with a literal IP address, as in 192.0.2.7:4420 or [2001:db8::7]:4420"
    )]
    Listen(String),
    #[error("advertise={0} is not a literal IP address with or without a port: hosts take no names there")]
    Advertise(String),
    #[error("advertise={0} is no address that a host can connect to")]
    AdvertiseUnspecified(IpAddr),
    #[error("`{0}` is no ADDRESS:PORT that a host can connect to: write a literal IP address and a port")]
    Referral(String),
    #[error("advertise= is written twice")]
    AdvertiseTwice,
    #[error("unknown option `{0}` (there is advertise=ADDRESS[:PORT])")]
    UnknownOption(String),
}

impl PortalFlag {
    pub(crate) fn to_config(&self) -> PortalConfig {
        PortalConfig { listen: self.listen, advertise: self.advertise.clone() }
    }
}

impl FromStr for PortalFlag {
    type Err = PortalFlagError;

    fn from_str(text: &str) -> Result<Self, PortalFlagError> {
        let mut parts = text.split(',');
        let listen = parse_listen(parts.next().unwrap_or_default())?;
        let mut advertise = None;
        for option in parts {
            let Some(address) = option.strip_prefix("advertise=") else {
                return Err(PortalFlagError::UnknownOption(option.to_owned()));
            };
            if advertise.replace(parse_advertise(address)?).is_some() {
                return Err(PortalFlagError::AdvertiseTwice);
            }
        }
        Ok(Self { listen, advertise })
    }
}

/// A listen address; port 0 means any free port.
pub(crate) fn parse_listen(text: &str) -> Result<SocketAddr, PortalFlagError> {
    text.parse().map_err(|_| PortalFlagError::Listen(text.to_owned()))
}

/// Where hosts find another discovery service.
pub(crate) fn parse_referral(text: &str) -> Result<SocketAddr, PortalFlagError> {
    let can_be_reached = |address: &SocketAddr| {
        let ip = address.ip();
        address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast()
    };
    let address = text.parse().ok().filter(can_be_reached);
    address.ok_or_else(|| PortalFlagError::Referral(text.to_owned()))
}

fn parse_advertise(text: &str) -> Result<Advertise, PortalFlagError> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let advertise = match (bare.parse::<IpAddr>(), text.parse::<SocketAddr>()) {
        (Ok(address), _) => Advertise { address, port: None },
        (_, Ok(socket)) if socket.port() != 0 => {
            Advertise { address: socket.ip(), port: Some(socket.port()) }
        }
        _ => return Err(PortalFlagError::Advertise(text.to_owned())),
    };
    match advertise.address.is_unspecified() || advertise.address.is_multicast() {
        true => Err(PortalFlagError::AdvertiseUnspecified(advertise.address)),
        false => Ok(advertise),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_parses() {
        let advertise =
            |address: &str, port| Some(Advertise { address: address.parse().expect("literal"), port });
        let table = [
            ("127.0.0.1:4420", "127.0.0.1:4420", None),
            ("[::1]:4420", "[::1]:4420", None),
            ("0.0.0.0:4420,advertise=10.0.2.2", "0.0.0.0:4420", advertise("10.0.2.2", None)),
            ("0.0.0.0:4420,advertise=10.0.2.2:9", "0.0.0.0:4420", advertise("10.0.2.2", Some(9))),
            ("[::]:4420,advertise=2001:db8::7", "[::]:4420", advertise("2001:db8::7", None)),
            ("[::]:4420,advertise=[2001:db8::7]", "[::]:4420", advertise("2001:db8::7", None)),
            ("[::]:4420,advertise=[2001:db8::7]:9", "[::]:4420", advertise("2001:db8::7", Some(9))),
        ];
        for (text, listen, advertise) in table {
            let listen = listen.parse().expect("literal");
            assert_eq!(text.parse(), Ok(PortalFlag { listen, advertise }), "{text}");
        }
    }

    #[test]
    fn a_referral_leads_somewhere() {
        assert!(parse_referral("192.0.2.7:8009").is_ok() && parse_referral("[2001:db8::7]:8009").is_ok());
        for text in ["192.0.2.7", "node:8009", "0.0.0.0:8009", "[::]:8009", "192.0.2.7:0", "224.0.0.1:8009"] {
            assert_eq!(parse_referral(text), Err(PortalFlagError::Referral(text.into())), "{text}");
        }
    }

    #[test]
    fn every_mistake_has_its_reason() {
        use PortalFlagError as E;
        let table = [
            ("", E::Listen(String::new())),
            ("127.0.0.1", E::Listen("127.0.0.1".into())),
            (":4420", E::Listen(":4420".into())),
            ("localhost:4420", E::Listen("localhost:4420".into())),
            ("127.0.0.1:70000", E::Listen("127.0.0.1:70000".into())),
            ("127.0.0.1:4420,advertise=node1", E::Advertise("node1".into())),
            ("127.0.0.1:4420,advertise=10.0.0.1:0", E::Advertise("10.0.0.1:0".into())),
            (
                "127.0.0.1:4420,advertise=0.0.0.0",
                E::AdvertiseUnspecified("0.0.0.0".parse().expect("literal")),
            ),
            ("127.0.0.1:4420,advertise=::", E::AdvertiseUnspecified("::".parse().expect("literal"))),
            ("127.0.0.1:4420,advertise=10.0.0.1,advertise=10.0.0.2", E::AdvertiseTwice),
            ("127.0.0.1:4420,tls", E::UnknownOption("tls".into())),
        ];
        for (text, error) in table {
            assert_eq!(text.parse::<PortalFlag>(), Err(error), "{text}");
        }
    }
}

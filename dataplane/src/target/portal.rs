//! One listener, and the address that hosts are told for it.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use super::{
    Shared, admission,
    wait::{Either, Flag, race},
};
use crate::{
    node::{Advertise, DiscoveryPortalConfig, PortalConfig, StartError},
    rt::{self, net::TcpListener},
};

/// What hosts may connect to at a portal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Serves {
    /// Volumes and discovery.
    Everything,
    Discovery,
}

/// Where hosts come in.
#[derive(Debug)]
pub(super) struct Portal {
    pub(super) listen: SocketAddr,
    pub(super) serves: Serves,
    advertise: Option<Advertise>,
    /// Begin to accept.
    pub(super) open: Flag,
    /// Accept no more.
    pub(super) stop: Flag,
}

impl Portal {
    /// Listens on all of them, in this order.
    ///
    /// # Errors
    /// If an address cannot be listened on; one that is in use costs only an optional portal.
    pub(super) fn bind_all(
        portals: &[PortalConfig],
        discovery: &[DiscoveryPortalConfig],
    ) -> Result<Vec<(Self, TcpListener)>, StartError> {
        let mut bound = Vec::new();
        let failed = |what, listen, error| StartError(format!("{what} portal {listen}: {error}"));
        for config in portals {
            let portal = Self::bind(config, Serves::Everything);
            bound.push(portal.map_err(|error| failed("NVMe/TCP", config.listen, error))?);
        }
        for DiscoveryPortalConfig { portal: config, optional } in discovery {
            match Self::bind(config, Serves::Discovery) {
                Err(error) if *optional && error.kind() == io::ErrorKind::AddrInUse => {
                    let listen = config.listen;
                    tracing::warn!(%listen, "no discovery there: the address is in use");
                }
                portal => bound.push(portal.map_err(|error| failed("discovery", config.listen, error))?),
            }
        }
        Ok(bound)
    }

    fn bind(config: &PortalConfig, serves: Serves) -> io::Result<(Self, TcpListener)> {
        let listener = TcpListener::bind(config.listen)?;
        let portal = Self {
            listen: listener.local_addr(),
            serves,
            advertise: config.advertise.clone(),
            open: Flag::default(),
            stop: Flag::default(),
        };
        Ok((portal, listener))
    }

    /// The address to tell a host whose own connection came in on `local`. Never an unspecified one.
    pub(super) fn advertised(&self, local: SocketAddr) -> SocketAddr {
        match &self.advertise {
            Some(advertise) => {
                SocketAddr::new(advertise.address, advertise.port.unwrap_or(self.listen.port()))
            }
            None if self.listen.ip().is_unspecified() => {
                SocketAddr::new(plain(local.ip()), self.listen.port())
            }
            None => self.listen,
        }
    }
}

/// An IPv4 address that came in on a listener for both families is an IPv4 address.
fn plain(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    }
}

/// Accepts from when it is told to until it is told to stop. Each connection's handshake is a task of its own, of
/// which there are only so many, of all and of one address.
pub(super) async fn accept_loop(shared: Arc<Shared>, index: usize, listener: TcpListener) {
    /// After a failed accept, which is mostly a lack of descriptors.
    const PAUSE: Duration = Duration::from_millis(100);
    shared.usage.start();
    let serves = shared.portals[index].serves;
    if let Either::First(()) =
        race(shared.portals[index].stop.raised(), shared.portals[index].open.raised()).await
    {
        return;
    }
    loop {
        let stream = match race(shared.portals[index].stop.raised(), listener.accept()).await {
            Either::First(()) => return,
            Either::Second(Ok(stream)) => stream,
            Either::Second(Err(error)) => {
                tracing::warn!(%error, "a connection could not be accepted");
                rt::sleep(PAUSE).await;
                continue;
            }
        };
        let Ok(peer) = stream.peer_addr() else { continue };
        // Without a share it is dropped at once, as there is no answer before ICReq: whoever is in time tries again.
        let Some(share) = shared.handshakes.take(peer.ip()) else { continue };
        let shared = shared.clone();
        rt::spawn(async move {
            admission::admit(shared, stream, serves).await;
            drop(share);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_told_an_address_that_they_can_reach() {
        let somewhere = Some(Advertise { address: "10.0.2.2".parse().unwrap(), port: None });
        let elsewhere = Some(Advertise { address: "10.0.2.2".parse().unwrap(), port: Some(9) });
        // Listener, what to advertise, where the host came in, what it is told.
        let table = [
            ("127.0.0.1:4420", None, "127.0.0.1:4420", "127.0.0.1:4420"),
            ("0.0.0.0:4420", None, "192.0.2.7:4420", "192.0.2.7:4420"),
            ("0.0.0.0:4421", None, "192.0.2.7:4420", "192.0.2.7:4421"),
            ("[::]:4420", None, "[::ffff:192.0.2.7]:4420", "192.0.2.7:4420"),
            ("[::]:4420", None, "[2001:db8::7]:4420", "[2001:db8::7]:4420"),
            ("127.0.0.1:4420", somewhere, "127.0.0.1:4420", "10.0.2.2:4420"),
            ("0.0.0.0:4420", elsewhere, "192.0.2.7:4420", "10.0.2.2:9"),
        ];
        for (listen, advertise, local, told) in table {
            let (open, stop) = (Flag::default(), Flag::default());
            let (listen, serves) = (listen.parse().unwrap(), Serves::Everything);
            let portal = Portal { listen, serves, advertise, open, stop };
            assert_eq!(
                portal.advertised(local.parse().unwrap()),
                told.parse().unwrap(),
                "{listen} by {local}"
            );
        }
    }
}

//! How names of other servers become addresses: as the settings' `dns1` and `dns2` tell (admin.md §5.7), or as the operating
//! system does.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket, lookup_host},
    time::timeout,
};

use super::dns::{Family, Question, Reply};
use crate::random;

/// A server has this long for one answer; then the next one is asked.
const PATIENCE: Duration = Duration::from_secs(2);
const PORT: u16 = 53;
/// Of an answer that came in one datagram.
const DATAGRAM_BYTES: usize = 4096;

/// Shared by all who connect to others.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names(Arc<RwLock<Vec<SocketAddr>>>);

impl Names {
    /// From now on these are asked, in this order; none: the operating system.
    pub(crate) fn ask(&self, servers: impl IntoIterator<Item = IpAddr>) {
        self.ask_at(servers.into_iter().map(|ip| SocketAddr::new(ip, PORT)).collect());
    }

    fn ask_at(&self, servers: Vec<SocketAddr>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = servers;
    }

    /// At least one address.
    pub(crate) async fn lookup(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let servers = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        let found: Vec<SocketAddr> = match host.parse::<IpAddr>() {
            Ok(ip) => vec![SocketAddr::new(ip, port)],
            // The machine itself is no server's business.
            Err(_) if servers.is_empty() || host == "localhost" => lookup_host((host, port)).await?.collect(),
            Err(_) => {
                resolve(&servers, host).await?.into_iter().map(|ip| SocketAddr::new(ip, port)).collect()
            }
        };
        match found.is_empty() {
            false => Ok(found),
            true => Err(io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address"))),
        }
    }

    /// To the first address that takes it.
    pub(crate) async fn connect(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        TcpStream::connect(self.lookup(host, port).await?.as_slice()).await
    }
}

/// The first server that answers decides.
async fn resolve(servers: &[SocketAddr], host: &str) -> io::Result<Vec<IpAddr>> {
    let mut last = io::ErrorKind::NotFound.into();
    for server in servers {
        let both = tokio::join!(ask(*server, host, Family::V4), ask(*server, host, Family::V6));
        match both {
            (Ok(mut v4), Ok(v6)) => {
                v4.extend(v6);
                return Ok(v4);
            }
            // Some servers know nothing of the other family.
            (Ok(some), Err(_)) | (Err(_), Ok(some)) if !some.is_empty() => return Ok(some),
            (Err(error), _) | (_, Err(error)) => {
                last = io::Error::new(error.kind(), format!("the name server {server}: {error}"));
            }
        }
    }
    Err(last)
}

async fn ask(server: SocketAddr, host: &str, family: Family) -> io::Result<Vec<IpAddr>> {
    let question = Question::new(host, family, u16::from_le_bytes(random::bytes()))?;
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    match timeout(PATIENCE, by_datagram(server, &question)).await.map_err(late)?? {
        Some(addresses) => Ok(addresses),
        // It did not fit.
        None => timeout(PATIENCE, by_stream(server, &question)).await.map_err(late)?,
    }
}

/// `None`: the whole answer takes a stream.
async fn by_datagram(server: SocketAddr, question: &Question) -> io::Result<Option<Vec<IpAddr>>> {
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    socket.send(question.message()).await?;
    let mut message = vec![0; DATAGRAM_BYTES];
    loop {
        let length = socket.recv(&mut message).await?;
        match question.read(&message[..length])? {
            Reply::Addresses(addresses) => return Ok(Some(addresses)),
            Reply::Truncated => return Ok(None),
            // Somebody else's, or late.
            Reply::ToAnother => {}
        }
    }
}

async fn by_stream(server: SocketAddr, question: &Question) -> io::Result<Vec<IpAddr>> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(question.message().len()).expect("names are short");
    stream.write_u16(length).await?;
    stream.write_all(question.message()).await?;
    let mut message = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut message).await?;
    match question.read(&message)? {
        Reply::Addresses(addresses) => Ok(addresses),
        Reply::Truncated | Reply::ToAnother => Err(io::ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// The question with one answer behind it; `flags`: of the answer.
    fn answer(question: &[u8], flags: u8, ip: Option<[u8; 4]>) -> Vec<u8> {
        let mut message = question.to_vec();
        message[2] |= 0x80 | flags;
        if let Some(ip) = ip {
            message[7] = 1;
            message.extend([0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
            message.extend(ip);
        }
        message
    }

    fn wants_v4(question: &[u8]) -> bool {
        question[question.len() - 3] == 1
    }

    /// A name server that knows one address of every name; `by_stream`: it says so on a stream only.
    async fn server(ip: [u8; 4], by_stream: bool) -> SocketAddr {
        let (udp, tcp) = loop {
            let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
            if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        let address = tcp.local_addr().unwrap();
        tokio::spawn(async move {
            let mut question = [0; 512];
            loop {
                let (length, from) = udp.recv_from(&mut question).await.unwrap();
                let question = &question[..length];
                let ip = wants_v4(question).then_some(ip);
                let stranger = answer(&[&[question[0] ^ 1], &question[1..]].concat(), 0, Some([9; 4]));
                udp.send_to(&stranger, from).await.unwrap();
                let truncated = if by_stream { 2 } else { 0 };
                udp.send_to(&answer(question, truncated, ip.filter(|_| !by_stream)), from).await.unwrap();
            }
        });
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = tcp.accept().await.unwrap();
                let mut question = vec![0; usize::from(stream.read_u16().await.unwrap())];
                stream.read_exact(&mut question).await.unwrap();
                let message = answer(&question, 0, wants_v4(&question).then_some(ip));
                stream.write_u16(message.len() as u16).await.unwrap();
                stream.write_all(&message).await.unwrap();
            }
        });
        address
    }

    #[tokio::test]
    async fn servers_are_asked_in_their_order() {
        let names = Names::default();
        let dead = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        for (servers, expected) in [
            (vec![server([192, 0, 2, 1], false).await], "192.0.2.1:7"),
            (vec![server([192, 0, 2, 2], true).await], "192.0.2.2:7"),
            (vec![dead, server([192, 0, 2, 3], false).await], "192.0.2.3:7"),
        ] {
            names.ask_at(servers);
            let found = names.lookup("a.example", 7).await.unwrap();
            assert_eq!(found, [expected.parse().unwrap()]);
        }
        assert_eq!(names.lookup("192.0.2.9", 1).await.unwrap(), ["192.0.2.9:1".parse().unwrap()]);
        assert!(names.lookup("localhost", 1).await.unwrap().iter().all(|address| address.ip().is_loopback()));
        names.ask_at(vec![dead]);
        let error = names.lookup("a.example", 7).await.unwrap_err().to_string();
        assert!(error.contains("the name server"), "{error}");
        names.ask([]);
        assert!(names.lookup("localhost", 1).await.is_ok());
    }
}

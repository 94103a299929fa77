//! How far this machine's clock is from that of the settings' `ntpserver` (admin.md §5.7): asked again and again, told by
//! `GET health` and the log. Setting the clock is the operating system's.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use serde::Serialize;
use tokio::{
    net::UdpSocket,
    time::{Instant, MissedTickBehavior, interval, timeout},
};
use utoipa::ToSchema;

use super::settings::AdminSettings;
use crate::{app::SharedApp, outbound::Names, random};

/// Settings are looked at this often.
const LOOK: Duration = Duration::from_secs(1);
/// Servers are asked this often; public ones want no more.
const ROUND: Duration = Duration::from_secs(64);
/// A server that does not answer within this did not.
const PATIENCE: Duration = Duration::from_secs(5);
/// What is farther off than this is told in the log.
const TOLERABLE_MS: f64 = 1000.0;
const PORT: u16 = 123;

/// What the last question told.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Clock {
    /// Who was asked.
    server: String,
    /// How far this machine's clock is behind, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    offset_ms: Option<f64>,
    /// Why it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// What is known of the clock; nothing where no server is named.
#[derive(Default)]
pub(crate) struct ClockSeen(Mutex<Option<Clock>>);

impl ClockSeen {
    pub(crate) fn last(&self) -> Option<Clock> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, clock: Option<Clock>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = clock;
    }
}

/// Asks until dropped.
pub(crate) async fn run(app: SharedApp) {
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut asked: Option<(String, Instant)> = None;
    loop {
        looks.tick().await;
        let Ok(settings) = app.state.get::<AdminSettings>(AdminSettings::KEY).await else { continue };
        let Some(server) = settings.and_then(|stored| stored.value.ntp_server().map(str::to_owned)) else {
            app.admin.clock.set(None);
            asked = None;
            continue;
        };
        if asked.as_ref().is_some_and(|(last, when)| *last == server && when.elapsed() < ROUND) {
            continue;
        }
        let answer = ask(&app.names, &server).await;
        match &answer {
            Ok(offset_ms) => {
                app.admin.heartbeats.beat("clock-probe", ROUND);
                if offset_ms.abs() > TOLERABLE_MS {
                    tracing::warn!(server, offset_ms, "this machine's clock is off");
                }
            }
            Err(error) => tracing::warn!(server, %error, "the time server does not tell the time"),
        }
        let (offset_ms, error) =
            (answer.as_ref().ok().copied(), answer.as_ref().err().map(io::Error::to_string));
        app.admin.clock.set(Some(Clock { server: server.clone(), offset_ms, error }));
        asked = Some((server, Instant::now()));
    }
}

/// `HOST`, `HOST:PORT` or an IP address.
fn target(server: &str) -> (&str, u16) {
    match server.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') => (host, port.parse().unwrap_or(PORT)),
        _ => (server, PORT),
    }
}

async fn ask(names: &Names, server: &str) -> io::Result<f64> {
    let (host, port) = target(server);
    let exchange = async {
        let address = names.lookup(host, port).await?[0];
        exchange(address).await
    };
    timeout(PATIENCE, exchange).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn exchange(server: SocketAddr) -> io::Result<f64> {
    let any: IpAddr =
        if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    let mut question = [0; MESSAGE_BYTES];
    question[0] = VERSION_4_CLIENT;
    // Whatever stands here comes back, so nobody else can answer.
    let cookie: [u8; 8] = random::bytes();
    question[TRANSMITTED..].copy_from_slice(&cookie);
    let sent = now();
    socket.send(&question).await?;
    let mut answer = [0; 512];
    loop {
        let length = socket.recv(&mut answer).await?;
        if let Some(answered) = Answer::parse(&answer[..length], &cookie) {
            return Ok(answered.offset_ms(sent, now()));
        }
    }
}

// RFC 5905 §7.3.
const MESSAGE_BYTES: usize = 48;
const VERSION_4_CLIENT: u8 = 4 << 3 | 3;
const MODE_SERVER: u8 = 4;
const ORIGINATED: usize = 24;
const RECEIVED: usize = 32;
const TRANSMITTED: usize = 40;
/// From 1900 to 1970.
const ERA_SECONDS: f64 = 2_208_988_800.0;
/// Of a second.
const FRACTIONS: f64 = 4_294_967_296.0;

/// When the server got the question, and when it answered: seconds since 1970.
#[derive(Debug, PartialEq)]
struct Answer {
    received: f64,
    transmitted: f64,
}

impl Answer {
    /// `None`: it answers something else, or says that it does not know the time.
    fn parse(message: &[u8], cookie: &[u8; 8]) -> Option<Self> {
        let head = message.get(..MESSAGE_BYTES)?;
        let (leap, mode, stratum) = (head[0] >> 6, head[0] & 7, head[1]);
        let knows = leap != 3 && mode == MODE_SERVER && (1..16).contains(&stratum);
        let time = |at: usize| seconds(head[at..at + 8].try_into().expect("eight bytes"));
        let answer = Self { received: time(RECEIVED), transmitted: time(TRANSMITTED) };
        (knows && &head[ORIGINATED..RECEIVED] == cookie).then_some(answer)
    }

    fn offset_ms(&self, sent: f64, arrived: f64) -> f64 {
        let offset = ((self.received - sent) + (self.transmitted - arrived)) / 2.0;
        (offset * 1e6).round() / 1e3
    }
}

/// 32 bits of seconds and 32 of their fractions.
fn seconds(bytes: [u8; 8]) -> f64 {
    #[expect(clippy::big_endian_bytes, reason = "the network's order")]
    let fixed = u64::from_be_bytes(bytes);
    #[expect(clippy::cast_precision_loss, reason = "a microsecond is exact enough")]
    let fixed = fixed as f64;
    fixed / FRACTIONS - ERA_SECONDS
}

fn now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

#[cfg(test)]
#[expect(clippy::big_endian_bytes, reason = "the network's order")]
mod tests {
    use super::*;

    /// Tells a time that is `ahead` seconds after ours.
    async fn server(ahead: f64) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut question = [0; 512];
            let (length, from) = socket.recv_from(&mut question).await.unwrap();
            assert_eq!((length, question[0]), (MESSAGE_BYTES, VERSION_4_CLIENT));
            let mut answer = [0; MESSAGE_BYTES];
            answer[..2].copy_from_slice(&[4 << 3 | MODE_SERVER, 2]);
            let cookie = question[TRANSMITTED..MESSAGE_BYTES].to_owned();
            for at in [RECEIVED, TRANSMITTED] {
                let fixed = ((now() + ahead + ERA_SECONDS) * FRACTIONS) as u64;
                answer[at..at + 8].copy_from_slice(&fixed.to_be_bytes());
            }
            // What does not answer our question is passed over.
            for cookie in [&[0; 8][..], &cookie] {
                answer[ORIGINATED..RECEIVED].copy_from_slice(cookie);
                socket.send_to(&answer, from).await.unwrap();
            }
        });
        address
    }

    #[tokio::test]
    async fn an_offset_is_what_the_server_is_ahead() {
        for ahead in [0.0, 3600.0, -86_400.0] {
            let offset_ms = exchange(server(ahead).await).await.unwrap();
            assert!((offset_ms - ahead * 1e3).abs() < 100_000.0, "{ahead}: {offset_ms}");
        }
    }

    #[test]
    fn what_does_not_know_the_time_tells_none() {
        let cookie = [7; 8];
        let mut good = [0; MESSAGE_BYTES];
        good[..2].copy_from_slice(&[4 << 3 | MODE_SERVER, 1]);
        good[ORIGINATED..RECEIVED].copy_from_slice(&cookie);
        good[RECEIVED..RECEIVED + 4].copy_from_slice(&2_208_988_801u32.to_be_bytes());
        good[TRANSMITTED..TRANSMITTED + 4].copy_from_slice(&2_208_988_803u32.to_be_bytes());
        let answer = Answer::parse(&good, &cookie).unwrap();
        assert!((answer.offset_ms(0.0, 4.0)).abs() < 1.0, "{answer:?}");
        for (at, value) in [(0, 0xE4), (0, 0x23), (1, 0), (1, 16), (ORIGINATED, 0)] {
            let mut bad = good;
            bad[at] = value;
            assert_eq!(Answer::parse(&bad, &cookie), None, "{at}");
        }
        assert_eq!(Answer::parse(&good[..47], &cookie), None);
    }

    #[test]
    fn servers_are_named_with_and_without_a_port() {
        assert_eq!(target("pool.ntp.org"), ("pool.ntp.org", 123));
        assert_eq!(target("a.example:1123"), ("a.example", 1123));
        assert_eq!(target("fe80::1"), ("fe80::1", 123));
    }
}

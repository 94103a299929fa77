//! Forwarding to syslog servers (provisioner §4.7, D43), over each transport, to small receivers of our own.

use std::{sync::Arc, time::Duration};

use hyper::Method;
use rustls_pki_types::{PrivateKeyDer, pem::PemObject};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    net::{TcpListener, UdpSocket},
    sync::mpsc,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use crate::common::{Client, LOCAL, Running};

const PATIENCE: Duration = Duration::from_secs(60);

type Received = mpsc::UnboundedReceiver<String>;

/// Reads messages that are framed by octet counting.
async fn read_frames(mut stream: impl AsyncRead + Unpin, messages: mpsc::UnboundedSender<String>) {
    loop {
        let mut length = 0_usize;
        loop {
            match stream.read_u8().await {
                Ok(b' ') => break,
                Ok(digit) => length = length * 10 + usize::from(digit - b'0'),
                Err(_) => return,
            }
        }
        let mut text = vec![0; length];
        if stream.read_exact(&mut text).await.is_err() {
            return;
        }
        if messages.send(String::from_utf8(text).unwrap()).is_err() {
            return;
        }
    }
}

async fn tcp(listener: TcpListener) -> Received {
    let (messages, received) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(read_frames(socket, messages.clone()));
        }
    });
    received
}

/// The next message with this text in it.
async fn wait_for(received: &mut Received, text: &str) -> String {
    let wait = async {
        loop {
            let message = received.recv().await.unwrap();
            if message.contains(text) {
                return message;
            }
        }
    };
    timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("no message with {text}"))
}

async fn connected(client: &Client) -> Value {
    for _ in 0..600 {
        let servers = client.get("/syslog").await;
        if servers[0]["state"] == true {
            return servers;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the syslog server was not connected");
}

/// What a client forwards, what happens and what is asked for, all arrive.
async fn everything_arrives(client: &Client, received: &mut Received) {
    let forwarded = json!({"loggingType": "COMMAND", "level": "FATAL", "host": "h 1", "appName": "csi",
        "message": "a\nb", "parametersList": {"k": "v\""}});
    assert_eq!(client.post("/forward_log", forwarded).await["status"], "Success");
    let message = wait_for(received, "csi").await;
    assert!(message.starts_with("<130>1 20"), "{message}");
    assert!(message.ends_with("Z h_1 csi - COMMAND [basalt@32473 k=\"v\\\"\"] a b"), "{message}");

    client.volume("vol1", 1).await;
    let event = wait_for(received, "kind=\"volume-created\"").await;
    assert!(event.starts_with("<134>1 ") && event.contains(" n1 basalt - EVENT ["), "{event}");
    let audit = wait_for(received, "path=\"/volumes\"").await;
    assert!(audit.contains(" COMMAND [") && audit.contains("status=\"200\""), "{audit}");
}

#[tokio::test]
async fn over_tcp_and_with_what_was_refused() {
    let listener = TcpListener::bind((LOCAL_IP, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut received = tcp(listener).await;
    let url = format!("tcp://{address}");
    let running = Running::with(|c| {
        c.syslog = vec![url.parse().unwrap()];
        c.node_name = "n1".to_owned();
    })
    .await;
    let client = running.client();
    let servers = connected(&client).await;
    let expected =
        json!([{"id": 1, "name": address.to_string(), "url": url, "state": true, "useTls": false}]);
    assert_eq!(servers, expected);
    everything_arrives(&client, &mut received).await;
    // Refused requests are told, too; reading is not.
    let refused = running.stranger().status(Method::DELETE, "/volumes/x", json!({})).await;
    assert_eq!(refused, 401);
    let audit = wait_for(&mut received, "path=\"/volumes/x\"").await;
    assert!(audit.contains("status=\"401\"") && audit.contains("user=\"-\""), "{audit}");
}

#[tokio::test]
async fn over_udp() {
    let socket = UdpSocket::bind((LOCAL_IP, 0)).await.unwrap();
    let url = format!("udp://{}", socket.local_addr().unwrap());
    let (messages, mut received) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut buffer = vec![0; 65536];
        while let Ok(length) = socket.recv(&mut buffer).await {
            let text = String::from_utf8(buffer[..length].to_vec()).unwrap();
            if messages.send(text).is_err() {
                return;
            }
        }
    });
    let running = Running::with(|c| {
        c.syslog = vec![url.parse().unwrap()];
        c.node_name = "n1".to_owned();
    })
    .await;
    let client = running.client();
    connected(&client).await;
    everything_arrives(&client, &mut received).await;
}

#[tokio::test]
async fn over_tls_to_whom_the_authority_vouches_for() {
    let pair = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = certificate.self_signed(&pair).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("syslog-ca.pem");
    std::fs::write(&ca, certificate.pem()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivateKeyDer::from_pem_slice(pair.serialize_pem().as_bytes()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((LOCAL_IP, 0)).await.unwrap();
    let url = format!("tls://{}", listener.local_addr().unwrap());
    let (messages, mut received) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            if let Ok(stream) = acceptor.accept(socket).await {
                tokio::spawn(read_frames(stream, messages.clone()));
            }
        }
    });
    let running = Running::with(|c| {
        c.syslog = vec![url.parse().unwrap()];
        c.trust_ca = Some(ca);
        c.node_name = "n1".to_owned();
    })
    .await;
    let client = running.client();
    let servers = connected(&client).await;
    assert_eq!((&servers[0]["useTls"], &servers[0]["certFileName"]), (&json!(true), &json!("syslog-ca.pem")));
    everything_arrives(&client, &mut received).await;
}

#[tokio::test]
async fn a_server_that_is_not_there_costs_no_request() {
    let listener = TcpListener::bind((LOCAL_IP, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let running = Running::with(|c| c.syslog = vec![format!("tcp://{address}").parse().unwrap()]).await;
    let client = running.client();
    let message =
        json!({"loggingType": "EVENT", "level": "INFO", "host": "h", "appName": "a", "message": "m"});
    assert_eq!(client.post("/forward_log", message.clone()).await["status"], "SyslogNotAvailable");
    client.volume("vol1", 1).await;
    assert_eq!(client.get("/syslog").await[0]["state"], false);
    // It comes back, and what waited arrives.
    let mut received = tcp(TcpListener::bind(address).await.unwrap()).await;
    wait_for(&mut received, "kind=\"volume-created\"").await;
    connected(&client).await;
    assert_eq!(client.post("/forward_log", message).await["status"], "Success");
    wait_for(&mut received, " a - EVENT - m").await;
}

#[tokio::test]
async fn without_a_server_and_with_wrong_fields() {
    let running = Running::start().await;
    let client = running.client();
    assert_eq!(client.get("/syslog").await, json!([]));
    let message =
        json!({"loggingType": "EVENT", "level": "INFO", "host": "h", "appName": "a", "message": "m"});
    assert_eq!(client.post("/forward_log", message.clone()).await["status"], "SyslogNotAvailable");
    let mut wrong = message;
    wrong["level"] = json!("DEBUG");
    assert_eq!(client.post("/forward_log", wrong).await["status"], "InvalidInput");
}

const LOCAL_IP: std::net::Ipv4Addr = std::net::Ipv4Addr::new(LOCAL[0], LOCAL[1], LOCAL[2], LOCAL[3]);

//! The API on a Unix socket (session.md §1).

use std::{os::unix::fs::PermissionsExt, path::Path};

use control::serve;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, body::Bytes, header};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use crate::common::{Running, config, memory_node};

/// GET over the socket, in plain HTTP.
async fn get(socket: &Path, path: &str, token: &str) -> (u16, String) {
    let stream = UnixStream::connect(socket).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::get(path).header(header::HOST, "localhost");
    let request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    let answer = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    connection.abort();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn it_answers_those_who_bring_a_credential() {
    let place = tempfile::tempdir().unwrap();
    let socket = place.path().join("api.sock");
    let running = Running::with(|config| config.api_socket = Some(socket.clone())).await;
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(get(&socket, "/healthz", "").await.0, 200);
    assert_eq!(get(&socket, "/volumes", "wrong").await.0, 401);
    assert_eq!(get(&socket, "/volumes", &running.token()).await, (200, "[]".to_owned()));
    let bearer = running.stranger().login("admin", &running.admin_password()).await.body;
    let bearer = bearer["bearer_token"].as_str().unwrap();
    let (status, who) = get(&socket, "/v1/session/who-am-i", bearer).await;
    assert!(status == 200 && who.contains("\"admin\""), "{who}");
    running.stop().await;
    assert!(!socket.exists());
}

#[tokio::test]
async fn only_what_a_dead_server_left_is_replaced() {
    let place = tempfile::tempdir().unwrap();
    let (left, file) = (place.path().join("left"), place.path().join("file"));
    drop(std::os::unix::net::UnixListener::bind(&left).unwrap());
    std::fs::write(&file, "mine").unwrap();
    let running = Running::with(|config| config.api_socket = Some(left.clone())).await;
    assert_eq!(get(&left, "/healthz", "").await.0, 200);
    for taken in [&left, &file] {
        let dir = tempfile::tempdir().unwrap();
        let mut config = config(dir.path());
        config.api_socket = Some(taken.clone());
        let refused = serve(config, memory_node(1)).await.unwrap_err().to_string();
        assert!(refused.contains(taken.to_str().unwrap()), "{refused}");
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
    assert_eq!(get(&left, "/healthz", "").await.0, 200);
    running.stop().await;
}

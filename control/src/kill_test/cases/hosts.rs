//! Hosts, and what they have to prove.

use super::*;

fn cases() -> Vec<Case> {
    let secrets = || format!("/basalt/v1/hosts/{HOST}/secrets");
    let tls_keys = || format!("/basalt/v1/hosts/{HOST}/tls-keys");
    let set = |path: String| put(path, &json!({"generate": true}));
    let published = || vec![host(), volume_of(1, 1), publish(1)];
    let with = |more: Call| [published(), vec![more]].concat();
    // With the host goes all that it has to prove.
    let clean = || vec![unpublish(1), delete_volume(1), delete_host()];
    vec![
        Case {
            name: "host",
            before: vec![],
            call: host(),
            again: Some("Success"),
            after: vec![delete_host()],
            way: Way::Forward,
        },
        Case {
            name: "host with another name",
            before: published(),
            call: host_of("nqn.2014-08.org.example:other"),
            again: Some("Success"),
            after: clean(),
            way: Way::Forward,
        },
        Case {
            name: "deletion of a host that has everything",
            before: [published(), vec![set(secrets()), set(tls_keys())]].concat(),
            call: delete_host(),
            again: Some("NotExists"),
            after: vec![delete_volume(1)],
            way: Way::Forward,
        },
        Case {
            name: "secret",
            before: published(),
            call: set(secrets()),
            again: Some("Success"),
            after: clean(),
            way: Way::Forward,
        },
        Case {
            name: "deletion of a secret",
            before: with(set(secrets())),
            call: delete(secrets()),
            again: Some("not_found"),
            after: clean(),
            way: Way::Forward,
        },
        Case {
            name: "TLS key",
            before: published(),
            call: set(tls_keys()),
            again: Some("Success"),
            after: clean(),
            way: Way::Forward,
        },
        Case {
            name: "deletion of a TLS key",
            before: with(set(tls_keys())),
            call: delete(tls_keys()),
            again: Some("not_found"),
            after: clean(),
            way: Way::Forward,
        },
    ]
}

#[test]
fn hosts() {
    kill(&Site::of(1), cases());
}

//! Making a host connect in TLS.

use crate::support::Place;

const NQN: &str = "nqn.2014-08.org.nvmexpress:uuid:9e9c3b3c-5f2a-4c56-8d35-7a6d2b8f0003";

#[test]
fn a_generated_key_is_printed_once_with_what_to_do_on_the_host() {
    let place = Place::new();
    let _server = place.serve_file();
    place.text(&["host", "add", "web", "--nqn", NQN]);
    let shown = place.text(&["host", "set-tls-key", "web", "--generate"]);
    assert!(shown.contains("TLS is required for web") && shown.contains("--keydata=NVMeTLSkey-1:01:"));
    let json = place.json(&["host", "set-tls-key", "web", "--generate", "--hash", "sha384"]);
    let key = json["key"].as_str().unwrap();
    assert!(key.starts_with("NVMeTLSkey-1:02:"));
    let file = place.path("key");
    std::fs::write(&file, format!("{key}\n")).unwrap();
    let given = place.text(&["host", "set-tls-key", "web", "--key-file", file.to_str().unwrap()]);
    assert!(!given.contains(key), "what was given is not repeated");
    let allowed = place.text(&["host", "set-tls-key", "web", "--policy", "allowed"]);
    assert!(allowed.contains("TLS is allowed for web"));
    place.text(&["volume", "create", "vol1", "1G"]);
    let published = place.text(&["publish", "vol1", "web"]);
    assert!(
        published.contains("--keydata=KEY\n  nvme connect ") && published.contains(" --tls\n"),
        "{published}"
    );
    let cleared = place.text(&["host", "clear-tls-key", "web"]);
    assert!(cleared.contains("without TLS"));
    let published = place.text(&["publish", "vol1", "web"]);
    assert!(!published.contains("--keydata") && !published.contains("--tls"), "{published}");
}

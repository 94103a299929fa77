//! Making a host authenticate.

use crate::support::Place;

const NQN: &str = "nqn.2014-08.org.nvmexpress:uuid:9e9c3b3c-5f2a-4c56-8d35-7a6d2b8f0002";

#[test]
fn a_generated_secret_is_printed_once() {
    let place = Place::new();
    let _server = place.serve_file();
    place.text(&["host", "add", "web", "--nqn", NQN]);
    let one_way = place.text(&["host", "set-secret", "web", "--generate"]);
    assert!(one_way.contains("\n--dhchap-secret=DHHC-1:01:"), "the options of nvme connect");
    assert!(!one_way.contains("--dhchap-ctrl-secret"));
    let two_way = place.text(&["host", "set-secret", "web", "--generate", "--two-way", "--hash", "sha512"]);
    assert!(
        two_way.contains("--dhchap-secret=DHHC-1:03:") && two_way.contains("--dhchap-ctrl-secret=DHHC-1:03:")
    );
    let json = place.json(&["host", "set-secret", "web", "--generate", "--dh-group", "null"]);
    assert_eq!((&json["dhGroup"], &json["twoWay"]), (&"null".into(), &false.into()));
    place.text(&["volume", "create", "vol1", "1G"]);
    let hint = "--dhchap-secret=SECRET";
    assert!(place.text(&["publish", "vol1", "web"]).contains(hint));
    place.text(&["host", "clear-secret", "web"]);
    assert!(!place.text(&["publish", "vol1", "web"]).contains(hint));
}

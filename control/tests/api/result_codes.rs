//! Every result code of the contract (provisioner §7) is the outcome of a request in one of these modules, or stands here
//! with the reason why no request gets it.

use std::{collections::BTreeSet, fs, path::Path};

/// Provisioner §7.
const CONTRACT: &str = "Success AlreadyExists NoGroups InvalidLocationValue NotAvailable \
    BackendWithHostIdAlreadyExists NotExists BackendHasVolumes CommunicationError InvalidInput TenantAlreadyExists \
    NoBackends TenantNotFound TenantHasVolumes InvalidReplicas NoMatchingBackend NotEnoughMatchingBackends \
    NoBackendWithHostIdExists TenantCapacityExceeded VolumeIsInUse InvalidSize NoFreeSpace NotReplicated \
    ReplicaTerminating TopologyConstraints NotInUse SameRackNotAllowed AllReplicasDown NoTerminating Replicated \
    ReplicaNotFound TaskNotFound NotEnoughReplicas VolumeNotPublished HostNotFound TaskAlreadyRunning \
    NoBackendToMigrateReplica VolumePublishedToMultipleHosts SyslogNotAvailable LicenseError InvalidLicense \
    HostAvailable VolumeNotFound PublishFailed AlreadyPublished VolumeNotInHost UnpublishFailed UpdateTaskFailed \
    TaskEnded NoTask OngoingTask TaskBelongsToOtherHost CreateProvisionerClientTokenFailed \
    CreateBackendsClientTokenFailed DecryptProvisionerClientTokenFailed DecryptBackendsClientTokenFailed \
    ProvisionerClientUnauthorized BackendsClientUnauthorized NoChange InvalidAuthMode";

/// Of the protocol itself (D5).
const PROTOCOL: &str = "Unauthorized Forbidden NotFound MethodNotAllowed";

/// With the reason why no request gets it.
const UNSEEN: [(&str, &str); 4] = [
    ("DeviceNotFound", "a race: the node lost a volume between the look at it and the request to it"),
    ("InternalError", "a defect of the server or of its disk"),
    ("NoGroups", "a node that has joined does not start again without the drives that it had"),
    ("UnpublishFailed", "the node answers and refuses; one that is away is told when it is back"),
];

/// What the tests of this program ask for; the names of codes stand there as answers to compare with.
fn modules() -> String {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/api");
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let others = files
        .filter(|path| path.extension().is_some_and(|e| e == "rs") && !path.ends_with("result_codes.rs"));
    others.map(|path| fs::read_to_string(path).unwrap()).collect()
}

/// Those that the server knows.
fn known() -> Vec<&'static str> {
    let source = include_str!("../../src/envelope.rs");
    let (_, list) = source.split_once("enum Code {").unwrap();
    let (list, _) = list.split_once('}').unwrap();
    list.split(',').map(str::trim).filter(|name| !name.is_empty()).collect()
}

#[test]
fn every_code_is_the_outcome_of_a_request_or_has_its_reason() {
    let modules = modules();
    let unseen: BTreeSet<&str> = UNSEEN.iter().map(|(code, _)| *code).collect();
    let named = CONTRACT.split_whitespace().chain(PROTOCOL.split_whitespace());
    let codes: BTreeSet<&str> = named.chain(known()).collect();
    assert!(unseen.is_subset(&codes), "{:?}", unseen.difference(&codes));
    for code in codes {
        let is_seen = modules.contains(&format!("\"{code}\""));
        match unseen.contains(code) {
            true => assert!(!is_seen, "{code} is seen, and listed as unseen"),
            false => assert!(is_seen, "no request of these tests is answered {code}"),
        }
    }
    assert_eq!(CONTRACT.split_whitespace().count(), 60);
}

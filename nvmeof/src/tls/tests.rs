use super::{hkdf::derive, *};
use crate::Nqn;

/// The configured PSK that TCP §3.6.1.5 prints, and the 48 bytes that libnvme's tests make of it.
const KEY: [u8; 32] = [
    0x55, 0x12, 0xDB, 0xB6, 0x73, 0x7D, 0x01, 0x06, 0xF6, 0x59, 0x75, 0xB7, 0x73, 0xDF, 0xB0, 0x11, 0xFF,
    0xC3, 0x44, 0xBC, 0xF4, 0x42, 0xE2, 0xDD, 0x6D, 0x8B, 0xC4, 0x87, 0x0B, 0x5D, 0x5B, 0x03,
];
const TEXT_NONE: &str = "NVMeTLSkey-1:00:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9LrZ:";
const TEXT_256: &str = "NVMeTLSkey-1:01:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9LrZ:";
const TEXT_384: &str =
    "NVMeTLSkey-1:02:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwP/w0S89ELi3W2LxIcLXVsDn8kXZQ==:";

fn nqn(text: &str) -> Nqn {
    Nqn::new(text).unwrap()
}

fn retained(text: &str) -> RetainedPsk {
    RetainedPsk::new(&ConfiguredPsk::parse(text).unwrap(), nqn("nqn.psk-test-host"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_interchange_format_of_the_specification() {
    for text in [TEXT_NONE, TEXT_256, TEXT_384] {
        let psk = ConfiguredPsk::parse(text).unwrap();
        assert_eq!(psk.bytes()[..32], KEY);
        assert_eq!(*psk.to_interchange(), text);
    }
    let generated = ConfiguredPsk::generate(PskHash::Sha384, |bytes| bytes.fill(7));
    assert_eq!(ConfiguredPsk::parse(&generated.to_interchange()).unwrap(), generated);
}

#[test]
fn what_is_no_key_is_refused_with_its_reason() {
    use InterchangeError::{Crc, Form, Hash, Length};
    let table = [
        ("", Form),
        ("NVMeTLSkey-1:01", Form),
        (TEXT_256.trim_end_matches(':'), Form),
        (&TEXT_256.replace("-1:", "-2:"), Form),
        (&format!("{TEXT_256}:"), Form),
        ("NVMeTLSkey-1:01:!!!!:", Form),
        (&TEXT_256.replace(":01:", ":03:"), Hash),
        (&TEXT_256.replace(":01:", ":02:"), Length),
        (&TEXT_384.replace(":02:", ":01:"), Length),
        ("NVMeTLSkey-1:00:AAAA:", Length),
        (&TEXT_256.replace(":VRL", ":VRM"), Crc),
    ];
    for (text, error) in table {
        assert_eq!(ConfiguredPsk::parse(text), Err(error), "{text}");
    }
}

#[test]
fn hkdf_of_rfc_5869() {
    // Test case 3: no salt, no info.
    let okm = derive(PskHash::Sha256, &[0x0B; 22], &[], 42);
    assert_eq!(
        hex(&okm),
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    );
}

/// The identities of libnvme's own tests, of today's way and of the one before 1.16.
#[test]
fn version_1_identities_of_libnvme() {
    let subsystem = nqn("nqn.psk-test-subsys");
    let table = [
        (
            TEXT_256,
            "01",
            "iSbjiStwJ/1TrTvDlt2fjFmzvsytOJelidNnA+X5lEU=",
            "66GuqV08TsAGII39teWUfwQwizjv06Jy8jOcX3NAAzM=",
        ),
        (
            TEXT_384,
            "02",
            "QhW2+Rp6RzHlNtCslyRxMnwJ11tKKhz8JCAQpQ+XUD8f9td1VeH5h53yz2wKJG1a",
            "RsKmYJ3nAn1ApjjMloJFbAkLPivONDAX/xW327YBUsn2eGShXSjCZvBaOxscLqmz",
        ),
    ];
    for (text, hash, digest, libnvme) in table {
        let psk = retained(text);
        let identity = psk.identity(IdentityVersion::V1, psk.hash(), &subsystem);
        assert_eq!(
            identity.to_string(),
            format!("NVMe1R{hash} nqn.psk-test-host nqn.psk-test-subsys {digest}")
        );
        let old = PskIdentity { digest: Some(libnvme.to_owned()), ..identity.clone() };
        let (new_key, old_key) = (psk.tls_psk(&identity).unwrap(), psk.tls_psk(&old).unwrap());
        assert_eq!((new_key.hash, new_key.bytes().len()), (psk.hash(), psk.hash().len_bytes()));
        assert_ne!(new_key, old_key);
        let foreign = PskIdentity { digest: Some("AAAA".to_owned()), ..identity };
        assert_eq!(psk.tls_psk(&foreign), None);
    }
}

/// Computed by Python's hmac module from RFC 5869 and RFC 8446 §7.1.
#[test]
fn tls_psks_of_both_versions() {
    let subsystem = nqn("nqn.psk-test-subsys");
    let table = [
        (
            TEXT_NONE,
            IdentityVersion::V0,
            PskHash::Sha256,
            "ec85300ba827726bd3bc4fc07f3a34aec5fe7c8ccac05fefc2f021c74e0df9ef",
        ),
        (
            TEXT_256,
            IdentityVersion::V0,
            PskHash::Sha256,
            "05c6503551ad136e6ee32e6eeb3f6d500b69701d84ec71e328f65c7f51566f68",
        ),
        (
            TEXT_256,
            IdentityVersion::V1,
            PskHash::Sha256,
            "8fc3c0badfd4c0c66fa3ca33aadd0314f85536cc9bc47338b60f3e6e563786ca",
        ),
        (
            TEXT_384,
            IdentityVersion::V0,
            PskHash::Sha384,
            "f42ba63824cdfe421914c582921f85b5b5b7e2d4df084caeedc9be20b212e8bb0fe8a23e9d59a1c8fc6449da4970a78d",
        ),
        (
            TEXT_384,
            IdentityVersion::V1,
            PskHash::Sha384,
            "a2b2f943f479fc682555cec89857c80ed004ce92f32a973d5764155bb7e36b17a85368a0666d250afac9282dda2e62ca",
        ),
        (
            TEXT_256,
            IdentityVersion::V1,
            PskHash::Sha384,
            "a904a96e5b4c392a4fc3b2191542b4e0cd3996983732d3be74808ddad6baa4b5cec3f702610e95c457647f90f1c7fd44",
        ),
    ];
    for (text, version, hash, expected) in table {
        let psk = retained(text);
        let identity = psk.identity(version, hash, &subsystem);
        assert_eq!(hex(psk.tls_psk(&identity).unwrap().bytes()), expected, "{identity}");
    }
    let old = retained(TEXT_256).identity(IdentityVersion::V1, PskHash::Sha256, &subsystem);
    let old = PskIdentity { digest: Some("66GuqV08TsAGII39teWUfwQwizjv06Jy8jOcX3NAAzM=".to_owned()), ..old };
    assert_eq!(
        hex(retained(TEXT_256).tls_psk(&old).unwrap().bytes()),
        "b9f5ab2a41ba6e72a23a12066302a2f775fa6c0942c8e0b18ca8ac07edf305e2"
    );
}

#[test]
fn identities_are_read_as_they_are_written() {
    let good = [
        "NVMe0R01 nqn.h nqn.s",
        "NVMe0R02 nqn.h nqn.s",
        "NVMe1R01 nqn.h nqn.s AAAA",
        "NVMe1R02 nqn.h nqn.s AAAA",
    ];
    for text in good {
        assert_eq!(PskIdentity::parse(text.as_bytes()).unwrap().to_string(), text);
    }
    use IdentityError::{Form, Unknown};
    let bad: [(&[u8], IdentityError); 9] = [
        (b"", Form),
        (b"NVMe", Form),
        (b"\xFF", Form),
        (b"somebody nqn.h nqn.s", Form),
        (b"NVMe0R01 nqn.h nqn.s AAAA", Form),
        (b"NVMe1R01 nqn.h nqn.s", Form),
        (b"NVMe0G01 nqn.h nqn.s", Unknown),
        (b"NVMe2R01 nqn.h nqn.s", Unknown),
        (b"NVMe0R03 nqn.h nqn.s", Unknown),
    ];
    for (bytes, error) in bad {
        assert_eq!(PskIdentity::parse(bytes), Err(error), "{bytes:?}");
    }
    assert!(matches!(PskIdentity::parse(b"NVMe0R01 iqn.h nqn.s"), Err(IdentityError::Nqn(_))));
}

#[test]
fn a_key_serves_its_own_host_only_and_names_that_fit() {
    let psk = retained(TEXT_256);
    let subsystem = nqn("nqn.psk-test-subsys");
    let own = psk.identity(IdentityVersion::V0, PskHash::Sha256, &subsystem);
    assert!(psk.tls_psk(&own).is_some());
    assert_eq!(psk.tls_psk(&PskIdentity { host: nqn("nqn.other"), ..own }), None);
    // RFC 8446 lets a context have 255 bytes: version 1 is for names that are longer together.
    let long = nqn(&format!("nqn.{}", "x".repeat(219)));
    let own = |version| psk.identity(version, PskHash::Sha256, &long);
    let other = RetainedPsk::new(&ConfiguredPsk::parse(TEXT_256).unwrap(), long.clone());
    assert!(psk.tls_psk(&own(IdentityVersion::V0)).is_some());
    assert!(other.tls_psk(&other.identity(IdentityVersion::V0, PskHash::Sha256, &long)).is_none());
    assert!(other.tls_psk(&other.identity(IdentityVersion::V1, PskHash::Sha256, &long)).is_some());
}

#[test]
fn what_is_stored_comes_back_and_nothing_else_does() {
    for text in [TEXT_NONE, TEXT_256, TEXT_384] {
        let psk = retained(text);
        let stored = psk.to_stored();
        assert_eq!(RetainedPsk::from_stored(psk.host().clone(), &stored), Some(psk.clone()));
        assert_eq!(RetainedPsk::from_stored(psk.host().clone(), &stored[..stored.len() - 1]), None);
    }
    assert_eq!(RetainedPsk::from_stored(nqn("nqn.h"), &[]), None);
    assert_eq!(RetainedPsk::from_stored(nqn("nqn.h"), &[3, 1, 2, 3]), None);
}

#[test]
fn no_secret_is_shown() {
    let configured = ConfiguredPsk::parse(TEXT_256).unwrap();
    let psk = retained(TEXT_256);
    let key = psk.tls_psk(&psk.identity(IdentityVersion::V0, PskHash::Sha256, &nqn("nqn.s"))).unwrap();
    for shown in [format!("{configured:?}"), format!("{psk:?}"), format!("{key:?}")] {
        assert!(shown.contains("secret bytes") && !shown.contains("85") && !shown.contains("55"), "{shown}");
    }
}

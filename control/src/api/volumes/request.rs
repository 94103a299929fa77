//! What a create request asks for.

use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    envelope::{Code, Failure},
    fields::{Fields, LARGEST},
    limits,
    model::{
        GIB,
        reserve::percent,
        volume::{Protocol, Provisioning, StorageClass},
    },
};

/// The largest capacity in GiB: its bytes are still exact in every client's JSON numbers.
pub(super) const MAX_CAPACITY_GIB: u64 = LARGEST / GIB;

#[derive(Debug, PartialEq)]
pub(super) struct CreateRequest {
    pub(super) alias: String,
    pub(super) uuid: Option<Uuid>,
    pub(super) capacity_gib: u64,
    pub(super) provisioning: Provisioning,
    /// Of a thin volume; 0 is the default.
    pub(super) reserve_percent: u64,
    pub(super) protocol: Protocol,
    pub(super) class: StorageClass,
}

impl CreateRequest {
    /// `InvalidInput` names the first field that is wrong.
    pub(super) fn parse(body: &Map<String, Value>) -> Result<Self, Failure> {
        let fields = Fields::new(body);
        let alias = fields.label("alias", limits::NAME_CHARS)?;
        let capacity_gib = fields.whole("capacity")?;
        let capacity_gib = fields.require("capacity", capacity_gib)?;
        if !(1..=MAX_CAPACITY_GIB).contains(&capacity_gib) {
            return Err(Failure::invalid(format!("capacity must be from 1 to {MAX_CAPACITY_GIB} GiB")));
        }
        let provisioning = fields
            .word("provisioningType", &[("THICK", Provisioning::Thick), ("THIN", Provisioning::Thin)])?
            .unwrap_or(Provisioning::Thick);
        let reserve = fields.integer("reservedSpacePercentage")?;
        let protocol =
            fields.word("protocol", &[("NVMeoF", Protocol::Nvmeof), ("Local", Protocol::Local)])?;
        let class = match fields.object("storageClass", "storageClass.")? {
            Some(class) => storage_class(class)?,
            None => storage_class(Fields::new(&Map::new()))?,
        };
        Ok(Self {
            alias: fields.require("alias", alias)?.to_owned(),
            uuid: fields.uuid("uuid")?,
            capacity_gib,
            provisioning,
            reserve_percent: match provisioning {
                Provisioning::Thick => 0,
                Provisioning::Thin | Provisioning::Other => percent(reserve)?,
            },
            protocol: protocol.unwrap_or(Protocol::Nvmeof),
            class,
        })
    }

    /// The contract's rule (D27), then ours: this version keeps one copy.
    pub(super) fn check_replicas(&self) -> Result<(), Failure> {
        let refuse = |why: &str| Err(Failure::new(Code::InvalidReplicas, why));
        match (self.class.num_replicas, self.protocol) {
            (0 | 4.., _) => refuse("storageClass.numReplicas must be from 1 to 3"),
            (2.., Protocol::Local) => refuse("a volume with protocol Local has one replica"),
            (2.., Protocol::Nvmeof) => {
                refuse("storageClass.numReplicas must be 1: replicated volumes are not supported yet")
            }
            (1, _) => Ok(()),
        }
    }
}

fn storage_class(fields: Fields<'_>) -> Result<StorageClass, Failure> {
    let rate = |name: &str| Ok::<_, Failure>(fields.whole(name)?.unwrap_or(0));
    let list = |name: &str| Ok::<_, Failure>(fields.texts(name)?.unwrap_or_default());
    let class = StorageClass {
        name: fields.text("name", limits::NAME_CHARS)?.filter(|n| !n.is_empty()).map(str::to_owned),
        num_replicas: fields.whole("numReplicas")?.unwrap_or(1),
        same_rack_allowed: fields.truth("sameRackAllowed")?.unwrap_or(false),
        racks: list("racks")?,
        zones: list("zones")?,
        regions: list("regions")?,
        max_iops_per_gib: rate("maxIOPSPerGB")?,
        max_bytes_per_second_per_gib: rate("maxBWPerGB")?,
        desired_iops_per_gib: rate("desiredIOPSPerGB")?,
        desired_bytes_per_second_per_gib: rate("desiredBWPerGB")?,
        block_bytes: match fields.whole("blockSize")? {
            None | Some(4096) => 4096,
            Some(512) => 512,
            Some(_) => return Err(Failure::invalid("storageClass.blockSize must be 512 or 4096")),
        },
        max_replica_down_minutes: fields.whole("maxReplicaDownTime")?.unwrap_or(0),
        host_id: fields.text("hostId", limits::NAME_CHARS)?.filter(|h| !h.is_empty()).map(str::to_owned),
        allow_span: fields.truth("allowSpan")?.unwrap_or(true),
        share_ssd: fields.truth("shareSSDBetweenVolumes")?.unwrap_or(true),
    };
    if !class.share_ssd && class.name.is_none() {
        return Err(Failure::invalid(
            "storageClass.name is required if storageClass.shareSSDBetweenVolumes is false",
        ));
    }
    // It decides nothing for a single copy (D61), but a wrong word is still an error.
    fields.word("replication", &[("target", ()), ("host", ())])?;
    Ok(class)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(body: Value) -> Result<CreateRequest, Failure> {
        CreateRequest::parse(body.as_object().unwrap())
    }

    #[test]
    fn what_is_absent_has_its_default() {
        let request = parse(json!({"alias": "a", "capacity": 10})).unwrap();
        assert_eq!((request.provisioning, request.protocol), (Provisioning::Thick, Protocol::Nvmeof));
        assert_eq!(request.class, crate::model::volume::tests::class());
    }

    #[test]
    fn what_cinder_sends() {
        let request = parse(json!({
            "alias": "volume-1", "capacity": 10, "protocol": "NVMeoF", "provisioningType": "THICK",
            "reservedSpacePercentage": 0, "uuid": "6BA7B810-9dad-41d1-80b4-00c04fd430c8",
            "storageClass": {"allowSpan": true, "blockSize": 4096, "desiredBWPerGB": 0,
                "desiredIOPSPerGB": 0, "maxBWPerGB": 0, "maxIOPSPerGB": 0, "maxReplicaDownTime": 0,
                "numReplicas": 1, "sameRackAllowed": false, "zones": [null]},
        }));
        let request = request.unwrap();
        assert!(request.class.zones.is_empty());
        assert_eq!(request.uuid.unwrap().to_string(), "6ba7b810-9dad-41d1-80b4-00c04fd430c8");
    }

    #[test]
    fn each_wrong_field_is_named() {
        let wrong = [
            ("alias", json!({"alias": ""})),
            ("alias", json!({"alias": null})),
            ("alias", json!({"alias": "a/b"})),
            ("capacity", json!({"capacity": 0})),
            ("capacity", json!({"capacity": -1})),
            ("capacity", json!({"capacity": "10"})),
            ("capacity", json!({"capacity": 1.5})),
            ("capacity", json!({"capacity": 1u64 << 40})),
            ("capacity", json!({"capacity": null})),
            ("uuid", json!({"uuid": "6ba7b8109dad41d180b400c04fd430c8"})),
            ("provisioningType", json!({"provisioningType": "thin"})),
            ("protocol", json!({"protocol": "iSCSI"})),
            ("reservedSpacePercentage", json!({"provisioningType": "THIN", "reservedSpacePercentage": 101})),
            ("storageClass", json!({"storageClass": [1]})),
            ("storageClass.blockSize", json!({"storageClass": {"blockSize": 1}})),
            ("storageClass.zones", json!({"storageClass": {"zones": "nova"}})),
            ("storageClass.maxIOPSPerGB", json!({"storageClass": {"maxIOPSPerGB": -5}})),
            ("storageClass.name", json!({"storageClass": {"shareSSDBetweenVolumes": false}})),
            ("storageClass.replication", json!({"storageClass": {"replication": "none"}})),
        ];
        for (field, change) in wrong {
            let mut body = json!({"alias": "a", "capacity": 1});
            body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            let failure = parse(body).unwrap_err();
            assert_eq!(failure.code, Code::InvalidInput, "{change}");
            assert!(failure.description.starts_with(field), "{}", failure.description);
        }
    }

    #[test]
    fn the_reserve_of_a_thick_volume_is_ignored() {
        let body = json!({"alias": "a", "capacity": 1, "reservedSpacePercentage": 101});
        assert_eq!(parse(body).unwrap().reserve_percent, 0);
    }

    #[test]
    fn replicas_by_number_and_protocol() {
        let table = [(0, "NVMeoF", false), (1, "NVMeoF", true), (1, "Local", true), (2, "Local", false)];
        let refused = [(2, "NVMeoF", false), (3, "NVMeoF", false), (4, "NVMeoF", false)];
        for (replicas, protocol, allowed) in table.into_iter().chain(refused) {
            let class = json!({"numReplicas": replicas});
            let body = json!({"alias": "a", "capacity": 1, "protocol": protocol, "storageClass": class});
            let checked = parse(body).unwrap().check_replicas();
            assert_eq!(checked.is_ok(), allowed, "{replicas} {protocol}");
        }
    }
}

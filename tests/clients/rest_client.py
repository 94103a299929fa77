"""Sends every request that Cinder's `rest_client` knows, and judges what it makes of the answers."""

import sys
import uuid

from cinder.volume.drivers.kioxia import entities, rest_client


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def ok(response):
    expect(response.status == "Success", (response.status, response.description))
    return response.prov_entities


class Recorded:
    """The client itself, and the names of its methods that were called."""

    def __init__(self, provisioner):
        self.provisioner, self.called = provisioner, set()

    def __getattr__(self, name):
        self.called.add(name)
        return getattr(self.provisioner, name)


# The methods of the client that send no request of their own.
HELPERS = {
    "get_non_implemented", "provisioner_delete_request", "provisioner_get_request", "provisioner_patch_request",
    "provisioner_post_request", "provisioner_put_request", "result_support", "set_token", "switch_path",
}


def requests():
    methods = {name for name, value in vars(rest_client.KioxiaProvisioner).items() if callable(value)}
    return {name for name in methods if not name.startswith("_")} - HELPERS


def client(url, certificate, token):
    host, port = url.removeprefix("https://").rstrip("/").rsplit(":", 1)
    return rest_client.KioxiaProvisioner([host], certificate, token, port)


def snapshots(provisioner, volume):
    snapshot, shows, clone = (str(uuid.uuid4()) for _ in range(3))
    ok(provisioner.create_snapshot(entities.SnapshotCreate("snapshot-1", volume, 50, snapshot)))
    for listed in (
        provisioner.get_snapshots(),
        provisioner.get_snapshots(snapshot_uuid=snapshot),
        provisioner.get_snapshots_by_vol(volume),
        provisioner.get_snapshots_by_alias("snapshot-1"),
    ):
        [found] = [s for s in ok(listed) if s.snapshotID == snapshot]
        expect(found.volumeID == volume and found.capacity == 1 << 30 and found.timestamp > 0, found)
    expect(ok(provisioner.get_snapshots(snapshot_uuid=str(uuid.uuid4()))) == [], "an unknown one is an empty list")
    alias = "shows-" + shows
    ok(provisioner.create_snapshot_volume(entities.SnapshotVolumeCreate(alias, snapshot, True, volumeID=shows)))
    [view] = ok(provisioner.get_volumes_by_uuid(shows))
    expect(view.writable is True and view.snapshotID == snapshot, view)
    expect(provisioner.delete_snapshot(snapshot).status == "VolumeIsInUse", "a volume shows it")
    ok(provisioner.clone_volume(entities.CloneEntity(volume, "clone-" + clone, clone)))
    for made in (shows, clone):
        ok(provisioner.delete_volume(made))
    ok(provisioner.delete_snapshot(snapshot))
    expect(provisioner.delete_snapshot(snapshot).status == "NotExists", "it is gone")


def tenants(provisioner):
    made = str(uuid.uuid4())
    ok(provisioner.create_tenant(entities.TenantEntity(1, 0, 0, made, "acme")))
    twice = provisioner.create_tenant(entities.TenantEntity(1, 0, 0, made, "acme"))
    expect(twice.status == "TenantAlreadyExists", twice.status)
    ok(provisioner.modify_tenant(entities.TenantEntity(2, 100, 0), made))
    [tenant] = [t for t in ok(provisioner.get_tenants()) if t.tenantId == made]
    expect((tenant.name, tenant.capacity, tenant.consumedCapacity) == ("acme", 2, 0), tenant)
    storage_class = entities.StorageClass(1, None, None, None, 4096, 0, 0, 0, 0, False, 0, None, True)

    def volume(gib):
        return entities.VolumeCreate("tenants", gib, storage_class, "THICK", 0, "NVMeoF", str(uuid.uuid4()))

    over = provisioner.create_volume(volume(3), made)
    expect(over.status == "TenantCapacityExceeded", over.status)
    ok(provisioner.create_volume(volume(1), made))
    [own] = ok(provisioner.get_volumes(made))
    expect(all(v.uuid != own.uuid for v in ok(provisioner.get_volumes())), "it is that tenant's alone")
    expect(provisioner.delete_tenant(made).status == "TenantHasVolumes", "it has one")
    ok(provisioner.delete_volume(own.uuid, made))
    ok(provisioner.delete_tenant(made))
    expect(provisioner.delete_tenant(made).status == "TenantNotFound", "it is gone")


def tasks(provisioner):
    expect(len(ok(provisioner.get_inventory())["inventorySamples"]) > 0, "a sample is taken")
    ok(provisioner.reset_inventory())
    types = {task.type for task in ok(provisioner.get_tasks())}
    expect({"FetchInventory", "ResetInventory"} <= types, types)
    for task in ok(provisioner.get_tasks()):
        expect(task.state == "FINISHED", task)
        ok(provisioner.remove_task(task.taskId))
    expect(ok(provisioner.get_tasks()) == [], "all are forgotten")


def replicas(provisioner, simple):
    """A volume that was made with one copy keeps that one; the server has one storage node."""
    lists = entities.Replica(False, [], [], [])
    refused = [
        (provisioner.add_replica(lists, simple), "NotReplicated"),
        (provisioner.delete_replica(simple, simple), "NotReplicated"),
        (provisioner.delete_replica_confirm(simple, simple), "NoTerminating"),
        (provisioner.set_replica_state(simple, simple, "Available"), "NotReplicated"),
        (provisioner.set_replica_state(simple, simple, "Unknown"), "InvalidInput"),
        (provisioner.migrate_volume(simple, simple), "NotReplicated"),
        (provisioner.migrate_volume(str(uuid.uuid4()), simple), "VolumeNotFound"),
    ]
    for answer, status in refused:
        expect(answer.status == status, (answer.status, status))


def volumes(provisioner, volume):
    ok(provisioner.expand_volume(2, volume))
    [grown] = ok(provisioner.get_volumes_by_uuid(volume))
    expect(grown.capacity == 2 << 30, grown)
    expect(provisioner.expand_volume(1, volume).status == "InvalidSize", "volumes do not shrink")


def publications(provisioner, volume, backend):
    host = str(uuid.uuid4())
    ok(provisioner.host_probe("nqn.2014-08.org.nvmexpress:uuid:" + host, host, "rest-client", "Agent", "1", 0))
    [found] = ok(provisioner.get_hosts_by_name("rest-client"))
    expect(found.uuid == host and any(h.uuid == host for h in ok(provisioner.get_hosts())), found)
    ok(provisioner.publish(host, volume))
    expect(provisioner.publish(host, volume).status == "AlreadyPublished", "it is already")
    for named in ((host, volume), (host, None), (None, volume)):
        [target] = ok(provisioner.get_targets(*named))
        expect(target.backend.persistentID == backend, target)
    ok(provisioner.unpublish(host, volume))
    expect(provisioner.unpublish(host, volume).status == "VolumeNotPublished", "it is not any more")
    expect(ok(provisioner.get_targets(host, volume)) == [], "nor has it a target")
    ok(provisioner.publish(host, volume))
    ok(provisioner.delete_host(host))
    expect(ok(provisioner.get_targets(host, volume)) == [], "the host took its publications along")


def administration(provisioner):
    license_ = ok(provisioner.get_license())
    expect(license_.type in ("POC", "PRODUCTION"), license_)
    expect(provisioner.set_license("no license").status == "InvalidLicense", "it is none")
    expect(ok(provisioner.get_syslogs()) == [], "none is configured")
    message = entities.ForwardEntity("EVENT", "INFO", "host", "rest-client", "a message", {"key": "value"})
    nobody = provisioner.forward_log(message)
    expect(nobody.status == "SyslogNotAvailable", (nobody.status, nobody.description))
    unknown = provisioner.update_task("1000000", "nobody", "FINISHED", 100, "done")
    expect(unknown.status == "TaskNotFound", unknown.status)


def other_nodes(provisioner):
    """Backends of other software are not let in, and where nobody listens there is none."""
    nobody = entities.Backend(mgmt_ips=["127.0.0.1"], persistentID="02:00:5e:00:53:01")
    for answer, status in (
        (provisioner.add_backend(nobody), "NotAvailable"),
        (provisioner.delete_backend("02:00:5e:00:53:02"), "NotExists"),
    ):
        expect(answer.status == status, (answer.status, answer.description))


def main(url, credentials):
    with open(credentials + "/token", encoding="ascii") as file:
        token = file.read().strip()
    provisioner = Recorded(client(url, credentials + "/ssdtoolbox.pem", token))

    info = ok(provisioner.get_info())
    expect(info.version == "1.1" and info.totalFreeSpace > 0, info)
    expect(provisioner.get_provisioner_info().version == info.version, info)
    [backend] = ok(provisioner.get_backends())
    expect(backend.state == "Available" and backend.totalCapacity > 0, backend)
    zone = backend.zone
    # Every unset field goes out as null: nothing but the rack may change.
    ok(provisioner.update_backend(entities.Backend(rack="r1"), backend.persistentID))
    [after] = ok(provisioner.get_backend_by_id(backend.persistentID))
    expect((after.rack, after.zone, after.inUse) == ("r1", zone, backend.inUse), after)

    volume = str(uuid.uuid4())
    alias = "volume-" + volume
    storage_class = entities.StorageClass(1, None, None, None, 4096, 0, 0, 0, 0, False, 0, None, True)
    request = entities.VolumeCreate(alias, 1, storage_class, "THICK", 0, "NVMeoF", volume)
    ok(provisioner.create_volume(request))
    expect(provisioner.create_volume(request).status == "AlreadyExists", "a UUID is taken once")
    [by_alias] = ok(provisioner.get_volumes_by_alias(alias))
    expect(by_alias.uuid == volume, by_alias)
    expect(any(v.uuid == volume for v in ok(provisioner.get_volumes())), "the list has it")
    expect(ok(provisioner.get_volumes_by_uuid(str(uuid.uuid4()))) == [], "an unknown volume is an empty list")

    publications(provisioner, volume, backend.persistentID)
    snapshots(provisioner, volume)
    replicas(provisioner, volume)
    volumes(provisioner, volume)
    ok(provisioner.delete_volume(volume))
    tenants(provisioner)
    tasks(provisioner)

    administration(provisioner)
    other_nodes(provisioner)
    every = requests()
    expect(len(every) == 45 and every <= provisioner.called, every - provisioner.called)

    # A stranger, with a certificate of nobody's: the text that the client looks for.
    stranger = client(url, credentials + "/ssdtoolbox.pem", "Unknown")
    stranger.http.connection_pool_kw.pop("cert_file")
    expect(stranger.get_tenants().status == "Bad credentials", "a stranger is told so")


if __name__ == "__main__":
    main(*sys.argv[1:])

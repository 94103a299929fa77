"""Runs the OpenStack Cinder `kioxia` volume driver, unchanged, through a volume's life.

The driver comes from PyPI. Only the framework around it (oslo, Cinder's base classes) is stood in for: none of
it takes part in the conversation with the server.
"""

import pathlib
import sys
import types
import uuid


def stand_in(name, **members):
    """Makes an importable module of the given members."""
    module = types.ModuleType(name)
    vars(module).update(members)
    sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    if parent in sys.modules:
        setattr(sys.modules[parent], child, module)
    return module


class BackendError(Exception):
    """Cinder's VolumeBackendAPIException."""

    def __init__(self, data=None):
        super().__init__(data)


class Option:
    def __init__(self, name, default=None, **_):
        self.name, self.default = name, default


class Configuration:
    """A backend's section of cinder.conf."""

    volume_backend_name = "basalt"

    def __init__(self, **values):
        self.values = values

    def append_config_values(self, options):
        self.values = {**{o.name: o.default for o in options}, **self.values}

    def safe_get(self, name):
        return self.values[name]


class BaseDriver:
    def __init__(self, configuration):
        self.configuration = configuration


def load_driver():
    import cinder  # the extracted files, a namespace package

    class Silent:
        def exception(self, *args):
            raise AssertionError(args)

        error = exception

    stand_in("oslo_config")
    stand_in(
        "oslo_config.cfg",
        StrOpt=Option,
        IntOpt=Option,
        BoolOpt=Option,
        CONF=types.SimpleNamespace(register_opts=lambda options: None),
    )
    stand_in("oslo_log")
    stand_in("oslo_log.log", getLogger=lambda name: Silent())
    stand_in("cinder.common")
    stand_in("cinder.common.constants", NVMEOF_VARIANT_1="NVMe-oF")
    cinder.exception = stand_in("cinder.exception", VolumeBackendAPIException=BackendError)
    cinder.interface = stand_in("cinder.interface", volumedriver=lambda driver: driver)
    stand_in("cinder.i18n", _=lambda text: text)
    import cinder.volume

    cinder.volume.driver = stand_in("cinder.volume.driver", BaseVD=BaseDriver)
    from cinder.volume.drivers.kioxia import kumoscale

    return kumoscale.KumoScaleBaseVolumeDriver


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def refused(action, *args):
    try:
        action(*args)
    except BackendError as error:
        return str(error)
    raise AssertionError(f"{action.__name__}{args} should have been refused")


def volume_of(size_gib):
    volume = {"id": str(uuid.uuid4()), "size": size_gib}
    volume["name"] = "volume-" + volume["id"]
    return volume


def life_of_a_volume(driver, size_gib):
    volume = volume_of(size_gib)
    connector = {
        "uuid": str(uuid.uuid4()),
        "nqn": f"nqn.2014-08.org.nvmexpress:uuid:{uuid.uuid4()}",
        "host": "Compute-1.example.org",
    }

    driver._update_volume_stats()
    before = driver._stats
    expect(before["total_capacity_gb"] >= before["free_capacity_gb"] >= size_gib, before)

    driver.create_volume(volume)
    expect("taken" in refused(driver.create_volume, volume), "a second create says what is taken")
    driver._update_volume_stats()
    expect(driver._stats["free_capacity_gb"] == before["free_capacity_gb"] - size_gib, driver._stats)

    connection = driver.initialize_connection(volume, connector)
    expect(connection["driver_volume_type"] == "nvmeof", connection)
    data = connection["data"]
    expect(data["vol_uuid"] == volume["id"] and data["alias"] == volume["name"], data)
    expect(data["writable"] is True and data["replica_count"] == 1, data)
    [replica] = data["volume_replicas"]
    expect(replica["vol_uuid"] == volume["id"], replica)
    expect(replica["target_nqn"].startswith("nqn."), replica)
    expect(replica["portals"], replica)
    for ip, port, transport in replica["portals"]:
        expect(transport == "TCP_IP" and int(port) > 0 and ip not in ("0.0.0.0", "::"), replica)
    expect(driver.initialize_connection(volume, connector) == connection, "attaching again is the same")

    driver.extend_volume(volume, size_gib + 1)
    refused(driver.extend_volume, volume, size_gib)
    refused(driver.delete_volume, volume)

    driver.terminate_connection(volume, connector)
    driver.terminate_connection(volume, connector)
    driver.initialize_connection(volume, connector)
    driver.terminate_connection(volume, None)  # force-detach
    driver.delete_volume(volume)
    driver.delete_volume(volume)
    driver._update_volume_stats()
    expect(driver._stats == before, (before, driver._stats))


def life_of_a_snapshot(driver, size_gib):
    """In Cinder's order: a snapshot goes before its volume, and after the volumes that were made of it."""
    driver._update_volume_stats()
    before = driver._stats
    volume = volume_of(size_gib)
    driver.create_volume(volume)
    snapshot = {"id": str(uuid.uuid4()), "volume_id": volume["id"], "volume": volume}
    snapshot["name"] = "snapshot-" + snapshot["id"]
    driver.create_snapshot(snapshot)
    expect("taken" in refused(driver.create_snapshot, snapshot), "a second create says what is taken")
    expect("has snapshots" in refused(driver.delete_volume, volume), "a snapshot keeps its volume")

    first, second, clone = volume_of(size_gib), volume_of(size_gib), volume_of(size_gib + 1)
    driver.create_volume_from_snapshot(first, snapshot)
    driver.create_volume_from_snapshot(second, snapshot)
    driver.create_cloned_volume(clone, volume)
    driver.extend_volume(clone, size_gib + 2)
    refused(driver.extend_volume, first, size_gib + 1)
    connector = {
        "uuid": str(uuid.uuid4()),
        "nqn": f"nqn.2014-08.org.nvmexpress:uuid:{uuid.uuid4()}",
        "host": "compute-2",
    }
    writable = driver.configuration.safe_get("kioxia_writable")
    for attached, can_write in ((first, writable), (clone, True)):
        data = driver.initialize_connection(attached, connector)["data"]
        expect(data["vol_uuid"] == attached["id"] and data["writable"] is can_write, data)
        driver.terminate_connection(attached, connector)

    expect("has volumes" in refused(driver.delete_snapshot, snapshot), "volumes still show it")
    driver.delete_volume(first)
    driver.delete_volume(second)
    driver.delete_snapshot(snapshot)
    driver.delete_snapshot(snapshot)
    driver.delete_volume(volume)
    driver.delete_volume(clone)
    driver._update_volume_stats()
    expect(driver._stats == before, (before, driver._stats))


def life_of_a_mirrored_volume(driver, size_gib, copies):
    """The host mirrors the copies: each has a target of its own, and they are grown and deleted together."""
    volume = volume_of(size_gib)
    connector = {
        "uuid": str(uuid.uuid4()),
        "nqn": f"nqn.2014-08.org.nvmexpress:uuid:{uuid.uuid4()}",
        "host": "compute-3",
    }
    driver._update_volume_stats()
    before = driver._stats
    driver.create_volume(volume)
    driver._update_volume_stats()
    expect(driver._stats["free_capacity_gb"] == before["free_capacity_gb"] - copies * size_gib, driver._stats)

    connection = driver.initialize_connection(volume, connector)
    data = connection["data"]
    expect(data["vol_uuid"] == volume["id"] and data["alias"] == volume["name"][:27], data)
    expect(data["writable"] is True and data["replica_count"] == copies, data)
    replicas = data["volume_replicas"]
    for what in ("vol_uuid", "target_nqn"):
        expect(len({replica[what] for replica in replicas}) == copies, data)
    expect(all(replica["portals"] for replica in replicas), data)
    expect(driver.initialize_connection(volume, connector) == connection, "attaching again is the same")

    driver.extend_volume(volume, size_gib + 1)
    refused(driver.delete_volume, volume)
    snapshot = {"id": str(uuid.uuid4()), "volume_id": volume["id"], "volume": volume, "name": "snapshot-1"}
    expect("several copies" in refused(driver.create_snapshot, snapshot), "a snapshot of which copy?")
    expect("several copies" in refused(driver.create_cloned_volume, volume_of(size_gib), volume), "and a clone?")
    driver.terminate_connection(volume, connector)
    driver.terminate_connection(volume, connector)
    driver.delete_volume(volume)
    driver._update_volume_stats()
    expect(driver._stats == before, (before, driver._stats))


def availability_zone(driver):
    """Cinder asks for its zone in each volume; a node has it because an operator said so."""
    from cinder.volume.drivers.kioxia import entities

    volume = {**volume_of(1), "availability_zone": "nova"}
    expect("zone" in refused(driver.create_volume, volume), "no node is in that zone")
    [backend] = driver.kumoscale.get_backends().prov_entities
    for zone, action in (("nova", driver.create_volume), ("", driver.delete_volume)):
        said = driver.kumoscale.update_backend(entities.Backend(zone=zone), backend.persistentID)
        expect(said.status == "Success", said.description)
        action(volume)


def manual():
    """docs/cinder.md tells what each option of the driver means here."""
    from cinder.volume.drivers.kioxia import kumoscale

    page = (pathlib.Path(__file__).parents[2] / "docs/cinder.md").read_text(encoding="utf-8")
    untold = [o.name for o in kumoscale.KUMOSCALE_OPTS if f"`{o.name}`" not in page]
    expect(untold == [], f"docs/cinder.md does not tell {untold}")


def main(url, credentials, copies="1"):
    driver_class = load_driver()
    with open(credentials + "/token", encoding="ascii") as file:
        token = file.read().strip()
    if int(copies) > 1:
        settings = {"kioxia_num_replicas": int(copies), "kioxia_token": token}
        configuration = Configuration(kioxia_url=url, kioxia_cafile=credentials + "/ssdtoolbox.pem", **settings)
        life_of_a_mirrored_volume(driver_class(configuration=configuration), 2, int(copies))
        return
    for settings in (
        {"kioxia_token": None},  # the certificate alone
        {"kioxia_token": token, "kioxia_provisioning_type": "THIN", "kioxia_block_size": 512,
         "kioxia_vol_reserved_space_percentage": 100, "kioxia_writable": True},
    ):
        configuration = Configuration(kioxia_url=url, kioxia_cafile=credentials + "/ssdtoolbox.pem", **settings)
        driver = driver_class(configuration=configuration)
        life_of_a_volume(driver, 2)
        life_of_a_snapshot(driver, 1)
        availability_zone(driver)
    manual()


if __name__ == "__main__":
    main(*sys.argv[1:])

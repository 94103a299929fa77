//! Opcodes and the other small numbers that select what a command does.

use super::open_enum;

open_enum! {
    /// Admin command opcodes (Base §5).
    AdminOpcode: u8 {
        GET_LOG_PAGE = 0x02,
        IDENTIFY = 0x06,
        ABORT = 0x08,
        SET_FEATURES = 0x09,
        GET_FEATURES = 0x0A,
        ASYNC_EVENT_REQUEST = 0x0C,
        KEEP_ALIVE = 0x18,
        CROSS_CONTROLLER_RESET = 0x38,
        FABRICS = 0x7F,
        GET_LBA_STATUS = 0x86,
    }
}

open_enum! {
    /// NVM command set opcodes (NVM §3).
    NvmOpcode: u8 {
        FLUSH = 0x00,
        WRITE = 0x01,
        READ = 0x02,
        WRITE_UNCORRECTABLE = 0x04,
        COMPARE = 0x05,
        WRITE_ZEROES = 0x08,
        DATASET_MANAGEMENT = 0x09,
        VERIFY = 0x0C,
        RESERVATION_REGISTER = 0x0D,
        RESERVATION_REPORT = 0x0E,
        RESERVATION_ACQUIRE = 0x11,
        RESERVATION_RELEASE = 0x15,
        COPY = 0x19,
        FABRICS = 0x7F,
    }
}

open_enum! {
    /// Action Type of Get LBA Status (NVM §4.2.1).
    LbaStatusAction: u8 {
        ALLOCATED = 0x02,
        SCAN_UNRECOVERABLE = 0x10,
        TRACKED_UNRECOVERABLE = 0x11,
    }
}

open_enum! {
    /// Fabrics Command Type (Base §6).
    FabricsType: u8 {
        PROPERTY_SET = 0x00,
        CONNECT = 0x01,
        PROPERTY_GET = 0x04,
        AUTHENTICATION_SEND = 0x05,
        AUTHENTICATION_RECEIVE = 0x06,
        DISCONNECT = 0x08,
    }
}

open_enum! {
    /// Controller or Namespace Structure of Identify (Base §5.1.13).
    Cns: u8 {
        NAMESPACE = 0x00,
        CONTROLLER = 0x01,
        ACTIVE_NAMESPACES = 0x02,
        NAMESPACE_DESCRIPTORS = 0x03,
        COMMAND_SET_NAMESPACE = 0x05,
        COMMAND_SET_CONTROLLER = 0x06,
        COMMAND_SET_ACTIVE_NAMESPACES = 0x07,
        INDEPENDENT_NAMESPACE = 0x08,
        ENDURANCE_GROUPS = 0x19,
        COMMAND_SETS = 0x1C,
    }
}

open_enum! {
    /// Log Page Identifier (Base §5.1.12).
    LogPageId: u8 {
        SUPPORTED_LOG_PAGES = 0x00,
        ERROR = 0x01,
        SMART = 0x02,
        FIRMWARE_SLOT = 0x03,
        CHANGED_NAMESPACES = 0x04,
        COMMAND_EFFECTS = 0x05,
        TELEMETRY_HOST = 0x07,
        TELEMETRY_CONTROLLER = 0x08,
        ENDURANCE_GROUP = 0x09,
        ANA = 0x0C,
        FEATURE_EFFECTS = 0x12,
        MI_COMMAND_EFFECTS = 0x13,
        DISCOVERY = 0x70,
        RESERVATION_NOTIFICATION = 0x80,
    }
}

open_enum! {
    /// Feature Identifier (Base §5.1.25).
    FeatureId: u8 {
        ARBITRATION = 0x01,
        POWER_MANAGEMENT = 0x02,
        TEMPERATURE_THRESHOLD = 0x04,
        ERROR_RECOVERY = 0x05,
        VOLATILE_WRITE_CACHE = 0x06,
        NUMBER_OF_QUEUES = 0x07,
        WRITE_ATOMICITY = 0x0A,
        ASYNC_EVENT_CONFIGURATION = 0x0B,
        TIMESTAMP = 0x0E,
        KEEP_ALIVE_TIMER = 0x0F,
        HOST_BEHAVIOR_SUPPORT = 0x16,
        COMMAND_SET_PROFILE = 0x19,
        HOST_IDENTIFIER = 0x81,
        RESERVATION_NOTIFICATION_MASK = 0x82,
        RESERVATION_PERSISTENCE = 0x83,
    }
}

/// Command Set Identifier of the NVM command set, the only one here.
pub const CSI_NVM: u8 = 0;
/// The NSID that means all namespaces.
pub const NSID_ALL: u32 = 0xFFFF_FFFF;

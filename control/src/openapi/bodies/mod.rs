//! What requests carry, as schemas. The handlers read bodies field by field (`fields`), because each refusal must name
//! its field; `null` is absent everywhere.

mod admin;
mod role;
mod session;
mod storage;

pub(crate) use admin::{
    AdminBackupPost, AdminCertsPost, AdminLicensePost, AdminRestorePost, AdminSettingsPost, AdminSetup,
    AdminStoragePost, AdminUpdatePost,
};
pub(crate) use role::{
    PolicyCreate, ResourceCreate, ResourceWrite, RoleCreate, RoleHostAdd, TenantOfRolesChange,
    TenantOfRolesCreate, UserTokenCreate,
};
pub(crate) use session::{
    AccessTokenChange, AccessTokenCreate, ClusterSettingsPut, GroupCreate, GroupReplace, IdentityExpand,
    IdentityGiven, Login, MemberAdd, NewPassword, PasswordChange, UserCreate, UserReplace,
};
pub(crate) use storage::{
    AuthServer, BackendAdd, BackendProbe, BackendUpdate, DriveAdd, DriveGrow, HostProbe, LicenseInstall,
    LogForward, NodeJoin, PathStateSet, PlacementExplain, Publish, ReplicaAdd, SecretsPut, SnapshotCreate,
    SnapshotGroupCreate, SnapshotVolumeCreate, TaskUpdate, TenantCreate, TenantUpdate, TlsKeyPut,
    TokenCreate, Unpublish, VolumeClone, VolumeCreate, VolumeExpand, VolumeMigrate,
};

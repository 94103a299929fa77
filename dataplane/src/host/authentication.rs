//! Telling a controller who we are: `nvmeof::auth`'s machine on a queue.

use nvmeof::{
    auth::{Credentials, DhGroup, HashFunction, HostAuthentication, HostEvent, HostStep},
    host::sqe,
    transport::HostTransfer,
    wire::{Cqe, connect::AUTHENTICATION_REQUIRED},
};

use super::{Answer, HostError, HostOptions, HostQueue, Payload, payload_for};
use crate::rt;

/// Offered to the controller; its largest message is below.
const RECEIVE_BYTES: u32 = 2048;

/// Authenticates a queue if the response to its Connect asks for it, or if the controller shall prove itself: an impostor
/// would ask for nothing.
pub(super) async fn after_connect(
    queue: &HostQueue,
    options: &HostOptions,
    response: &Cqe,
) -> Result<(), HostError> {
    let required = response.result.get() & u64::from(AUTHENTICATION_REQUIRED) != 0;
    let two_way = options.credentials.as_ref().is_some_and(|ours| ours.controller.is_some());
    if !response.status().is_success() || !(required || two_way) {
        return Ok(());
    }
    let credentials = options.credentials.clone().ok_or(HostError::NoSecret)?;
    authenticate(queue, options, credentials).await
}

/// Authenticates a queue, now.
pub(super) async fn authenticate(
    queue: &HostQueue,
    options: &HostOptions,
    credentials: Credentials,
) -> Result<(), HostError> {
    let wanted = nvmeof::auth::HostOptions {
        host: options.host.clone(),
        subsystem: options.subsystem.clone(),
        credentials,
        hashes: HashFunction::ALL.to_vec(),
        groups: DhGroup::ALL.to_vec(),
    };
    let transaction = rt::random_u64() as u16;
    let (mut machine, mut step) = HostAuthentication::start(wanted, transaction, &mut rt::random_bytes);
    loop {
        step = match step {
            HostStep::Send(message) => {
                let len = message.len() as u32;
                let payload = payload_for(HostTransfer::InCapsule(len), &message).await;
                checked(queue.command(sqe::authentication_send(len), payload).await?)?;
                machine.next(HostEvent::Sent)
            }
            HostStep::Receive => {
                let payload = Payload::In(RECEIVE_BYTES);
                let receive = sqe::authentication_receive(RECEIVE_BYTES);
                let answer = checked(queue.command(receive, payload).await?)?;
                let data = answer.data.as_deref().unwrap_or_default();
                machine.next(HostEvent::Received(&data[..answer.received as usize]))
            }
            HostStep::Compute(work) => {
                let owner = options.address.ip();
                let worked = rt::offload(owner, move || work.compute()).await;
                machine.next(HostEvent::Computed(worked.map_err(|rt::Busy| busy())?))
            }
            HostStep::Authenticated => return Ok(()),
            HostStep::Failed(failure) => return Err(failure.into()),
        };
    }
}

fn checked(answer: Answer) -> Result<Answer, HostError> {
    if answer.status().is_success() {
        Ok(answer)
    } else {
        Err(HostError::AuthenticationRefused(answer.status()))
    }
}

/// Too many of our own queues authenticate at once.
fn busy() -> HostError {
    std::io::Error::from(std::io::ErrorKind::ResourceBusy).into()
}

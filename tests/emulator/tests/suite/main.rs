//! Real TLS and HTTP against the emulator: every rule, every fault.

#[cfg(test)]
mod certificates;
#[cfg(test)]
mod command;
#[cfg(test)]
mod control;
#[cfg(test)]
mod credentials;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod federated;
#[cfg(test)]
mod files;
#[cfg(test)]
mod grants;
#[cfg(test)]
mod login;
#[cfg(test)]
mod metadata;
#[cfg(test)]
mod mtls;
#[cfg(test)]
mod peers;
#[cfg(test)]
mod platforms;
#[cfg(test)]
mod protocol;
#[cfg(test)]
mod scopes;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod support;

//! The bounds of the host that a user may notice, with their reasons; what one module alone needs stands where it is used.
//! The engine's own are in `limits` of `edgepass-core`.

use std::time::Duration;

/// Linear memory of one component instance, but for users' tokens, bytes. The engine's own bounds (callers waiting, tokens
/// kept, response size) keep a correct guest under two thirds of this; the rest is room for fragmentation.
const GUEST_MEMORY_BYTES: usize = 96 * 1024 * 1024;

/// Linear memory of one component instance in all, however many memories it has, bytes: with what the tokens of users may
/// take, and half as much again for what an allocator loses between entries of many sizes. Nothing of it is taken before
/// there are users. Beyond it an allocation fails and the instance is replaced.
pub const fn guest_memory_bytes(user_token_bytes: usize) -> usize {
    GUEST_MEMORY_BYTES + user_token_bytes / 2 * 3
}

/// A configuration file, bytes: four times what the engine accepts, so that it is the engine that refuses and explains.
pub const CONFIG_BYTES: u64 = 4 * edgepass_core::limits::MAX_CONFIG_BYTES as u64;

/// A file whose name a server's answer gives, bytes: the bound of MSAL and the Azure SDKs for the keys of Azure Arc's agent.
pub const CHALLENGE_FILE_BYTES: u64 = 4096;

/// Memories of one store. The provider has one; a component that was composed of several has one for each.
pub const MEMORIES: usize = 8;

/// Core instances of one store. The provider is made of some five (its module, and what adapts its imports), a
/// composition of as many for each of its parts.
pub const CORE_INSTANCES: usize = 64;

/// Tables of one store: one for each of those instances at the most.
pub const TABLES: usize = 64;

/// Memories, tables and core instances of an application's store, of each: one that is composed of others has some for every
/// part.
pub const APPLICATION_PARTS: usize = 256;

/// Elements of all tables of one store, eight bytes each. The provider has some hundreds of functions to point at.
pub const TABLE_ELEMENTS: usize = 100_000;

/// How long a component may take to start, milliseconds of waiting included. The provider starts in less than one;
/// this is for a component that asks the host for something before it is there.
pub const INSTANTIATION_DEADLINE: Duration = Duration::from_secs(10);

/// How often the watchdog looks at a running guest. Shorter costs wake-ups, longer makes the bound below coarse.
pub const WATCHDOG_TICK: Duration = Duration::from_millis(10);

/// How many ticks in a row a guest may run without yielding. The longest legitimate stretch is parsing a full-size
/// response, some milliseconds; this is half a second, because the threads of a busy machine are not always scheduled.
pub const WATCHDOG_TICKS: u64 = 50;

/// Ticks without a running guest after which the watchdog thread goes to sleep until it is called: an idle process
/// should not wake a hundred times a second.
pub const WATCHDOG_IDLE_TICKS: u32 = 100;

/// Calls inside the component at once. The engine answers `busy` itself beyond its own bound; this one keeps the queue
/// in the host, where waiting is cheap.
pub const CALLS_IN_COMPONENT: usize = 2048;

/// Notices that are taken from the component with one call. The engine keeps a few; a component that has ever more is none of
/// ours.
pub const NOTICES_AT_ONCE: usize = 64;

/// Characters of a notice in the log.
pub const NOTICE_CHARS: usize = 1024;

/// Calls queued for the component. The caller after that gets `busy` at once instead of a place in a line that it
/// would only leave by its timeout.
pub const CALLS_QUEUED: usize = 2048;

/// Of [`CALLS_IN_COMPONENT`], those that are made for users at the most: the rest is for the application's own, which a
/// server that does not answer for its users must not keep from their tokens.
pub const USERS_CALLS_IN_COMPONENT: usize = CALLS_IN_COMPONENT / 2;

/// Calls for users that are queued for the component, besides [`CALLS_QUEUED`] of the application's own, which go first.
pub const USERS_CALLS_QUEUED: usize = CALLS_QUEUED / 2;

/// How long a caller waits for the component in all. The engine ends a flight by itself much earlier
/// (`FLIGHT_TIMEOUT_MS` of its limits); this one is for a component that does not.
pub const CALL_DEADLINE: Duration = Duration::from_secs(60);

/// How often a call is started again in a fresh instance after the one that ran it trapped. Once: the call may be
/// the cause of the trap.
pub const CALL_RETRIES: u8 = 1;

/// First wait before a fresh instance when the last one lived shorter than [`INSTANCE_STABLE`]; doubled each time.
pub const RESTART_BACKOFF: Duration = Duration::from_millis(50);

/// The longest such wait: a component that always traps must not take a processor for itself.
pub const MAX_RESTART_BACKOFF: Duration = Duration::from_secs(5);

/// An instance that lived this long was healthy; the next one starts without waiting.
pub const INSTANCE_STABLE: Duration = Duration::from_secs(10);

/// Tokens in the read-through cache of the handle; the component keeps the real cache. Entries beyond it are dropped
/// at random, and cost a call into the component when they are next asked for.
pub const CACHED_TOKENS: usize = 4096;

/// Digests of refused tokens that the handle remembers, so that it does not keep one of them as good. One that is
/// pushed out is kept at the most until it is reported again.
pub const REFUSED_TOKENS: usize = 256;

/// Establishing a TCP connection. Token endpoints are a few milliseconds away; a lost SYN is retransmitted after one
/// and after three seconds.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection in all: name, TCP, the tunnel of a proxy, TLS. Less than what the engine gives an attempt
/// (`HTTP_TIMEOUT_MS` of its limits), so that a connection that does not come about is known as that, and not as a
/// request without an answer: the server has seen nothing of it.
pub const CONNECTION_TIMEOUT: Duration = Duration::from_secs(8);

/// What a proxy may answer to the question for a tunnel, bytes: some lines of headers. hyper takes no less than half of it.
pub const TUNNEL_ANSWER_BYTES: usize = 16 * 1024;

/// One HTTP exchange in all, connection and body included. The guest asks for less
/// (`HTTP_TIMEOUT_MS` of its limits); this is what it cannot exceed.
pub const HTTP_DEADLINE: Duration = Duration::from_secs(30);

/// A request body, bytes: an assertion of the largest size, percent-encoded, with room for the other fields.
pub const REQUEST_BODY_BYTES: usize = 256 * 1024;

/// A response body, bytes: a little over what the engine accepts, so that it is the engine that refuses and explains.
pub const RESPONSE_BODY_BYTES: usize = edgepass_core::limits::MAX_RESPONSE_BYTES + 64 * 1024;

/// How long an idle connection is kept. Shorter than the four minutes after which Azure's load balancers forget one.
pub const POOL_IDLE: Duration = Duration::from_secs(60);

/// Idle connections per host. Exchanges of one host are rare; more would only be held open.
pub const POOL_IDLE_PER_HOST: usize = 8;

/// A token file, bytes: the engine's bound for an assertion, and room for white space around it.
pub const TOKEN_FILE_BYTES: u64 = edgepass_core::limits::MAX_ASSERTION_BYTES as u64 + 1024;

/// What the SPIFFE Workload API may answer, bytes: some tokens, with their names.
pub const WORKLOAD_API_BYTES: usize = 4 * edgepass_core::limits::MAX_ASSERTION_BYTES;

/// How long it may take. It is on this machine, and signs one token.
pub const WORKLOAD_API_DEADLINE: Duration = Duration::from_secs(5);

/// When it could not be asked for a certificate and there is one, this long before it is asked again: an agent starts
/// within seconds.
pub const WORKLOAD_API_AGAIN: Duration = Duration::from_secs(5);

/// What a command may print, bytes: an assertion and what is around it.
pub const EXECUTABLE_BYTES: usize = edgepass_core::limits::MAX_ASSERTION_BYTES + 4 * 1024;

/// A PEM file with a certificate chain or a key, bytes. Long chains have some 20 KiB.
pub const PEM_FILE_BYTES: u64 = 256 * 1024;

/// A file with the password of a key, bytes: those that people make up have some dozens, those of tools some hundreds.
pub const PASSWORD_FILE_BYTES: u64 = 4096;

/// A file of certification authorities, bytes. The system's bundles have some 250 KiB.
pub const CA_FILE_BYTES: u64 = 16 * 1024 * 1024;

/// How long files of certification authorities are taken to be on the file systems of this machine that they were on: a
/// mount that is replaced by a server's, and hangs, holds up what is asked for in that time and no more.
pub const CA_FILE_IS_LOCAL: Duration = Duration::from_secs(1);

/// Reads of a certificate and key that do not belong together, before the pair counts as inconsistent. Both files
/// are being replaced, and each is read at another moment.
pub const PAIR_READS: u32 = 5;

/// Wait between two such reads.
pub const PAIR_READ_INTERVAL: Duration = Duration::from_millis(10);

/// How long the previous certificate stays in use while the files on disk do not belong together. Somebody who copies
/// both by hand needs seconds; after this it is a mistake to be told of.
pub const PAIR_GRACE: Duration = Duration::from_secs(60);

/// How long before its end a certificate is called one that expires soon, if it lives ten times as long: who renews by
/// hand does so within that time. Of one that lives shorter it is a tenth of its life.
pub const CERTIFICATE_ENDS_SOON: Duration = Duration::from_secs(14 * 86_400);

/// How long the metadata service may take to say who this machine is: it is on the machine's link, and answers in some
/// milliseconds; where there is none nobody does.
pub const METADATA_DEADLINE: Duration = Duration::from_secs(2);

/// How long it may take to have a certificate issued. With the above it stays below what the engine waits for the host.
pub const ISSUE_DEADLINE: Duration = Duration::from_secs(7);

/// When a certificate could not be renewed, this long before it is tried again: a third of what a restart of the metadata
/// service takes.
pub const RENEW_AGAIN: Duration = Duration::from_secs(30);

/// A certificate that came in the place of one that a server had refused is not replaced for that within this: then it is
/// not the certificate that the server minds.
pub const REISSUE_INTERVAL: Duration = Duration::from_secs(300);

/// How long a request to a Key Vault may take: the vault answers in some hundredths of a second, and needs longer for a
/// certificate with a chain that it has not been asked for lately.
pub const VAULT_DEADLINE: Duration = Duration::from_secs(5);

/// How long the first certificate of a vault is waited for, the managed identity's token included: less than the engine waits
/// for the host. What comes later is there for the next call.
pub const VAULT_WAIT: Duration = Duration::from_secs(9);

/// How long an exchange waits to hear of a new version while there is a certificate: then it goes on with that.
pub const VAULT_PATIENCE: Duration = Duration::from_secs(1);

/// How often at most a vault is asked for a new version, and only when the certificate is used: seldom enough for its bounds
/// (4,000 reads in ten seconds for all who share it), and often enough that an application's certificate may be taken away
/// the same hour in which it was replaced.
pub const VAULT_POLL: Duration = Duration::from_secs(300);

/// The least of these times, of a certificate that lives for minutes.
pub const VAULT_POLL_LEAST: Duration = Duration::from_secs(5);

/// How long what a vault has refused is answered without it being asked again: as the engine has it for servers.
pub const VAULT_REFUSED: Duration = Duration::from_secs(2);

/// The longest time for which a vault is left alone that asks for it (`Retry-After`).
pub const MAX_VAULT_ALONE: Duration = Duration::from_secs(3600);

/// Calls by which the host asks its own component for tokens, waiting at once: one for each vault, some times over.
pub const OWN_CALLS_QUEUED: usize = 64;

/// How long the token store may take for one thing that is asked of it, a new connection with it: less than the engine waits
/// ([`TOKEN_STORE_TIMEOUT_MS`](edgepass_core::limits::TOKEN_STORE_TIMEOUT_MS)), so that the reason is known.
#[cfg(feature = "token-store")]
pub const TOKEN_STORE_DEADLINE: Duration = Duration::from_millis(1_200);

/// How long a new connection to it may take, TLS with it: less than all, so that it is said what did not come about.
#[cfg(feature = "token-store")]
pub const TOKEN_STORE_CONNECTION: Duration = Duration::from_millis(1_100);

/// How long it may take to answer on a connection that is there. One beside its users answers in a millisecond.
#[cfg(feature = "token-store")]
pub const TOKEN_STORE_ANSWER: Duration = Duration::from_millis(500);

/// How long a token store that failed is left alone; doubled with each failure that follows.
#[cfg(feature = "token-store")]
pub const TOKEN_STORE_ALONE: Duration = Duration::from_secs(1);

/// The longest of these times: how late at most it is seen that it is back.
#[cfg(feature = "token-store")]
pub const MAX_TOKEN_STORE_ALONE: Duration = Duration::from_secs(30);

/// An entry of the token store, bytes: what the engine puts there, and what encryption adds.
#[cfg(feature = "token-store")]
pub const TOKEN_STORE_ENTRY_BYTES: usize = edgepass_core::limits::MAX_STORE_ENTRY_BYTES + 1024;

/// The file of the keys that entries of the token store are encrypted with, bytes: sixteen lines, and comments.
#[cfg(feature = "token-store")]
pub const TOKEN_STORE_KEYS_BYTES: u64 = 16 * 1024;

/// How long an application's request waits for the head of a response, and then for each part of its body, at the most: what
/// the `wasmtime` command has.
#[cfg(feature = "tower")]
pub const APPLICATION_PATIENCE: Duration = Duration::from_secs(600);

/// How much of the body of an application's request is kept while it is sent, bytes, to be sent once more where the token was
/// refused. Each request that is on its way may hold as much.
#[cfg(feature = "tower")]
pub const REPLAYED_BODY_BYTES: usize = 64 * 1024;

//! The bounds of the engine, with their reasons. Those of one kind of credential are in its module.

/// A federated token or prebuilt assertion, bytes. MSAL.NET takes 64 KiB at most; projected tokens are 1 to 2 KiB, but
/// issuers put group lists into theirs. More than this is a wrong file.
pub const MAX_ASSERTION_BYTES: usize = 64 * 1024;

/// A token response, bytes. Entra's are 2 to 5 KiB; MSAL.NET reads 1 MiB at most. A body beyond this is not a token
/// response, and reading on would only spend memory.
pub const MAX_RESPONSE_BYTES: usize = 256 * 1024;

/// The configuration, bytes of JSON.
pub const MAX_CONFIG_BYTES: usize = 256 * 1024;

/// Values in one JSON document. A configuration with a thousand identities has fewer; a document of nothing but
/// brackets would take thirty times its size in memory.
pub const MAX_JSON_VALUES: usize = 32 * 1024;

/// A claims challenge, bytes of JSON.
pub const MAX_CLAIMS_BYTES: usize = 16 * 1024;

/// Server-written text (`error_description`) in an error, characters after cleaning.
pub const MAX_SERVER_TEXT_CHARS: usize = 400;

/// The application's own tokens that are kept: (identity, tenant, scope) combinations, of which a service with some thousand
/// customers has as many. The least recently used ones give way.
pub const MAX_CACHED_TOKENS: usize = 4096;

/// What these may take, bytes: 4 KiB each, which is twice what one takes.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024 * 1024;

/// Tokens of users that are kept, beside the application's own. The bound on their bytes is reached first unless somebody
/// sets it higher.
#[cfg(feature = "every-credential")]
pub const MAX_USER_TOKENS: usize = 100_000;

/// The same in a proxy: each of its workers has an engine.
#[cfg(not(feature = "every-credential"))]
pub const MAX_USER_TOKENS: usize = 4096;

/// What the tokens of users may take unless the configuration says otherwise, MiB. One takes some 500 bytes besides its
/// texts, with a token of Entra's 2 to 3 KiB: room for 20,000 users within the hour that a token lives.
#[cfg(feature = "every-credential")]
pub const USER_TOKENS_MIB: usize = 64;

/// The same in a worker of a proxy: some three thousand of Entra's.
pub const PROXY_USER_TOKENS_MIB: usize = 8;

/// A build for a proxy alone has no other.
#[cfg(not(feature = "every-credential"))]
pub const USER_TOKENS_MIB: usize = PROXY_USER_TOKENS_MIB;

/// The most that the configuration may say, MiB. With what the host needs besides it stays well under what a component can
/// address.
pub const MAX_USER_TOKENS_MIB: u64 = 1024;

/// Tokens of users that a status lists, the ones that were used last: nobody reads a hundred thousand lines.
pub const MAX_LISTED_USER_TOKENS: usize = 100;

/// Exchanges of the application's own tokens under way at once. Each holds a connection; more than this is a runaway caller.
pub const MAX_FLIGHTS: usize = 256;

/// Exchanges of users' tokens under way or waiting for their turn. The caller after that gets `busy`.
#[cfg(feature = "every-credential")]
pub const MAX_USER_FLIGHTS: usize = 2048;

/// The same in a worker of a proxy, where none waits for its turn.
#[cfg(not(feature = "every-credential"))]
pub const MAX_USER_FLIGHTS: usize = 256;

/// How many of these are under way at once; the others wait for their turn. Each holds a connection, and they leave room for
/// the application's own.
#[cfg(feature = "every-credential")]
pub const MAX_USER_EXCHANGES: usize = 256;

/// Callers waiting at once for tokens of the application's own. Each costs about 2.4 KiB of guest memory (measured), so all of
/// them take 10 MiB of what a host gives a component; the caller after that gets `busy` instead of the instance an allocation failure.
pub const MAX_WAITING: usize = 4096;

/// The same for tokens of users: no crowd of them keeps the application from its own.
pub const MAX_USER_WAITING: usize = 4096;

/// Questions for users' tokens whose refusal, or whose pace, is remembered. Whoever makes up users fills this, and nothing
/// that is in it gives way to him before its time, which is seconds; what does not fit is asked without.
pub const MAX_USER_PACES: usize = 4096;

/// One HTTP attempt, milliseconds. Entra answers in well under a second; MSAL Go and azure-core give 30 and 60 s, which
/// is longer than the callers behind a proxy wait.
pub const HTTP_TIMEOUT_MS: u64 = 10_000;

/// A whole acquisition with its retries, milliseconds, however many attempts it has used.
pub const FLIGHT_TIMEOUT_MS: u64 = 30_000;

/// Credentials of one identity. Each may be tried within one acquisition.
pub const MAX_CREDENTIALS: usize = 16;

/// A credential of several that gave nothing is left aside that long before it is tried again, milliseconds; doubled with
/// each failure that follows, up to [`MAX_CREDENTIAL_BACKOFF_MS`]. One that was repaired is to be used soon, and one that is
/// not costs a call of a refusal's length now and then.
pub const CREDENTIAL_BACKOFF_MS: u64 = 5_000;

/// The longest of these waits, milliseconds.
pub const MAX_CREDENTIAL_BACKOFF_MS: u64 = 300_000;

/// One call to the host that is not HTTP (token file, signature, assertion source), milliseconds.
pub const HOST_CALL_TIMEOUT_MS: u64 = 10_000;

/// Attempts at a server that fails, resets or times out, the first included.
pub const MAX_TRANSIENT_ATTEMPTS: u32 = 3;

/// First wait between two such attempts, milliseconds; it doubles, and each wait is drawn from 50 to 150 % of it.
pub const TRANSIENT_BACKOFF_MS: u64 = 400;

/// Attempts while a federated credential may still be propagating, the first included. Entra answers 7002xx for some
/// seconds after one is made, and now and then in steady state (2 % of requests in one public measurement); the same
/// assertion then succeeds.
pub const MAX_PROPAGATION_ATTEMPTS: u32 = 4;

/// First wait between two such attempts, milliseconds, doubled and jittered as above.
pub const PROPAGATION_BACKOFF_MS: u64 = 500;

/// The longest `Retry-After` that is waited for inside a call, milliseconds. With a longer one the call fails at once
/// and says how long.
pub const MAX_INLINE_RETRY_AFTER_MS: u64 = 5_000;

/// The longest `Retry-After` that is believed, milliseconds (MSAL.NET's cap too).
pub const MAX_RETRY_AFTER_MS: u64 = 3_600_000;

/// How long a definitive refusal answers further calls without asking again, milliseconds. Long enough to keep a hot
/// loop off the server, short enough that nobody notices it after fixing the cause. Never applied to the class that
/// propagation can cure.
pub const NEGATIVE_CACHE_MS: u64 = 2_000;

/// First wait after a failed background refresh, milliseconds; it doubles up to [`MAX_REFRESH_BACKOFF_MS`].
pub const REFRESH_BACKOFF_MS: u64 = 5_000;

/// The longest wait between background refreshes that fail, milliseconds.
pub const MAX_REFRESH_BACKOFF_MS: u64 = 60_000;

/// Share of the time to the early refresh that jitter may take off, percent: keeps a fleet that started together from
/// refreshing together.
pub const REFRESH_JITTER_PERCENT: u64 = 10;

/// In the last stretch of a token's life callers wait for its successor, because the token may expire on its way; if
/// that fails they still get the old one. Milliseconds, or a twentieth of the token's life if that is shorter.
pub const EXPIRY_MARGIN_MS: u64 = 10_000;

/// Lifetime of a token whose response has no `expires_in` (RFC 6749 section 5.1 leaves it out of the MUSTs), seconds.
pub const DEFAULT_EXPIRES_IN_S: u64 = 300;

/// The longest lifetime believed, seconds. Entra's longest are 28 hours.
pub const MAX_EXPIRES_IN_S: u64 = 30 * 24 * 3600;

/// Lifetime of a client assertion built here, seconds. Microsoft's certificate credentials page asks for 5 to 10
/// minutes.
pub const ASSERTION_LIFETIME_S: u64 = 600;

/// How far into the past `nbf` and `iat` of such an assertion lie, seconds: servers whose clock is a little behind
/// would refuse it otherwise.
pub const ASSERTION_BACKDATE_S: u64 = 5;

/// A federated token that expired at most this long ago is still sent, milliseconds: Entra allows five minutes of
/// clock skew, and it may be the local clock that is wrong.
pub const EXPIRED_ASSERTION_GRACE_MS: u64 = 300_000;

/// How long a reading of a token server's clock is used, milliseconds. A machine whose clock is wrong pays one exchange
/// more that often; a reading that has become wrong is gone by then.
pub const SERVER_CLOCK_AGE_MS: u64 = 3_600_000;

/// How far the server's clock has to be from the one by which an assertion was built for a refusal to be laid to it,
/// milliseconds. Servers allow some minutes; an assertion is backdated by seconds only.
pub const CLOCK_SKEW_MS: u64 = 60_000;

/// A replacement for a refused token that is refused as well is kept this long, milliseconds: the cause is not its
/// age, and asking again with every request would be a storm.
pub const REJECTION_COOLDOWN_MS: u64 = 30_000;

/// Requests whose resolution is remembered, the ones that were used last: those of all users for one scope are one. A
/// proxy's rules and an application's scopes are a handful, a service's customers some thousand.
pub const MAX_RESOLVED: usize = 4096;

/// Exchanges that refusals of one token may cause in a row, with claims of a challenge or without: the one after a plain
/// refusal, and the one that satisfies the challenge that follows. After that one every [`REJECTION_COOLDOWN_MS`].
pub const REJECTION_BURST: u64 = 2;

/// Exchanges of one token that may follow each other without a pause, whatever asks for them. A caller who forces a
/// refresh is not counted.
pub const EXCHANGE_BURST: u64 = 5;

/// After that one in this time, milliseconds. It doubles with each exchange that brings no token that can be served, up
/// to [`MAX_EXCHANGE_INTERVAL_MS`].
pub const EXCHANGE_INTERVAL_MS: u64 = 1_000;

/// The longest that pause gets, milliseconds: how late at most the end of an outage is seen by callers who do not stop
/// asking.
pub const MAX_EXCHANGE_INTERVAL_MS: u64 = 8_000;

/// How long callers of a refused token wait for its successor before they get it all the same, milliseconds.
pub const REJECTION_PATIENCE_MS: u64 = 2_000;

/// Assertions without an exchange that are being made at once. They have a bound of their own, so that those who ask for
/// them do not shut out those who ask for tokens.
pub const MAX_ASSERTIONS: usize = 256;

/// After this long a server's metadata is asked for again, milliseconds: servers that move announce it days before, and
/// what they said does for as long as it works.
pub const METADATA_RENEWAL_MS: u64 = 3_600_000;

/// This long what a server's metadata said counts at most where they cannot be had again, milliseconds.
pub const METADATA_LIFETIME_MS: u64 = 24 * 3_600_000;

/// How many claims that a server has refused are remembered, for the application's own tokens and for those of users.
pub const MAX_REFUSED_CLAIMS: usize = 64;

/// Key sets of token servers that are kept, and as many of their metadata: each tenant of Entra ID has its own, and a request
/// may name any of many. A set is some 15 KiB.
#[cfg(feature = "every-credential")]
pub const MAX_KEY_SETS: usize = 64;

/// Keys in one set. Entra ID has about ten; each is read whenever an ID token is validated.
#[cfg(feature = "every-credential")]
pub const MAX_KEYS: usize = 100;

/// A set in which a key is missing is asked for again at most once in that time, milliseconds: whoever makes key ids up must
/// not cause a storm.
#[cfg(feature = "every-credential")]
pub const KEY_SET_PAUSE_MS: u64 = 60_000;

/// An ID token, bytes. Entra's are 1 to 4 KiB, with groups some more.
#[cfg(feature = "every-credential")]
pub const MAX_ID_TOKEN_BYTES: usize = 64 * 1024;

/// How far the times of an ID token may be off, seconds: what Microsoft's libraries allow.
#[cfg(feature = "every-credential")]
pub const ID_TOKEN_SKEW_S: u64 = 300;

/// The shortest modulus of an RSA key, bits (RFC 7518 section 3.3).
#[cfg(feature = "every-credential")]
pub const MIN_RSA_BITS: usize = 2048;

/// The longest modulus of an RSA key, bits: what the library of the host takes, and four times what anybody has.
#[cfg(feature = "every-credential")]
pub const MAX_RSA_BITS: usize = 8192;

/// Sessions of users (long-running on-behalf-of) that are kept. The ones that were used least lately give way: whoever has
/// more users with work under way at once spreads them over instances.
#[cfg(feature = "every-credential")]
pub const MAX_SESSIONS: usize = 4096;

/// What these may take, bytes: a refresh token of Entra ID is 1 to 2 KiB.
#[cfg(feature = "every-credential")]
pub const MAX_SESSION_BYTES: usize = 8 * 1024 * 1024;

/// One call to the token store, milliseconds. A store beside its users answers in one or two; one that takes longer than
/// this costs as much as the exchange that it is to save.
#[cfg(feature = "every-credential")]
pub const TOKEN_STORE_TIMEOUT_MS: u64 = 1_500;

/// How long one instance may ask for a token in the place of all, seconds. An exchange takes well under one, and two with
/// a second attempt; whoever holds the lease and dies keeps the others waiting that long.
#[cfg(feature = "every-credential")]
pub const TOKEN_LEASE_S: u64 = 5;

/// How long an instance waits for the token that another one asks for before it asks itself, milliseconds: twice the lease,
/// so that after a holder that died one of those who wait asks, and not all. Never more than a third of what the acquisition
/// may take.
#[cfg(feature = "every-credential")]
pub const TOKEN_LEASE_WAIT_MS: u64 = 2 * TOKEN_LEASE_S * 1_000;

/// First wait between two looks into the store for that token, milliseconds; it grows by half each time, and is drawn
/// from 50 to 150 % of that.
#[cfg(feature = "every-credential")]
pub const TOKEN_STORE_POLL_MS: u64 = 40;

/// The longest of these waits, milliseconds: how much later than it could an instance has its token.
#[cfg(feature = "every-credential")]
pub const MAX_TOKEN_STORE_POLL_MS: u64 = 500;

/// An entry of the token store, bytes: the longest answer of a token server, with all that stands beside its token.
#[cfg(feature = "every-credential")]
pub const MAX_STORE_ENTRY_BYTES: usize = 2 * MAX_RESPONSE_BYTES;

/// How far ahead of this machine's clock an entry of the token store may have been made, milliseconds (MSAL's clock skew).
/// One that is further ahead was made by a clock that is wrong, and so are its times.
#[cfg(feature = "every-credential")]
pub const TOKEN_STORE_SKEW_MS: u64 = 300_000;

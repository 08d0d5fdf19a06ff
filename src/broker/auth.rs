//! OAUTHBEARER tokens for every Kafka client of ours.
//!
//! librdkafka asks for a token at start and again at four fifths of its life, on the thread that
//! polls the client. A context that holds an [`Authenticator`] answers with [`Authenticator::token`]
//! from `generate_oauth_token`, and sets `ENABLE_REFRESH_OAUTH_TOKEN`.

pub(crate) mod request;

use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rdkafka::client::OAuthToken;
use serde::Deserialize;

use self::request::{certificates, chain, form_encoded, on_own_runtime, read_bounded};
use crate::config::{Mechanism, Secret, Settings};

/// Longest wait for the token endpoint. The thread that waits also polls Kafka.
const ENDPOINT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest answer of the endpoint that is read, and longest token file. Tokens are a few KiB.
const MAX_ANSWER_BYTES: usize = 256 * 1024;
/// Life of a token that does not say when it ends: it is asked for again soon.
const UNSTATED_LIFE: Duration = Duration::from_secs(300);

/// Where tokens come from.
pub struct Authenticator {
    source: Source,
}

enum Source {
    /// The mechanism is not OAUTHBEARER.
    None,
    /// A file that somebody else keeps current.
    File(PathBuf),
    /// Client credentials grant (RFC 6749, 4.4).
    Endpoint(Endpoint),
}

struct Endpoint {
    url: String,
    client_id: String,
    client_secret: Secret,
    scope: String,
    ca_file: PathBuf,
}

/// Why there is no token. Holds nothing of a token or secret.
#[derive(Debug, thiserror::Error)]
enum TokenError {
    #[error("kafka.sasl.mechanism is not OAUTHBEARER")]
    NotConfigured,
    #[error("the token file {} cannot be read: {problem}", .path.display())]
    File { path: PathBuf, problem: std::io::Error },
    #[error("the token file {} holds no token", .0.display())]
    EmptyFile(PathBuf),
    #[error("the token endpoint does not answer: {0}")]
    Unreachable(String),
    #[error("the token endpoint refuses with HTTP status {status}{reason}")]
    Refused { status: u16, reason: String },
    #[error("the token endpoint's answer holds no access_token")]
    NoToken,
    #[error("{} cannot be read as certificates: {problem}", .path.display())]
    Certificates { path: PathBuf, problem: String },
    #[error("the token has ended; its file or endpoint must give a newer one")]
    Ended,
    #[error("no thread for the request: {0}")]
    Thread(std::io::Error),
}

impl Authenticator {
    /// The authenticator that the settings describe. Nothing is read or sent yet.
    pub fn from_settings(settings: &Settings) -> Arc<Self> {
        let sasl = &settings.kafka.sasl;
        let source = if sasl.mechanism != Mechanism::OauthBearer {
            Source::None
        } else if sasl.oauth_token_endpoint.is_empty() {
            Source::File(sasl.oauth_token_file.clone())
        } else {
            Source::Endpoint(Endpoint {
                url: sasl.oauth_token_endpoint.clone(),
                client_id: sasl.oauth_client_id.clone(),
                client_secret: sasl.oauth_client_secret.clone(),
                scope: sasl.oauth_scope.clone(),
                ca_file: settings.kafka.tls.ca_file.clone(),
            })
        };
        Arc::new(Self { source })
    }

    /// A current token. Blocks, at most for the endpoint's timeout of 10 s.
    ///
    /// # Errors
    /// The file or the endpoint gives no token that is still good, or OAUTHBEARER is not configured.
    pub fn token(&self) -> Result<OAuthToken, Box<dyn Error>> {
        let now = SystemTime::now();
        let token = match &self.source {
            Source::None => return Err(TokenError::NotConfigured.into()),
            Source::File(path) => token_of_file(path, now)?,
            Source::Endpoint(endpoint) => {
                let answer = on_own_runtime(|| endpoint.ask()).map_err(TokenError::Thread)??;
                token_of_answer(&answer, &endpoint.client_id, now)?
            }
        };
        if token.lifetime_ms <= millis(now) {
            return Err(TokenError::Ended.into());
        }
        Ok(token)
    }
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.source {
            Source::None => "Authenticator(none)",
            Source::File(_) => "Authenticator(file)",
            Source::Endpoint(_) => "Authenticator(endpoint)",
        })
    }
}

fn token_of_file(path: &PathBuf, now: SystemTime) -> Result<OAuthToken, TokenError> {
    let text = std::fs::read_to_string(path)
        .map_err(|problem| TokenError::File { path: path.clone(), problem })?;
    let token = text.trim();
    if token.is_empty() || token.len() > MAX_ANSWER_BYTES || token.contains('\0') {
        return Err(TokenError::EmptyFile(path.clone()));
    }
    let claims = claims(token);
    let life = claims.exp.map_or_else(|| millis(now + UNSTATED_LIFE), seconds_to_millis);
    Ok(OAuthToken {
        token: token.to_owned(),
        principal_name: claims.sub.filter(|sub| !sub.contains('\0')).unwrap_or_default(),
        lifetime_ms: life,
    })
}

/// What we need of a JWT (RFC 7519). Its signature is the broker's business.
#[derive(Default, Deserialize)]
struct Claims {
    exp: Option<f64>,
    sub: Option<String>,
}

/// The claims of a token; none where it is opaque.
fn claims(token: &str) -> Claims {
    token
        .split('.')
        .nth(1)
        .and_then(|payload| URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok())
        .and_then(|json| serde_json::from_slice(&json).ok())
        .unwrap_or_default()
}

impl Endpoint {
    async fn ask(&self) -> Result<Vec<u8>, TokenError> {
        let unreachable = |problem: reqwest::Error| {
            // Without the URL: it may hold a tenant's name; the source error says what failed.
            TokenError::Unreachable(chain(&problem.without_url()))
        };
        let mut builder = reqwest::Client::builder()
            .timeout(ENDPOINT_TIMEOUT)
            // A redirect would send the secret to another host.
            .redirect(reqwest::redirect::Policy::none());
        if !self.ca_file.as_os_str().is_empty() {
            builder = builder.tls_certs_merge(certificates(&self.ca_file).map_err(|problem| {
                TokenError::Certificates { path: self.ca_file.clone(), problem }
            })?);
        }
        let mut form = vec![("grant_type", "client_credentials")];
        if !self.scope.is_empty() {
            form.push(("scope", &self.scope));
        }
        // RFC 6749, 2.3.1: both are form-encoded before they become the parts of basic authentication.
        let user = form_encoded("v", &self.client_id);
        let password = form_encoded("v", self.client_secret.expose());
        let response = builder
            .build()
            .map_err(unreachable)?
            .post(&self.url)
            .basic_auth(
                user.strip_prefix("v=").unwrap_or_default(),
                Some(password.strip_prefix("v=").unwrap_or_default()),
            )
            .header(reqwest::header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(reqwest::header::ACCEPT, "application/json")
            .body(
                form.iter()
                    .map(|(name, value)| form_encoded(name, value))
                    .collect::<Vec<_>>()
                    .join("&"),
            )
            .send()
            .await
            .map_err(unreachable)?;
        let status = response.status();
        let body = read_bounded(response, MAX_ANSWER_BYTES).await.map_err(unreachable)?;
        if status.is_success() {
            Ok(body)
        } else {
            Err(TokenError::Refused { status: status.as_u16(), reason: refusal(&body) })
        }
    }
}

/// The error code of RFC 6749, 5.2, where the answer has one: `: invalid_client`. Other text of the
/// answer is not passed on.
fn refusal(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Refusal {
        error: String,
    }
    match serde_json::from_slice::<Refusal>(body) {
        Ok(Refusal { error })
            if error.len() <= 64
                && error.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') =>
        {
            format!(": {error}")
        }
        _ => String::new(),
    }
}

fn token_of_answer(
    body: &[u8],
    client_id: &str,
    now: SystemTime,
) -> Result<OAuthToken, TokenError> {
    #[derive(Deserialize)]
    struct Answer {
        access_token: String,
        /// Seconds. Some providers write it as text.
        expires_in: Option<serde_json::Value>,
    }
    let answer: Answer = serde_json::from_slice(body).map_err(|_| TokenError::NoToken)?;
    if answer.access_token.is_empty() || answer.access_token.contains('\0') {
        return Err(TokenError::NoToken);
    }
    let stated = answer.expires_in.as_ref().and_then(|value| {
        value.as_f64().or_else(|| value.as_str().and_then(|text| text.trim().parse().ok()))
    });
    let lifetime_ms = match (stated, claims(&answer.access_token).exp) {
        (Some(seconds), _) => millis(now).saturating_add(seconds_to_millis(seconds)),
        (None, Some(end)) => seconds_to_millis(end),
        (None, None) => millis(now + UNSTATED_LIFE),
    };
    Ok(OAuthToken {
        token: answer.access_token,
        principal_name: client_id.replace('\0', ""),
        lifetime_ms,
    })
}

fn millis(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[expect(clippy::cast_possible_truncation, reason = "a cast from f64 saturates")]
fn seconds_to_millis(seconds: f64) -> i64 {
    (seconds * 1_000.0) as i64
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;

    fn jwt(claims: &str) -> String {
        format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
    }

    fn file_settings(token: &str) -> (tempfile::TempDir, Settings) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, format!("{token}\n")).unwrap();
        let mut settings = Settings::default();
        settings.kafka.sasl.mechanism = Mechanism::OauthBearer;
        settings.kafka.sasl.oauth_token_file = path;
        (folder, settings)
    }

    #[test]
    fn a_token_file_gives_the_token_its_end_and_its_subject() {
        let token = jwt(r#"{"exp": 4102444800, "sub": "label"}"#);
        let (_folder, settings) = file_settings(&token);
        let given = Authenticator::from_settings(&settings).token().unwrap();
        assert_eq!(given.token, token);
        assert_eq!(given.principal_name, "label");
        assert_eq!(given.lifetime_ms, 4_102_444_800_000);
    }

    #[test]
    fn an_opaque_token_is_asked_for_again_soon_and_an_ended_one_is_refused() {
        let (_folder, settings) = file_settings("opaque");
        let given = Authenticator::from_settings(&settings).token().unwrap();
        let life = given.lifetime_ms - millis(SystemTime::now());
        assert!((1..=300_000).contains(&life), "{life}");
        let (_folder, settings) = file_settings(&jwt(r#"{"exp": 1000000000}"#));
        let problem = Authenticator::from_settings(&settings).token().err().unwrap().to_string();
        assert!(problem.contains("has ended"), "{problem}");
    }

    #[test]
    fn without_oauthbearer_there_is_no_token() {
        assert!(Authenticator::from_settings(&Settings::default()).token().is_err());
    }

    /// Serves one request with `answer`; gives the request back.
    fn serve_once(answer: &'static str) -> (String, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/token", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = String::new();
            let mut buffer = [0; 4096];
            while !request.contains("client_credentials") {
                let read = stream.read(&mut buffer).unwrap();
                assert_ne!(read, 0, "the request ended early: {request}");
                request.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
            }
            stream.write_all(answer.as_bytes()).unwrap();
            request
        });
        (url, server)
    }

    fn endpoint_settings(url: &str) -> Settings {
        let mut settings = Settings::default();
        let sasl = &mut settings.kafka.sasl;
        sasl.mechanism = Mechanism::OauthBearer;
        sasl.oauth_token_endpoint = url.to_owned();
        sasl.oauth_client_id = "label".to_owned();
        sasl.oauth_client_secret = Secret::new("hunter 2");
        sasl.oauth_scope = "kafka write".to_owned();
        settings
    }

    #[test]
    fn the_endpoint_is_asked_with_client_credentials() {
        let (url, server) = serve_once(
            "HTTP/1.1 200 OK\r\nContent-Length: 44\r\nConnection: close\r\n\r\n\
             {\"access_token\":\"tok\",  \"expires_in\":\"3600\"}",
        );
        let before = millis(SystemTime::now());
        let token = Authenticator::from_settings(&endpoint_settings(&url)).token().unwrap();
        assert_eq!((token.token.as_str(), token.principal_name.as_str()), ("tok", "label"));
        assert!(token.lifetime_ms >= before + 3_600_000);
        let request = server.join().unwrap();
        // label:hunter+2, in base 64
        assert!(request.contains("authorization: Basic bGFiZWw6aHVudGVyKzI="), "{request}");
        assert!(request.contains("scope=kafka+write"), "{request}");
    }

    #[test]
    fn a_refusal_is_told_with_its_code_and_without_the_secret() {
        let (url, server) = serve_once(
            "HTTP/1.1 401 Unauthorized\r\nContent-Length: 27\r\nConnection: close\r\n\r\n\
             {\"error\":\"invalid_client\"}\r\n",
        );
        let problem = Authenticator::from_settings(&endpoint_settings(&url)).token().err().unwrap();
        server.join().unwrap();
        assert_eq!(
            problem.to_string(),
            "the token endpoint refuses with HTTP status 401: invalid_client"
        );
    }

    #[test]
    fn an_endpoint_that_is_not_there_is_told() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/token", listener.local_addr().unwrap());
        drop(listener);
        let problem = Authenticator::from_settings(&endpoint_settings(&url)).token().err().unwrap();
        assert!(problem.to_string().contains("does not answer"), "{problem}");
    }
}

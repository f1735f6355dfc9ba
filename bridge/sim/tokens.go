package sim

import (
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

// maxTokenForm bounds the body of a token request.
const maxTokenForm = 64 << 10

// tokenPath is where tokens are issued, "" when none are. Sources: "OAuth 2.0 client
// credentials flow on the Microsoft identity platform"; "AD FS OpenID Connect/OAuth
// flows".
func (a *authState) tokenPath() string {
	switch a.Method {
	case AuthClientCredentials:
		return "/" + a.Tenant + "/oauth2/v2.0/token"
	case AuthADFS:
		return "/adfs/oauth2/token"
	}
	return ""
}

// isTokenRequest tells whether a request goes to a token endpoint: faults leave it
// alone unless their rule names the path.
func isTokenRequest(r *http.Request) bool {
	return strings.HasSuffix(r.URL.Path, "/oauth2/v2.0/token") || r.URL.Path == "/adfs/oauth2/token"
}

// tokenFault is an OAuth 2.0 error answer (RFC 6749 section 5.2).
type tokenFault struct {
	status      int
	code        string // invalid_client and the like
	number      int    // of the identity provider, 0 where it has none
	description string
}

// serveToken issues a token, or says why not.
func (s *Server) serveToken(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store, no-cache")
	h.Set("Pragma", "no-cache")
	h.Set("Content-Type", "application/json; charset=utf-8")
	grant, fault := s.grant(w, r)
	if fault == nil {
		var token string
		if token, fault = s.issue(grant); fault == nil {
			s.auth.count(func(c *AuthCounts) { c.Tokens++ })
			life := int(s.auth.TokenLifetime / time.Second)
			answer := map[string]any{"token_type": "Bearer", "expires_in": life, "access_token": token}
			if s.auth.Method == AuthADFS {
				answer["token_type"], answer["resource"] = "bearer", grant.resource
			} else {
				answer["ext_expires_in"] = life
			}
			_ = json.NewEncoder(w).Encode(answer)
			return
		}
	}
	s.auth.count(func(c *AuthCounts) { c.TokensRefused++ })
	answer := map[string]any{"error": fault.code, "error_description": fault.description}
	if s.auth.Method == AuthClientCredentials {
		// As Entra has it: number, trace and time within the text and beside it.
		trace, now := uuid.NewString(), s.opts.Now().UTC().Format("2006-01-02 15:04:05Z")
		answer["error_description"] = fmt.Sprintf("AADSTS%d: %s Trace ID: %s Correlation ID: %s Timestamp: %s", fault.number, fault.description, trace, trace, now)
		answer["error_codes"], answer["timestamp"] = []int{fault.number}, now
		answer["trace_id"], answer["correlation_id"] = trace, trace
	}
	w.WriteHeader(fault.status)
	_ = json.NewEncoder(w).Encode(answer)
}

// grant is what a token is to be issued for.
type grant struct{ resource, subject string }

func (s *Server) grant(w http.ResponseWriter, r *http.Request) (grant, *tokenFault) {
	if r.Method != http.MethodPost {
		return grant{}, &tokenFault{http.StatusBadRequest, "invalid_request", 900561, "The endpoint only accepts POST requests."}
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxTokenForm)
	if err := r.ParseForm(); err != nil || r.PostForm.Get("grant_type") == "" {
		return grant{}, missingParameter("grant_type")
	}
	if s.auth.Method == AuthADFS {
		return s.auth.grantADFS(r)
	}
	return s.auth.grantEntra(r, s.opts.Now())
}

// grantADFS is the resource owner password grant with a resource.
func (a *authState) grantADFS(r *http.Request) (grant, *tokenFault) {
	f := r.PostForm
	refuse := func(code, text string) (grant, *tokenFault) {
		return grant{}, &tokenFault{status: http.StatusBadRequest, code: code, description: text}
	}
	switch {
	case f.Get("grant_type") != "password":
		return refuse("unsupported_grant_type", "MSIS9611: The authorization server does not support the requested 'grant_type'.")
	case f.Get("client_id") == "" || a.ClientID != "" && f.Get("client_id") != a.ClientID:
		return refuse("invalid_client", "MSIS9607: The 'client_id' parameter in the request is not a registered client.")
	case a.ClientSecret != "" && !equal(f.Get("client_secret"), a.ClientSecret):
		return refuse("invalid_client", "MSIS9622: Client authentication failed. Please verify the credential provided for client authentication is valid.")
	case !sameHost(f.Get("resource"), r.Host):
		return refuse("invalid_resource", "MSIS9602: The received 'resource' parameter is invalid. The authorization server can not find a registered resource with the specified identifier.")
	case !strings.EqualFold(f.Get("username"), a.User) || !equal(f.Get("password"), a.Password):
		return refuse("invalid_grant", "MSIS9659: Invalid 'username' or 'password'.")
	}
	return grant{resource: f.Get("resource"), subject: a.User}, nil
}

// grantEntra is the client credentials grant.
func (a *authState) grantEntra(r *http.Request, now time.Time) (grant, *tokenFault) {
	f := r.PostForm
	bad := func(code string, number int, format string, args ...any) (grant, *tokenFault) {
		status := http.StatusBadRequest
		if code == "invalid_client" {
			status = http.StatusUnauthorized
		}
		return grant{}, &tokenFault{status, code, number, fmt.Sprintf(format, args...)}
	}
	switch {
	case f.Get("grant_type") != "client_credentials":
		return bad("unsupported_grant_type", 70003, "The app requested an unsupported grant type '%s'.", shorten(f.Get("grant_type")))
	case f.Get("client_id") == "":
		return grant{}, missingParameter("client_id")
	case f.Get("client_id") != a.ClientID:
		return bad("unauthorized_client", 700016, "Application with identifier '%s' was not found in the directory '%s'.", shorten(f.Get("client_id")), a.Tenant)
	case f.Has("client_assertion"):
		if f.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
			return bad("invalid_request", 900144, "The request body must contain the following parameter: 'client_assertion_type'.")
		}
		if fault := a.checkAssertion(f.Get("client_assertion"), origin(r)+a.tokenPath(), now); fault != nil {
			return grant{}, fault
		}
	case !f.Has("client_secret"):
		return bad("invalid_client", 7000218, "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.")
	case a.ClientSecret == "" || !equal(f.Get("client_secret"), a.ClientSecret):
		return bad("invalid_client", 7000215, "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '%s'.", a.ClientID)
	}
	scope := f.Get("scope")
	if scope == "" {
		return grant{}, missingParameter("scope")
	}
	resource, ok := strings.CutSuffix(scope, "/.default")
	if !ok {
		return bad("invalid_scope", 1002012, "The provided value for scope %s is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier (application ID URI).", shorten(scope))
	}
	if !sameHost(resource, r.Host) {
		return bad("invalid_resource", 500011, "The resource principal named %s was not found in the tenant named %s.", shorten(resource), a.Tenant)
	}
	return grant{resource: resource, subject: a.ClientID}, nil
}

func missingParameter(name string) *tokenFault {
	return &tokenFault{http.StatusBadRequest, "invalid_request", 900144, "The request body must contain the following parameter: '" + name + "'."}
}

// equal compares secrets in constant time.
func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// sameHost tells whether a resource is the organization at that host.
func sameHost(resource, host string) bool {
	u, err := url.Parse(resource)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, host)
}

// accessClaims are the claims of a token; callers must not look inside.
type accessClaims struct {
	jwt.RegisteredClaims
	Epoch int `json:"epoch"`
}

// issue makes a token. Its shape (a JWT) is documented, its content private.
func (s *Server) issue(g grant) (string, *tokenFault) {
	a := s.auth
	a.mu.Lock()
	epoch := a.epoch
	a.mu.Unlock()
	now := s.opts.Now()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, accessClaims{Epoch: epoch, RegisteredClaims: jwt.RegisteredClaims{
		Issuer: "cebridge-sim", Subject: g.subject, Audience: jwt.ClaimStrings{g.resource}, ID: uuid.NewString(),
		IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(a.TokenLifetime)),
	}}).SignedString(a.key[:])
	if err != nil {
		return "", &tokenFault{http.StatusInternalServerError, "server_error", 90036, "An unexpected, non-retryable error stemming from the directory service has occurred."}
	}
	return token, nil
}

// accepts tells whether a bearer token admits a request to host.
func (a *authState) accepts(token, host string, now time.Time) bool {
	var claims accessClaims
	_, err := jwt.ParseWithClaims(token, &claims, func(*jwt.Token) (any, error) { return a.key[:], nil },
		jwt.WithValidMethods([]string{"HS256"}), jwt.WithExpirationRequired(), jwt.WithTimeFunc(func() time.Time { return now }))
	if err != nil || len(claims.Audience) != 1 || !sameHost(claims.Audience[0], host) {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return claims.Epoch == a.epoch
}

// guardBearer lets requests with a good token pass. The challenge without a token is
// the one that clients discover the authority from (seen in public clients); the one
// for a bad token is as recorded in public reports, its texts assumed.
func (s *Server) guardBearer(api http.Handler) http.Handler {
	a := s.auth
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		given := strings.EqualFold(scheme, "bearer") && token != ""
		if given && a.accepts(strings.TrimSpace(token), r.Host, s.opts.Now()) {
			api.ServeHTTP(w, r)
			return
		}
		drain(r)
		a.count(func(c *AuthCounts) { c.Challenges++ })
		authority := "/" + a.Tenant + "/oauth2/authorize"
		if a.Method == AuthADFS {
			authority = "/adfs/oauth2/authorize"
		}
		challenge := "authorization_uri=" + origin(r) + authority + ", resource_id=" + origin(r) + "/"
		if given {
			challenge = "error=invalid_token, error_description=Error during token validation!, " + challenge
		}
		w.Header().Set("REQ_ID", uuid.NewString())
		unauthorized(w, "Bearer "+challenge)
	})
}

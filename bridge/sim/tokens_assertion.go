package sim

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net/http"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	// assertionLeeway is how far clocks may differ. Assumed: five minutes.
	assertionLeeway = 5 * time.Minute
	// maxAssertions bounds the remembered ids of used assertions.
	maxAssertions = 100_000
)

// checkAssertion checks a client assertion: signed by the registered certificate,
// which the header names by thumbprint, for this endpoint, by and about this client,
// within its time, and used once. Source: "Microsoft identity platform application
// authentication certificate credentials"; the numbers are those of "Microsoft Entra
// authentication and authorization error codes"; that a second use is refused, and
// that more than a day of life is, are assumptions.
func (a *authState) checkAssertion(text, endpoint string, now time.Time) *tokenFault {
	refuse := func(number int, description string) *tokenFault {
		return &tokenFault{http.StatusUnauthorized, "invalid_client", number, description}
	}
	if a.cert == nil {
		return refuse(700027, "The certificate with identifier used to sign the client assertion is not registered on application.")
	}
	var claims jwt.RegisteredClaims
	_, err := jwt.ParseWithClaims(text, &claims, func(t *jwt.Token) (any, error) {
		if !namesCertificate(t.Header, a.cert) {
			return nil, errUnknownCertificate
		}
		return a.cert.PublicKey, nil
	}, jwt.WithValidMethods([]string{"RS256", "PS256"}), jwt.WithExpirationRequired(), jwt.WithLeeway(assertionLeeway),
		jwt.WithTimeFunc(func() time.Time { return now }))
	switch {
	case errors.Is(err, errUnknownCertificate):
		return refuse(700027, "The certificate with identifier used to sign the client assertion is not registered on application.")
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		return refuse(700027, "Client assertion failed signature validation.")
	case errors.Is(err, jwt.ErrTokenExpired), errors.Is(err, jwt.ErrTokenNotValidYet):
		return refuse(700024, "Client assertion is not within its valid time range.")
	case err != nil:
		return refuse(50027, "JWT token is invalid or malformed.")
	case claims.ExpiresAt.Sub(now) > 24*time.Hour+assertionLeeway:
		return refuse(700024, "Client assertion is not within its valid time range.")
	case claims.Issuer != a.ClientID || claims.Subject != a.ClientID:
		return refuse(700021, "Client assertion application identifier doesn't match 'client_id' parameter.")
	case len(claims.Audience) != 1 || claims.Audience[0] != endpoint:
		return refuse(700023, "Client assertion audience claim does not match Realm issuer.")
	case claims.ID == "":
		return refuse(50027, "JWT token is invalid or malformed.")
	}
	if !a.useAssertion(claims.ID, claims.ExpiresAt.Add(assertionLeeway), now) {
		return refuse(50013, "Assertion is invalid: it was presented before.")
	}
	return nil
}

var errUnknownCertificate = errors.New("unknown certificate")

// namesCertificate tells whether the header's thumbprints, at least one, are those of
// the certificate: x5t is its SHA-1, x5t#S256 its SHA-256.
func namesCertificate(header map[string]any, cert *x509.Certificate) bool {
	one, two := sha1.Sum(cert.Raw), sha256.Sum256(cert.Raw)
	named := false
	for name, sum := range map[string][]byte{"x5t": one[:], "x5t#S256": two[:]} {
		value, given := header[name]
		if !given {
			continue
		}
		if value != base64.RawURLEncoding.EncodeToString(sum) {
			return false
		}
		named = true
	}
	return named
}

// useAssertion tells whether the id is used for the first time. Forgotten are only
// ids whose assertion has ended anyway; when there is no room, it refuses.
func (a *authState) useAssertion(id string, end, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if used, known := a.seen[id]; known && now.Before(used) {
		return false
	}
	if len(a.seen) >= maxAssertions {
		for id, end := range a.seen {
			if !now.Before(end) {
				delete(a.seen, id)
			}
		}
	}
	if len(a.seen) >= maxAssertions {
		return false
	}
	a.seen[id] = end
	return true
}
